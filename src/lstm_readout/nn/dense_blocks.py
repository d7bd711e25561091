"""Ragged rows through dense kernels: packed data goes in, its steps cut into dense blocks come out, and are run.

Inside ``PackedSequence.data`` the steps that share one entry of ``batch_sizes`` are one contiguous (steps, rows, I)
block, which a dense kernel takes as it lies. A block that is cut longer runs rows that have ended: there an LSTM's cell
state is held by one extra input feature that closes the input gate and opens the forget gate, and h is read where the
row ended.

Shapes: B rows, T steps, I features in, O features out, H hidden_size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lstm_readout.nn.packed import lengths_of

Engine = Literal["auto", "runs", "padded", "packed"]
Kernel = Callable[[Tensor, list[Tensor]], tuple[Tensor, ...]]  # (T, B, I) and h, (c) -> (T, B, O) and h, (c)

COPYING = 0.05  # what it costs to move a token into blocks and out again, as a share of running it: 128 units, two CPUs
HOLD = 1000.0  # added to a gate: sigmoid gives exactly 1, of the negative exactly 0


class Layout(NamedTuple):
    """Where packed tokens stand in dense blocks, one after another."""

    rows: list[int]  # of each block, descending
    steps: list[int]  # of each block
    last: Sequence[
        Tensor | None
    ]  # of each block (rows,): the last of its steps that is real; None: its last for all rows
    places: Tensor | None  # (tokens,) where each packed token stands; None: all where they are, nothing is padded


def cost_of_a_block(engine: Engine, hidden_size: int) -> float:
    """Return what it costs to begin a block, in rows that could run for one step instead.

    A kernel lays out its weights each time, and adds their gradient to that of the other blocks: as much as running
    about 80 rows for one step, and more where a step is short. Measured from 64 to 512 units on two CPUs.
    """
    return {"runs": 0.0, "padded": math.inf}.get(engine, 80 + 8000 / hidden_size)


def lay_out(batch_sizes: Tensor, block_cost: float) -> Layout:
    """Cut packed steps into the blocks that cost least together."""
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
    widths = torch.tensor(rows).repeat_interleave(torch.tensor(steps))  # (T,) rows that each step has now
    moved = (widths.cumsum(0) - widths) - (batch_sizes.cumsum(0) - batch_sizes)  # (T,)
    return Layout(rows, steps, last, torch.arange(int(batch_sizes.sum())) + moved.repeat_interleave(batch_sizes))


def _cut(sizes: list[int], counts: list[int], block_cost: float) -> list[int]:
    """Return which runs of equal batch size begin a block, found from the last run to the first."""
    number = len(sizes)
    every = list(range(number))
    if block_cost in (0.0, math.inf):
        return every if block_cost == 0.0 else [0]
    begins = [*accumulate(counts, initial=0)]  # the step at which a run begins
    cheapest, ends = [0.0] * (number + 1), [number] * number  # of all runs from each on; of the block it begins
    for run in reversed(every):
        rows, begin = sizes[run], begins[run]
        costs = [rows * (begins[end] - begin) + cheapest[end] for end in range(run + 1, number + 1)]
        cheapest[run] = block_cost + min(costs)
        ends[run] = run + 1 + costs.index(min(costs))
    tokens = sum(size * count for size, count in zip(sizes, counts, strict=True))
    if number * block_cost + tokens <= cheapest[0] + COPYING * tokens:
        return every
    first = [0]
    while ends[first[-1]] < number:
        first.append(ends[first[-1]])
    return first


def run_blocks(
    data: Tensor, layout: Layout, state: list[Tensor], kernel: Kernel, holds: bool
) -> tuple[Tensor, list[Tensor]]:
    """Run one layer in one direction over packed data.

    Args:
        data: (tokens, I), the steps that are to be run first standing first.
        layout: its blocks.
        state: h (1, B, O), and c (1, B, H) for an LSTM.
        kernel: the dense kernel; where ``holds`` and something is padded, it gets (T, B, I + 1).
        holds: whether the kernel has a cell state to hold.

    Returns:
        output (tokens, O), and every row's state at its own last step.
    """
    places = layout.places
    if places is not None:
        total = sum(row * step for row, step in zip(layout.rows, layout.steps, strict=True))
        blocks = data.new_zeros(total, data.shape[1] + holds)
        if holds:
            blocks[:, -1] = 1
            data = torch.cat((data, data.new_zeros(len(data), 1)), dim=1)
        data = blocks.index_copy(0, places, data)
    outputs, ended = [], []
    # split, not slices: the gradient of a split is one concatenation, that of a slice a full-size zero tensor
    blocks = data.split([row * step for row, step in zip(layout.rows, layout.steps, strict=True)])
    for block, row, step, last in zip(blocks, layout.rows, layout.steps, layout.last, strict=True):
        if row < state[0].shape[1]:
            parts = [s.split([row, s.shape[1] - row], dim=1) for s in state]
            ended.append([rest for _, rest in parts])
            state = [alive for alive, _ in parts]
        output, *state = kernel(block.view(step, row, -1), state)
        if last is not None:
            state[0] = output[last, torch.arange(row)].unsqueeze(0)
        outputs.append(output.flatten(0, 1))
    ended.append(state)
    output = torch.cat(outputs)
    if places is not None:
        output = output.index_select(0, places)
    return output, [torch.cat(parts, dim=1) for parts in zip(*reversed(ended), strict=True)]


def holding(weight: Tensor) -> Tensor:
    """Return an LSTM's input weights (4H, I) with the column that holds the cell state: (4H, I + 1)."""
    gates = weight.new_tensor([-HOLD, HOLD, 0.0, 0.0])  # PyTorch's order: input, forget, cell, output
    return torch.cat((weight, gates.repeat_interleave(len(weight) // 4).unsqueeze(1)), dim=1)
