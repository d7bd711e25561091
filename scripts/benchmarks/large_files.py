"""Generated text for files of any size, and the memory that reading them takes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

STATUS = Path("/proc/self/status")


def write_text(path: Path, gigabytes: float) -> None:
    """Write 11 MB of lines again and again."""
    block = "".join(f"{line}\n" for line in random_lines(30_000)).encode()
    with path.open("wb") as file:
        for _ in range(max(1, round(gigabytes * 2**30 / len(block)))):
            file.write(block)


def random_lines(number: int) -> Iterator[str]:
    """Yield lines of 5 to 39 long words drawn from 50,000 by Zipf's law."""
    random = np.random.default_rng(0)
    words = np.array([f"word{i:012x}" for i in range(50_000)], dtype=object)
    frequency = 1 / np.arange(1, len(words) + 1)
    counts = random.integers(5, 40, number)
    drawn = iter(words[random.choice(len(words), counts.sum(), p=frequency / frequency.sum())])
    return (" ".join(islice(drawn, int(count))) for count in counts)


def mebibytes(name: str) -> float:
    """Return one of Linux's figures: ``VmRSS`` is the memory held now, ``VmHWM`` its peak.

    Not ``getrusage``: its peak includes the memory of the parent process.
    """
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 2**10
