"""Dropout over a sequence: vectors of all steps go in, the same come out, some features zeroed and the rest scaled.

Shapes: B rows, T steps, F features; packed data is (tokens, F).
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.nn.packed import row_of_token, with_data

Sequence = TypeVar("Sequence", Tensor, PackedSequence)


class SequenceDropout(nn.Dropout):
    """Dropout with a new mask at every step, or ``locked``: one mask per row for all of its steps.

    A locked mask drops the same features throughout, so that a recurrent layer cannot average the noise out (Gal and
    Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks").

    Args:
        p: probability of each feature.
        locked: one mask per row.
        batch_first: Tensors are (B, T, F), not (T, B, F).
    """

    def __init__(self, p: float, *, locked: bool = True, batch_first: bool = False) -> None:
        super().__init__(p)
        self.locked, self.batch_first = locked, batch_first

    def forward(self, input: Sequence) -> Sequence:
        """Drop features in training: packed (tokens, F), a Tensor (T, B, F), or (T, F) of one row."""
        if not (self.training and self.p):
            return input
        if isinstance(input, PackedSequence):
            data = input.data
            if self.locked:
                data = data * _locked_mask(data[: int(input.batch_sizes[0])], self.p)[row_of_token(input)]
            else:
                data = dropout(data, self.p)
            return with_data(input, data)
        if not self.locked:
            return dropout(input, self.p)
        time = 1 if self.batch_first and input.dim() == 3 else 0
        return input * _locked_mask(input.select(time, 0), self.p).unsqueeze(time)

    def extra_repr(self) -> str:
        """Add ``locked`` to the module's printed form."""
        return f"{super().extra_repr()}, locked={self.locked}"


def _locked_mask(first_step: Tensor, p: float) -> Tensor:
    """Draw the features that each row keeps at all of its steps, scaled: (B, F) -> (B, F)."""
    return torch.empty_like(first_step).bernoulli_(1 - p) / (1 - p)
