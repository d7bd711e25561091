"""Packed rows: the row that each token belongs to, the lengths of rows, and rows in reverse."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def lengths_of(batch_sizes: Tensor) -> Tensor:
    """Return the lengths of the rows of packed data, longest first: (B,)."""
    return (batch_sizes.unsqueeze(1) > torch.arange(int(batch_sizes[0]))).sum(0)


def row_of_token(packed: PackedSequence) -> Tensor:
    """Return for each packed token the row it belongs to, in the packed (longest first) order: (tokens,)."""
    sizes, number = packed.batch_sizes.to(packed.data.device, non_blocking=True), len(packed.data)
    starts = sizes.cumsum(0) - sizes  # (T,) where each step begins
    # output_size: without it the host would wait for the device
    return torch.arange(number, device=sizes.device) - starts.repeat_interleave(sizes, output_size=number)


def step_before(packed: PackedSequence) -> Tensor:
    """Return the place of the previous step, for each packed token except the first of each row: (tokens - B,)."""
    sizes = packed.batch_sizes.to(packed.data.device, non_blocking=True)
    places = torch.arange(int(packed.batch_sizes[0]), len(packed.data), device=sizes.device)
    return places - sizes[:-1].repeat_interleave(sizes[1:], output_size=len(places))


def reversal(packed: PackedSequence) -> Tensor:
    """Return for each packed token the place of the token that replaces it when rows are reversed: (tokens,)."""
    sizes = packed.batch_sizes.to(packed.data.device, non_blocking=True)
    starts = sizes.cumsum(0) - sizes
    every = torch.arange(len(sizes), device=sizes.device)
    steps = every.repeat_interleave(sizes, output_size=len(packed.data))  # (tokens,)
    rows = row_of_token(packed)
    lengths = lengths_of(packed.batch_sizes).to(sizes.device, non_blocking=True)
    return starts[lengths[rows] - 1 - steps] + rows


def each_token(function: Callable[[Tensor], Tensor], sequence: Tensor | PackedSequence) -> Tensor | PackedSequence:
    """Apply ``function`` to the last axis at every real step; the steps stay where they are.

    Shapes: ``(..., I) -> (..., K)`` for a Tensor; the same on ``.data``, (tokens, I), of a PackedSequence.
    """
    if isinstance(sequence, PackedSequence):
        return with_data(sequence, function(sequence.data))
    return function(sequence)


def with_data(packed: PackedSequence, data: Tensor) -> PackedSequence:
    """Return ``data`` (tokens, ...) packed in the same order and lengths as ``packed``."""
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def to_device(packed: PackedSequence, device: torch.device | str) -> PackedSequence:
    """Return the rows on another device, as ``PackedSequence.to`` does; its type hints accept no device."""
    orders = (packed.sorted_indices, packed.unsorted_indices)
    moved = (None if order is None else order.to(device) for order in orders)
    return PackedSequence(packed.data.to(device), packed.batch_sizes, *moved)


def reversed_rows(packed: PackedSequence) -> PackedSequence:
    """Reverse each row, its own last token first; lengths and order of the rows stay the same."""
    return with_data(packed, packed.data[reversal(packed)])


def as_packed(sequence: Tensor | PackedSequence) -> PackedSequence:
    """Return a sequence that is packed; raise ``TypeError`` for a Tensor."""
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"wanted a PackedSequence, got a {type(sequence).__name__}. Use pack_sequence.")
    return sequence
