"""The batch sizes of packed rows go in; out comes how their steps are cut into the dense blocks that cost least.

Inside ``PackedSequence.data`` the steps that share one entry of ``batch_sizes`` are one contiguous (steps, rows, I)
block, which a dense kernel can read in place. A longer block also runs rows that have already ended.

Shapes: B rows, T steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lstm_readout.nn.packed import lengths_of

Engine = Literal["auto", "runs", "padded", "packed"]
# The cost of moving a token into blocks and out again, as a share of running it: measured at 128 units on two CPUs
_COPYING = 0.05


class Layout(NamedTuple):
    """Where packed tokens are in dense blocks, one block after another."""

    rows: list[int]  # of each block, descending
    steps: list[int]  # of each block
    last: Sequence[Tensor | None]  # of each block (rows,): the last real step of each row; None: the last for all
    places: Tensor | None  # (tokens,) the place of each packed token; None: tokens stay in place, nothing is padded

    def to(self, device: torch.device) -> Layout:
        """Return the layout with its indices on the device of the data, copied without waiting for it."""
        places, *last = (x if x is None else x.to(device, non_blocking=True) for x in (self.places, *self.last))
        return self._replace(last=last, places=places)


def cost_of_a_block(engine: Engine, hidden_size: int) -> float:
    """Return the cost of starting a block, in rows that could run for one step instead.

    For each block a kernel lays out its weights again and adds their gradient to that of the other blocks. This takes
    as long as running about 80 rows for one step, and more where a step is short. Measured from 64 to 512 units on two
    CPUs.
    """
    return {"runs": 0.0, "padded": math.inf}.get(engine, 80 + 8000 / hidden_size)


def lay_out(batch_sizes: Tensor, block_cost: float) -> Layout:
    """Cut packed steps into the blocks whose total cost is least."""
    sizes, counts = (x.tolist() for x in torch.unique_consecutive(batch_sizes, return_counts=True))
    first = _cut(sizes, counts, block_cost)
    rows = [sizes[run] for run in first]
    steps = [sum(counts[a:b]) for a, b in pairwise([*first, len(sizes)])]
    if len(first) == len(sizes):
        return Layout(rows, steps, [None] * len(rows), None)
    lengths, start, last = lengths_of(batch_sizes), 0, []
    for row, step in zip(rows, steps, strict=True):
        last.append((lengths[:row] - start).clamp(max=step) - 1)
        start += step
    widths = torch.tensor(rows).repeat_interleave(torch.tensor(steps))  # (T,) rows of each step, padding included
    moved = (widths.cumsum(0) - widths) - (batch_sizes.cumsum(0) - batch_sizes)  # (T,)
    return Layout(rows, steps, last, torch.arange(int(batch_sizes.sum())) + moved.repeat_interleave(batch_sizes))


def _cut(sizes: list[int], counts: list[int], block_cost: float) -> list[int]:
    """Return which runs of equal batch size start a block, found from the last run to the first."""
    number = len(sizes)
    every = list(range(number))
    if block_cost in (0.0, math.inf):
        return every if block_cost == 0.0 else [0]
    begins = [*accumulate(counts, initial=0)]  # the step at which each run begins
    cheapest = [0.0] * (number + 1)  # the cost of all runs from each one on
    ends = [number] * number  # the run after the block that each starts
    for run in reversed(every):
        rows, begin = sizes[run], begins[run]
        costs = [rows * (begins[end] - begin) + cheapest[end] for end in range(run + 1, number + 1)]
        cheapest[run] = block_cost + min(costs)
        ends[run] = run + 1 + costs.index(min(costs))
    tokens = sum(size * count for size, count in zip(sizes, counts, strict=True))
    if number * block_cost + tokens <= cheapest[0] + _COPYING * tokens:
        return every
    first = [0]
    while ends[first[-1]] < number:
        first.append(ends[first[-1]])
    return first
