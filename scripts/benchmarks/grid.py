"""The ragged engine against the better of the padded and the packed call, over a grid of sizes and corpora."""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.engine import Lengths, draw_lengths, sides
from benchmarks.paired import Result, Row, alternate, ratio
from benchmarks.worker import Worker, with_both_allocators

THREADS = (1, 2)
AGAIN = 5  # worst cells that are measured again, for longer: otherwise the worst of many is the noisiest
HOPELESS = 0.5  # of the other peer's speed


class Cell(NamedTuple):
    """One case: the corpus that gives the lengths (``equal``: 15 steps each), and the sizes."""

    corpus: str
    hidden_size: int
    batch_size: int
    num_layers: int = 1
    bidirectional: bool = False

    def __str__(self) -> str:
        both = " bidirectional" if self.bidirectional else ""
        return f"{self.corpus} hidden {self.hidden_size} layers {self.num_layers}{both} batch {self.batch_size}"


CELLS = [
    *(Cell("multi30k", 128, rows) for rows in (32, 64, 128)),
    Cell("multi30k", 256, 64),
    Cell("multi30k", 256, 64, num_layers=2),
    Cell("multi30k", 256, 64, bidirectional=True),
    Cell("multi30k", 256, 128),
    Cell("multi30k", 512, 64),
    *(Cell("equal", size, 64) for size in (128, 256, 512)),
    Cell("imdb", 128, 32),
    Cell("imdb", 128, 64),
    Cell("imdb", 256, 32),
    Cell("imdb", 256, 32, bidirectional=True),
]


def engine_vs_best() -> Result:
    """Compare random batches in all cells; the worst cell counts."""
    drawn = {cell: batches_of(cell) for cell in CELLS}

    def measure(worker: Worker) -> dict[str, Result]:
        places = [(threads, cell) for threads in THREADS for cell in CELLS]
        found = {place: against_best(worker, *place, drawn[place[1]], least=3, budget=1.5) for place in places}
        for place in sorted(places, key=lambda place: found[place].ratio)[:AGAIN]:
            found[place] = against_best(worker, *place, drawn[place[1]], least=7, budget=6)
        return {f"threads {threads} {cell}": result for (threads, cell), result in found.items()}

    return with_both_allocators(measure)


def batches_of(cell: Cell) -> Lengths:
    """Return the lengths of some random batches."""
    if cell.corpus == "equal":
        return [[15] * cell.batch_size]
    return draw_lengths(cell.corpus, cell.batch_size, pool=1, number=2 if cell.corpus == "imdb" else 8)


def against_best(worker: Worker, threads: int, cell: Cell, lengths: Lengths, **options: Any) -> Result:
    """Return our speed over the faster peer's in one cell."""
    sizes = cell._asdict()
    for known in ("corpus", "batch_size"):
        del sizes[known]
    runs = sides(worker, ("ours", "padded", "packed"), threads, lengths, **sizes)
    first = {name: runs[name](0.0) for name in ("padded", "packed")}  # one step: the packed one may take seconds
    peers = [name for name, speed in first.items() if speed > HOPELESS * max(first.values())]
    speeds = alternate({name: runs[name] for name in ("ours", *peers)}, seconds=0.1, **options)
    best = max(peers, key=lambda name: sorted(speeds[name])[len(speeds[name]) // 2])
    return ratio(speeds, "ours", best)


ROWS = [
    Row(
        id="engine_vs_best",
        measure=engine_vs_best,
        wanted="at least 0.97",
        unit="times the best of padded, packed; the worst cell",
        corpora=("imdb", "multi30k"),
    )
]
