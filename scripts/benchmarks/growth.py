"""How cost grows with work: sizes go in, the slope of log(cost) over log(size) comes out; 1 is linear, 2 quadratic.

A fixed cost flattens the start of every curve, so the slope is that of the larger half of the sizes. Each point is the
fastest of several slices: an interruption can only slow one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.large_files import random_lines
from benchmarks.paired import Result, Row, Run, Side, alternate
from benchmarks.worker import Worker, environment

LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
VOCABULARIES = [65, 256, 1000, 4000, 16_000, 50_000, 100_000]
ROW_COUNTS = [1000, 10_000, 100_000, 300_000, 1_000_000]
AXES = {
    "length": "longest row of a batch of 32 (tokens)",
    "batch_size": "rows of a batch (64 tokens)",
    "vocab_size": "vocabulary (32 rows of 35 tokens)",
    "rows": "rows of a text file",
}
COSTS = {"seconds": "seconds", "mebibytes": "MiB at the peak"}


def step(length: int, batch_size: int, vocab_size: int, hidden_size: int = 128) -> Side:
    """Return a training step of a language model on ragged rows, half of ``length`` to all of it; units are steps."""
    import torch

    from lstm_readout.data.batches import GenerateBatch
    from lstm_readout.models import LanguageModel
    from lstm_readout.tokenizer.ragged import Ragged
    from lstm_readout.training.optimizers import adamw

    torch.manual_seed(0)
    lengths = np.linspace(length / 2, length, batch_size).round().astype(int)
    rows = [torch.randint(3, vocab_size, (max(1, size),)).tolist() for size in lengths]
    batch = GenerateBatch.collate({"text": Ragged.from_lists(rows)}, np.arange(batch_size))
    model = LanguageModel(vocab_size=vocab_size, embedding_size=hidden_size, hidden_size=hidden_size)
    optimizer = adamw(model.parameters())

    def train() -> int:
        loss, _ = model.loss(batch.inputs, batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return 1

    return train


def of_steps(name: str, sizes: Sequence[int], *, budget: float = 30, **fixed: int) -> Result:
    """Measure how a training step grows with one of its sizes.

    Args:
        name: the size, an argument of ``step``.
        sizes: from small to large.
        budget: seconds for all of it.
        fixed: the other arguments of ``step``.
    """
    with Worker(keep_memory=True) as worker:
        runs: Mapping[str, Run] = {
            str(size): worker.bind("benchmarks.growth:step", **{**fixed, name: size}) for size in sizes
        }
        speeds = alternate(runs, seconds=0.2, budget=budget, least=3, most=7)
    rounds = [[1 / speeds[str(size)][number] for size in sizes] for number in range(len(speeds[str(sizes[0])]))]
    seconds = np.min(rounds, axis=0).tolist()
    found = Result.of([slope(sizes, costs) for costs in rounds])
    return found._replace(ratio=slope(sizes, seconds), more=curve(name, sizes, seconds=seconds))


ROWS_CHILD = """
import sys, time
from benchmarks.composed import configuration
from benchmarks.large_files import mebibytes
from lstm_readout.config.build import build_data
config = configuration("task=generate", "data=files", f"data.path={sys.argv[1]}", "data.cache=false")
before, began = mebibytes("VmRSS"), time.perf_counter()
data = build_data(config)
assert sum(batch.tokens for batch in data.train_dataloader())
print(time.perf_counter() - began, mebibytes("VmHWM") - before)
"""


def of_rows(counts: Sequence[int] = ROW_COUNTS) -> Result:
    """Measure how reading, encoding and batching a text file grows with its rows: the steeper of time and memory.

    Each size is measured once, in a process of its own; the time and peak memory of its imports are left out.
    """
    seconds, mebibytes = (list(costs) for costs in zip(*map(cost_of_rows, counts), strict=True))
    slopes = {"seconds_slope": slope(counts, seconds), "mebibytes_slope": slope(counts, mebibytes)}
    points = curve("rows", counts, seconds=seconds, mebibytes=mebibytes)
    return Result(max(slopes.values()), 0.0, {**slopes, **points})


def cost_of_rows(count: int) -> tuple[float, float]:
    """Return the seconds and the peak MiB that this many rows take, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.txt"
        path.write_text("".join(f"{line}\n" for line in random_lines(count)))
        command = [sys.executable, "-c", ROWS_CHILD, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    seconds, mebibytes = map(float, done.stdout.split()[-2:])
    return seconds, mebibytes


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Fit log(cost) over log(size) on the larger half of the sizes, three at least."""
    half = max(3, -(-len(sizes) // 2))
    return float(np.polyfit(np.log(sizes[-half:]), np.log(costs[-half:]), 1)[0])


def curve(name: str, sizes: Sequence[int], **costs: Sequence[float]) -> dict[str, Any]:
    """Return the points of a curve for the JSON and the picture."""
    return {"axis": name, "sizes": list(sizes), **{cost: list(values) for cost, values in costs.items()}}


def plot_growth(rows: Mapping[str, Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw ``growth.svg``: each curve on logarithmic axes, beside the straight line of a linear cost.

    Returns:
        The file, or None where no ``growth_*`` row was measured.
    """
    import matplotlib.pyplot as plt  # not in the processes that measure

    curves = [(row, cost) for row in rows.values() if "axis" in row for cost in COSTS if cost in row]
    if not curves:
        return None
    plt.switch_backend("agg")
    folder.mkdir(parents=True, exist_ok=True)
    size = {"figsize": (3.2 * len(curves), 3.2), "squeeze": False, "layout": "constrained"}
    with plt.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none"}):
        figure, panels = plt.subplots(1, len(curves), **size)
        for axes, (row, cost) in zip(panels[0], curves, strict=True):
            sizes, costs = np.array(row["sizes"]), np.array(row[cost])
            axes.loglog(sizes, costs, "o-", label="measured")
            axes.loglog(sizes, costs[-1] * sizes / sizes[-1], ":", color="grey", label="linear")
            axes.set(xlabel=AXES[row["axis"]], ylabel=COSTS[cost])
            axes.legend(loc="upper left")
        path = folder / "growth.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return path


UNIT = "slope of log(cost) over log(size)"
ROWS = [
    *(
        Row(id=id, measure=measure, wanted="at most 1.1", unit=UNIT)
        for id, measure in (
            ("growth_length", partial(of_steps, "length", LENGTHS, batch_size=32, vocab_size=65)),
            ("growth_batch", partial(of_steps, "batch_size", BATCHES, length=64, vocab_size=65)),
            ("growth_vocabulary", partial(of_steps, "vocab_size", VOCABULARIES, batch_size=32, length=35)),
            ("growth_rows", of_rows),
        )
    )
]
