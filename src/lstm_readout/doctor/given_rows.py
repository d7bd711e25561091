"""What a user passes to the doctor: tensors and a module go in; an error says what to change."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lstm_readout.doctor.examinations import vocabulary_of
from lstm_readout.doctor.module_under_test import Broken, Subject
from lstm_readout.doctor.ragged_batch import Rows
from lstm_readout.errors import UserError

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_module(module: object) -> None:
    """Refuse what cannot be a module; with an adaptor it need not be callable."""
    if isinstance(module, type):
        raise UserError(f"module: {module.__name__} is a class. Pass an instance: {module.__name__}(...).")
    if module is None or isinstance(module, str | bytes | Mapping):
        raise UserError(f"module: wanted an nn.Module or a function, got a {type(module).__name__}.")


def check_call(subject: Subject, rows: Rows, call: str, arguments: str) -> None:
    """Refuse a module that cannot be called like this."""
    try:
        called = subject.is_called(rows)
    except Broken as broken:
        if broken.raised:
            raise UserError(
                f"{call} {broken}. If the module is called differently, pass adaptor=lambda {arguments}: ... that "
                "returns its logits."
            ) from broken
        return  # logits of another shape: a check reports it
    if subject.copied and not called:
        raise UserError("adaptor: it must call the module that it is passed, a copy, and not another one.")


def longest_first(lengths: Tensor) -> Tensor:
    """Return the order that some modules need: the longest row first."""
    return lengths.argsort(descending=True, stable=True)


def check_rows(token_ids: Tensor, lengths: Tensor, ids_name: str, lengths_name: str) -> None:
    """Refuse ids and lengths that are no padded batch."""
    for name, value in ((ids_name, token_ids), (lengths_name, lengths)):
        if not isinstance(value, Tensor):
            raise UserError(f"{name}: wanted a Tensor, got a {type(value).__name__}. Use torch.tensor(...).")
    if token_ids.dim() != 2 or token_ids.dtype not in (torch.int64, torch.int32):
        raise UserError(
            f"{ids_name}: wanted int64 ids of shape (batch, steps), got {token_ids.dtype} of shape "
            f"{tuple(token_ids.shape)}. Pad the rows on the right: pad_sequence(rows, batch_first=True)."
        )
    batch, steps = token_ids.shape
    if lengths.shape != (batch,) or lengths.dtype not in _INTEGERS:
        raise UserError(
            f"{lengths_name}: wanted int64 of shape (batch,) = ({batch},), got {lengths.dtype} of shape "
            f"{tuple(lengths.shape)}. Give one length for each row of {ids_name}."
        )
    if batch and (int(lengths.min()) < 1 or int(lengths.max()) > steps):
        raise UserError(
            f"{lengths_name}: wanted 1 to {steps} (the steps of {ids_name}), got {int(lengths.min())} to "
            f"{int(lengths.max())}."
        )
    if len(lengths.unique()) < 2:
        raise UserError(
            f"{lengths_name}: {batch} row(s), all of one length. Give at least two rows of different length: padding "
            "is where most mistakes are."
        )
    if len(vocabulary_of(Rows(token_ids, lengths))) < 2:
        raise UserError(f"{ids_name}: all real tokens are the same id. Give rows of at least two different ids.")
