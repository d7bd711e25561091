"""``output`` goes in; one vector per row comes out, pooled over the row's real steps only.

Shapes: B rows, T steps, F features.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.nn.packed import row_of_token


class RealSteps(NamedTuple):
    """``output`` at all real steps, and the row that each step belongs to.

    Each method returns (B, F), or (F,) for one row without a batch axis.
    """

    data: Tensor  # (tokens, F), a row's steps in order
    row: Tensor  # (tokens,) the place of each token's row in the batch
    rows: int  # B
    batched: bool = True

    def last(self) -> Tensor:
        """Return each row's last step."""
        place = torch.arange(len(self.row), device=self.row.device)
        index = place.new_zeros(self.rows).scatter_reduce(0, self.row, place, "amax", include_self=False)
        return self._by_row(self.data[index])

    def mean(self) -> Tensor:
        """Return the mean of each row."""
        # No bincount: it has no result on the meta device, where a model is built to compare its shapes with a file
        steps = self.row.new_zeros(self.rows).index_add(0, self.row, torch.ones_like(self.row))
        return self._by_row(self._sum(self.data) / steps.unsqueeze(1))

    def max(self) -> Tensor:
        """Return the maximum of each feature of each row."""
        return self._by_row(self._max(self.data))

    def weighted_mean(self, scores: Tensor) -> Tensor:
        """Return the mean of each row, weighted by the softmax of its scores (tokens, 1)."""
        powers = (scores - self._max(scores.detach())[self.row]).exp()  # minus the row's maximum: none overflows
        return self._by_row(self._sum(powers * self.data) / self._sum(powers))

    def _by_row(self, pooled: Tensor) -> Tensor:
        return pooled if self.batched else pooled[0]

    def _sum(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.rows, values.shape[1]).index_add(0, self.row, values)

    def _max(self, values: Tensor) -> Tensor:
        index = self.row.unsqueeze(1).expand_as(values)
        return values.new_zeros(self.rows, values.shape[1]).scatter_reduce(0, index, values, "amax", include_self=False)


def real_steps(output: Tensor | PackedSequence, batch_first: bool) -> RealSteps:
    """Return the real steps of packed data, or all steps of a Tensor.

    Shapes: packed (tokens, F), (T, B, F), (B, T, F) with ``batch_first``, or (T, F) of one row.
    """
    if isinstance(output, PackedSequence):
        row = row_of_token(output)  # in the packed order
        if output.sorted_indices is not None:
            row = output.sorted_indices[row]
        return RealSteps(output.data, row, int(output.batch_sizes[0]))
    batched = output.dim() == 3
    if not batched:
        output = output.unsqueeze(1)
    elif batch_first:
        output = output.transpose(0, 1)
    rows = output.shape[1]
    row = torch.arange(rows, device=output.device).repeat(output.shape[0])
    return RealSteps(output.flatten(0, 1), row, rows, batched)
