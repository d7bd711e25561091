"""What is read of a recurrent layer: zeros are added to ``output``, ``h_n`` and ``c_n``; their gradients tell.

A layer is ``nn.LSTM``, ``nn.GRU``, ``nn.RNN``, ``nn.LSTMCell``, or any module that returns what one of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.doctor.module_under_test import Subject
from lstm_readout.doctor.ragged_batch import Rows
from lstm_readout.nn.lstm import LSTMOutput

Sequences = Tensor | PackedSequence


class RecurrentCall(NamedTuple):
    """One call of a recurrent layer."""

    name: str
    layer: nn.Module
    zeros: dict[str, Tensor]  # by name: output, h_n, c_n
    first: tuple[Tensor, Tensor] | None  # the (h_0, c_0) that it was given


def recurrent_calls(subject: Subject, rows: Rows) -> tuple[Tensor, list[RecurrentCall]]:
    """Call the module with its graph, and return the logits and the calls of its recurrent layers in order."""
    names = {part: name for name, part in subject.module.named_modules()}
    calls: list[RecurrentCall] = []

    def hook(part: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], returned: Any) -> Any:
        found = _parts(part, returned)
        if found is None:
            return None
        results, rebuilt = found
        zeros = {name: torch.zeros_like(_values(result), requires_grad=True) for name, result in results.items()}
        calls.append(RecurrentCall(names[part], part, zeros, _state(keywords.get("hx", (*arguments, None, None)[1]))))
        return rebuilt(*(_plus(result, zeros[name]) for name, result in results.items()))

    with subject.hooked(hook):
        logits = subject.with_graph(rows)
    return logits, calls


def steps_of(call: RecurrentCall, gradient: Tensor, rows: Rows) -> Tensor | None:
    """Return which steps of ``output`` have a gradient, (T,) bool; None if its axes cannot be told.

    ``rows`` are of one length T.
    """
    batch, steps = rows.ids.shape
    if gradient.dim() == 2 and len(gradient) == batch * steps:  # packed: step after step
        return gradient.view(steps, -1).any(1)
    if gradient.dim() != 3 or sorted(gradient.shape[:2]) != sorted((batch, steps)):
        return None
    by_batch = gradient.shape[0] == batch if batch != steps else getattr(call.layer, "batch_first", False)
    return gradient.any(2).any(0 if by_batch else 1)


def _parts(part: nn.Module, returned: Any) -> tuple[dict[str, Sequences], Callable[..., Any]] | None:
    """Return a layer's results by name, and the function that puts them together again; None for other modules."""
    if isinstance(returned, LSTMOutput) and returned.c_n is not None:
        return {"output": returned.output, "h_n": returned.h_n, "c_n": returned.c_n}, LSTMOutput
    if not (type(returned) is tuple and len(returned) == 2):
        return None
    first, last = returned
    if isinstance(part, nn.LSTMCell):
        return {"h_n": first, "c_n": last}, lambda h_n, c_n: (h_n, c_n)
    if isinstance(first, Tensor | PackedSequence) and (state := _state(last)) is not None:
        return {"output": first, "h_n": state[0], "c_n": state[1]}, lambda output, h_n, c_n: (output, (h_n, c_n))
    if isinstance(part, nn.GRU | nn.RNN):
        return {"output": first, "h_n": last}, lambda output, h_n: (output, h_n)
    return None


def _state(value: Any) -> tuple[Tensor, Tensor] | None:
    """Return (h, c) if the value is one: two tensors of two or three axes."""
    if not (isinstance(value, tuple) and len(value) == 2):
        return None
    h, c = value
    if not (isinstance(h, Tensor) and isinstance(c, Tensor)):
        return None
    return (h, c) if h.dim() == c.dim() >= 2 and h.shape[:-1] == c.shape[:-1] and h.is_floating_point() else None


def _values(result: Sequences) -> Tensor:
    return result.data if isinstance(result, PackedSequence) else result


def _plus(result: Sequences, zeros: Tensor) -> Sequences:
    return result._replace(data=result.data + zeros) if isinstance(result, PackedSequence) else result + zeros
