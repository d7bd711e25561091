"""A task and a batch go in; the gradient of the task's loss with respect to each output of its LSTM comes out.

``output`` and ``h_n`` partly hold the same numbers, so numbers alone do not show which of them is read. Here each is
detached and passed to the rest of the model as a separate leaf: where nothing is read, the gradient is exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_packed_sequence

from lstm_readout.explain.trace import Side
from lstm_readout.nn.lstm import LSTMOutput
from lstm_readout.nn.packed import as_packed, with_data
from lstm_readout.tasks.base import Task


@dataclass(frozen=True)
class Gradients:
    """Largest absolute gradient of each part of one LSTM's outputs; 0: not read."""

    output: float
    output_by_step: tuple[float, ...]  # (T,) over all rows
    h_n: tuple[float, ...]  # (L * D,) over all rows of the batch
    c_n: tuple[float, ...]  # empty for gru and rnn
    steps_read: int  # real steps of all rows with a nonzero gradient
    last_steps_read: int  # how many of those are the last step of their row
    real_steps: int


def gradients_of(task: Task, batch: Any, side: Side) -> Gradients:
    """Compute the loss as in validation, on independent copies of this side's ``output``, ``h_n`` and ``c_n``."""
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1]

    def cut(module: Any, arguments: Any, result: LSTMOutput) -> LSTMOutput:
        output = as_packed(result.output)
        output = with_data(output, leaf(output.data))
        return LSTMOutput(output, leaf(result.h_n), None if result.c_n is None else leaf(result.c_n))

    handle = side.lstm.register_forward_hook(cut)
    try:
        with torch.enable_grad():
            loss, _ = task.loss(batch, "val")
    finally:
        handle.remove()
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    grads = [torch.zeros_like(x) if grad is None else grad.abs() for x, grad in zip(leaves, gradients, strict=True)]
    by_step, _ = pad_packed_sequence(with_data(as_packed(side.result.output), grads[0].amax(dim=1)))  # (T, B)
    lasts = by_step[torch.tensor(side.lengths) - 1, torch.arange(len(side.lengths))]
    return Gradients(
        output=float(by_step.max()),
        output_by_step=tuple(by_step.amax(dim=1).tolist()),
        h_n=tuple(grads[1].amax(dim=(1, 2)).tolist()),
        c_n=tuple(grads[2].amax(dim=(1, 2)).tolist()) if len(grads) > 2 else (),
        steps_read=int(torch.count_nonzero(by_step)),
        last_steps_read=int(torch.count_nonzero(lasts)),
        real_steps=sum(side.lengths),
    )
