"""What the system says of this process's memory."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def mebibytes(name: str) -> float:
    """Return a figure of Linux: ``VmRSS`` is what is held now, ``VmHWM`` the most that was.

    Not ``getrusage``: to its peak counts also what the process held that started this one.
    """
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 2**10
