"""A model and its batches go in; out comes the least time that a step could take on this device.

Two bounds, each from what this device reaches on the same sizes. Products: all matrix products of a step, each at the
speed of ``torch.mm`` alone on its shape; those of a recurrence are one per time step. Memory: the bytes that a step
cannot avoid to read or write, at the speed of a large copy. A step that waits for nothing reaches a share of 1 of the
larger bound; a kernel that keeps the recurrent weights on the chip can pass 1 for the products.

Shapes: N tokens, T steps, B rows alive at a step (the mean), I features in, H hidden_size, D directions, O width of an
output, V classes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from gpu_checks.device import PRECISIONS, Device, Precision
from lstm_readout.tasks import ClassifyTask, GenerateTask
from lstm_readout.tasks.base import Task

_OPTIMIZER = 7  # times that AdamW touches a float32 parameter: reads it, its gradient and two moments, writes three
_LEARNING = 3  # times that a step touches a weight: forward, backward, and its gradient


class Product(NamedTuple):
    """A matrix product (rows, inner) x (inner, columns), ``times`` per step."""

    times: float
    rows: int
    inner: int
    columns: int

    @property
    def operations(self) -> float:
        """Additions and multiplications of all of them."""
        return 2.0 * self.times * self.rows * self.inner * self.columns


class Bounds(NamedTuple):
    """The least seconds of a step."""

    products: float
    memory: float


def bounds(device: Device, task: Task, batches: Sequence[Any], precision: Precision, at_least: float) -> Bounds:
    """Return the bounds of a mean training step, forward and backward.

    Args:
        device: what it runs on.
        task: its model; what attention and dropout compute is left out, so that these are lower bounds.
        batches: some of its batches.
        precision: of the products; parameters and optimizer stay float32.
        at_least: seconds of each measurement.
    """
    products = list(products_of_a_step(task, batches))
    seconds = sum(p.operations / product_rate(device, p[1:], precision, at_least) for p in products)
    return Bounds(seconds, least_bytes(task, batches, precision) / copy_rate(device, at_least))


def products_of_a_step(task: Task, batches: Sequence[Any]) -> Iterator[Product]:
    """Yield the products of a step, of the mean sizes of the batches."""
    for rnn, sequences in _lstms(task, batches):
        tokens, steps = _mean_sizes(sequences)
        alive = max(1, round(tokens / steps))
        for inputs in _inputs(rnn):
            yield Product(3, tokens, inputs, 4 * rnn.hidden_size)  # forward, and the gradients of both factors
            yield Product(2 * steps, alive, rnn.hidden_size, 4 * rnn.hidden_size)  # forward and backward
            yield Product(1, rnn.hidden_size, tokens, 4 * rnn.hidden_size)  # the gradient of the recurrent weights
    head, rows = _head(task, batches)
    yield Product(3, rows, head.in_features, head.out_features)


def least_bytes(task: Task, batches: Sequence[Any], precision: Precision) -> float:
    """Return the bytes of a step: those of its parameters, and each token's gates and states written and read once."""
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    numbers = 0
    for rnn, sequences in _lstms(task, batches):
        tokens, _ = _mean_sizes(sequences)
        numbers += sum(tokens * (inputs + 6 * rnn.hidden_size) for inputs in _inputs(rnn))
    return 4.0 * (_OPTIMIZER + _LEARNING) * parameters + 2.0 * numbers * PRECISIONS[precision].itemsize


@functools.cache
def product_rate(device: Device, shape: tuple[int, int, int], precision: Precision, at_least: float) -> float:
    """Return the operations per second of ``torch.mm`` on one shape: rows, inner, columns."""
    rows, inner, columns = shape
    dtype = PRECISIONS[precision]
    left = torch.randn(rows, inner, device=device.device).to(dtype)
    right = torch.randn(inner, columns, device=device.device).to(dtype)
    out = torch.empty(rows, columns, device=device.device, dtype=dtype)
    taken = device.seconds(lambda: torch.mm(left, right, out=out), at_least)
    return 2.0 * rows * inner * columns / taken


@functools.cache
def copy_rate(device: Device, at_least: float, numbers: int = 2**26) -> float:
    """Return the bytes per second that a large copy reads and writes together."""
    source = torch.zeros(numbers if device.is_cuda else 2**20, device=device.device)
    target = torch.empty_like(source)
    return 2.0 * source.numel() * source.element_size() / device.seconds(lambda: target.copy_(source), at_least)


def largest_rates(device: Device, size: int, at_least: float) -> dict[str, float]:
    """Return what the device reaches at its best: square products in each precision, and a copy."""
    rates = {f"product_{name}": product_rate(device, (size, size, size), name, at_least) for name in PRECISIONS}
    return rates | {"copy": copy_rate(device, at_least)}


def _lstms(task: Task, batches: Sequence[Any]) -> list[tuple[nn.LSTM, list[PackedSequence]]]:
    model = task.model
    if isinstance(task, ClassifyTask):
        return [(model.encoder.lstm.rnn, [batch.token_ids for batch in batches])]
    if isinstance(task, GenerateTask):
        return [(model.encoder.lstm.rnn, [batch.inputs for batch in batches])]
    source, target = ([getattr(batch, name) for batch in batches] for name in ("source", "target_inputs"))
    return [(model.encoder.lstm.rnn, source), (model.decoder.encoder.lstm.rnn, target)]


def _head(task: Task, batches: Sequence[Any]) -> tuple[nn.Linear, int]:
    """Return the last layer, and how many vectors it reads in a mean step."""
    if isinstance(task, ClassifyTask):
        return task.model.head, _mean([len(batch.labels) for batch in batches])
    head = task.model.head if isinstance(task, GenerateTask) else task.model.decoder.head
    return head, _mean([len(batch.targets) for batch in batches])


def _inputs(rnn: nn.LSTM) -> list[int]:
    """Return I of each layer and direction."""
    directions = 2 if rnn.bidirectional else 1
    widths = [rnn.input_size] + [rnn.hidden_size * directions] * (rnn.num_layers - 1)
    return [width for width in widths for _ in range(directions)]


def _mean_sizes(sequences: Sequence[PackedSequence]) -> tuple[int, int]:
    """Return N and T of a mean batch."""
    return _mean([len(one.data) for one in sequences]), _mean([len(one.batch_sizes) for one in sequences])


def _mean(numbers: Sequence[int]) -> int:
    return round(sum(numbers) / len(numbers))
