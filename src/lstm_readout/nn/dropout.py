"""Dropout over a sequence: vectors of all steps go in, the same come out, some features zeroed and the rest scaled.

Shapes: B rows, T steps, F features; packed data is (tokens, F).
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.nn.packed import row_of_token

Sequence = TypeVar("Sequence", Tensor, PackedSequence)


class SequenceDropout(nn.Dropout):
    """Dropout with a new mask at every step, or ``locked``: one mask a row for all of its steps.

    A locked mask takes the same features away throughout, so a recurrent layer cannot average the noise out (Gal and
    Ghahramani 2016, "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks").

    Args:
        p: probability of each feature.
        locked: one mask a row.
        batch_first: Tensors are (B, T, F), not (T, B, F).
    """

    def __init__(self, p: float, *, locked: bool = True, batch_first: bool = False) -> None:
        super().__init__(p)
        self.locked, self.batch_first = locked, batch_first

    def forward(self, sequence: Sequence) -> Sequence:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Drop features while training: packed (tokens, F), a Tensor (T, B, F), or (T, F) of one row."""
        if not (self.training and self.p):
            return sequence
        if isinstance(sequence, PackedSequence):
            data = sequence.data
            if self.locked:
                data = data * locked_mask(data[: int(sequence.batch_sizes[0])], self.p)[row_of_token(sequence)]
            else:
                data = dropout(data, self.p)
            return PackedSequence(data, *sequence[1:])
        if not self.locked:
            return dropout(sequence, self.p)
        time = 1 if self.batch_first and sequence.dim() == 3 else 0
        return sequence * locked_mask(sequence.select(time, 0), self.p).unsqueeze(time)

    def extra_repr(self) -> str:
        """Say what was chosen, in the module's printed form."""
        return f"{super().extra_repr()}, locked={self.locked}"


def locked_mask(first_step: Tensor, p: float) -> Tensor:
    """Draw which features each row keeps in all of its steps, scaled: (B, F) -> (B, F)."""
    return torch.empty_like(first_step).bernoulli_(1 - p) / (1 - p)
