"""What a classifier reads: ``LSTMOutput`` goes in, one vector for each document comes out.

``last`` is the answer of this project: ``h_n[-1]``, of two directions ``cat(h_n[-2], h_n[-1])``. The others are there
to be compared with it. All of them see real steps only.

Shapes: B rows, T steps, L layers, D directions, O = proj_size or hidden_size, H hidden_size.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.nn.lstm import LSTM, LSTMOutput
from lstm_readout.nn.packed import row_of_token

ReadoutName = Literal["last", "last_step", "mean", "max", "attention", "concat", "first_layer", "cell"]


class Readout(nn.Module):
    """One vector for each row of a batch.

    Args:
        name: ``last``: the top layer of h_n. ``last_step``: output at each row's last real step (with two directions
            its backward half has read one token). ``mean``, ``max``: over output at all steps. ``attention``: a learned
            weighted mean of output (Yang et al. 2016, "Hierarchical Attention Networks for Document Classification",
            equations 8 to 10). ``concat``: last, mean and max side by side (Howard and Ruder 2018, "Universal Language
            Model Fine-tuning for Text Classification", section 3.3). ``first_layer``: the lowest layer of h_n.
            ``cell``: the top layer of c_n.
        lstm: the LSTM that is read.

    Attributes:
        size: width of the vector.

    Raises:
        UserError: for an unknown ``name``, or ``cell`` of a gru or rnn.
    """

    def __init__(self, name: ReadoutName, lstm: LSTM) -> None:
        super().__init__()
        if name not in get_args(ReadoutName):
            raise UserError(f"readout: there is no '{name}'. {did_you_mean(str(name), get_args(ReadoutName))}")
        if name == "cell" and lstm.cell != "lstm":
            raise UserError(f"readout=cell: a {lstm.cell} has no c_n. Set cell=lstm, or readout=last.")
        self.name: ReadoutName = name
        self.directions = 2 if lstm.rnn.bidirectional else 1
        self.batch_first = lstm.rnn.batch_first
        width = lstm.output_size
        self.size = {"concat": 3 * width, "cell": self.directions * lstm.rnn.hidden_size}.get(name, width)
        if name == "attention":
            self.projection = nn.Linear(width, width)
            self.query = nn.Linear(width, 1, bias=False)

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, size); (size,) for one row without a batch axis."""
        match self.name:
            case "last" if self.directions == 1:
                return lstm.h_n[-1]
            case "last":
                return torch.cat((lstm.h_n[-2], lstm.h_n[-1]), dim=-1)  # forward and backward half
            case "cell":
                assert lstm.c_n is not None  # refused at the start
                return self._top(lstm.c_n)
            case "first_layer":
                return torch.cat(tuple(lstm.h_n[: self.directions]), dim=-1)
        steps = _steps(lstm.output, self.batch_first)
        match self.name:
            case "last_step":
                pooled = steps.last()
            case "mean":
                pooled = steps.mean()
            case "max":
                pooled = steps.max()
            case "attention":
                scores = self.query(torch.tanh(self.projection(steps.data)))  # (tokens, 1)
                pooled = steps.weighted(scores)
            case "concat":
                pooled = torch.cat((self._top(lstm.h_n).reshape(steps.rows, -1), steps.mean(), steps.max()), dim=-1)
        return pooled if lstm.h_n.dim() == 3 else pooled[0]

    def _top(self, state: Tensor) -> Tensor:
        """Return the top layer: (L * D, B, O) -> (B, D * O)."""
        return state[-1] if self.directions == 1 else torch.cat((state[-2], state[-1]), dim=-1)


class _Steps(NamedTuple):
    """Output at all real steps, and whose they are."""

    data: Tensor  # (tokens, D * O), a row's steps in order
    row: Tensor  # (tokens,) the place of each token's row in the batch
    rows: int

    def mean(self) -> Tensor:
        """Return the mean of each row: (B, D * O)."""
        return self._sum(self.data) / torch.bincount(self.row, minlength=self.rows).unsqueeze(1)

    def max(self) -> Tensor:
        """Return the greatest value of each feature and row: (B, D * O)."""
        return self._max(self.data)

    def last(self) -> Tensor:
        """Return each row's last step: (B, D * O)."""
        place = torch.arange(len(self.row), device=self.row.device)
        index = place.new_zeros(self.rows).scatter_reduce(0, self.row, place, "amax", include_self=False)
        return self.data[index]

    def weighted(self, scores: Tensor) -> Tensor:
        """Return the mean of each row, weighted by the softmax of its scores (tokens, 1): (B, D * O)."""
        powers = (scores - self._max(scores.detach())[self.row]).exp()  # less the row's greatest: none overflows
        return self._sum(powers * self.data) / self._sum(powers)

    def _sum(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.rows, values.shape[1]).index_add(0, self.row, values)

    def _max(self, values: Tensor) -> Tensor:
        index = self.row.unsqueeze(1).expand_as(values)
        return values.new_zeros(self.rows, values.shape[1]).scatter_reduce(0, index, values, "amax", include_self=False)


def _steps(output: Tensor | PackedSequence, batch_first: bool) -> _Steps:
    if isinstance(output, PackedSequence):
        row = row_of_token(output)  # in the packed order
        if output.sorted_indices is not None:
            row = output.sorted_indices[row]
        return _Steps(output.data, row, int(output.batch_sizes[0]))
    if output.dim() == 2:  # one row without a batch axis
        output = output.unsqueeze(1)
    elif batch_first:
        output = output.transpose(0, 1)
    rows = output.shape[1]
    row = torch.arange(rows, device=output.device).repeat(output.shape[0])
    return _Steps(output.flatten(0, 1), row, rows)
