"""What a classifier reads: ``LSTMOutput`` goes in, one vector per document comes out.

``last`` is this project's readout: ``h_n[-1]``, or ``cat(h_n[-2], h_n[-1])`` with two directions. The others are there
to be compared with it. All of them read real steps only. Each class below contains everything that the project says
about its readout; ``READOUTS`` gives each a name.

Shapes: B rows, L layers, D directions, O = proj_size or hidden_size, H hidden_size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.nn.lstm import LSTM, LSTMOutput
from lstm_readout.nn.pooling import RealSteps, real_steps

Steps = Literal["no step", "last real step", "every real step"]
Layer = Literal["lowest layer", "top layer"]


class Readout(nn.Module):
    """Reads one vector per row of a batch. A readout is one subclass: ``forward``, and attributes that describe it.

    The texts may contain ``{h_top}``, ``{c_top}`` and ``{h_lowest}``, which become the final state of that layer, with
    both directions if there are two (``h_n[-1]`` or ``cat(h_n[-2], h_n[-1])``), and ``{at_its_end}``, which says after
    which token that is. The lines of ``plain`` may also contain:

    - ``{time}``: the axis of the steps, 0 or 1;
    - ``{last_steps}``: the index of each row's last real step, for ``output[{last_steps}]``;
    - ``{real}``, a line of its own: two lines that compute the mask ``real``, True at real steps.

    Attributes:
        expression: what is read, as code: ``mean(output)``.
        sentence: what that is, in words.
        output: the steps of ``output`` that are read.
        h_n, c_n: the layers of ``h_n`` and of ``c_n`` that are read.
        plain: the same in plain PyTorch: lines from ``output`` (padded), ``lengths``, ``h_n`` and ``c_n`` to
            ``document``, (batch, size).
        directions: D of the LSTM that is read.

    Args:
        lstm: the LSTM that is read.
    """

    expression: ClassVar[str]
    sentence: ClassVar[str]
    output: ClassVar[Steps] = "no step"
    h_n: ClassVar[Sequence[Layer]] = ()
    c_n: ClassVar[Sequence[Layer]] = ()
    plain: ClassVar[Sequence[str]]

    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.directions = 2 if lstm.rnn.bidirectional else 1
        self.batch_first = lstm.rnn.batch_first

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, size); (size,) for one row without a batch axis."""
        raise NotImplementedError

    def top(self, state: Tensor) -> Tensor:
        """Return the top layer: (L * D, B, O) -> (B, D * O)."""
        return state[-1] if self.directions == 1 else torch.cat((state[-2], state[-1]), dim=-1)

    def lowest(self, state: Tensor) -> Tensor:
        """Return the lowest layer: (L * D, B, O) -> (B, D * O)."""
        return state[0] if self.directions == 1 else torch.cat((state[0], state[1]), dim=-1)

    def steps(self, lstm: LSTMOutput) -> RealSteps:
        """Return ``output`` at the real steps of each row."""
        return real_steps(lstm.output, self.batch_first)

    def rows(self, read: Sequence[Layer], layers: int) -> tuple[int, ...]:
        """Return the rows of ``h_n`` or ``c_n`` that are read, of an LSTM with this many layers."""
        first = {"lowest layer": 0, "top layer": (layers - 1) * self.directions}
        return tuple(sorted({first[layer] + k for layer in read for k in range(self.directions)}))

    def text(self, template: str) -> str:
        """Fill in an ``expression`` or a ``sentence``."""
        ends = "(forward after its last real token, backward after its first)"
        return template.format(
            **self._states("cat({0}[{1}], {0}[{2}])"),
            at_its_end=ends if self.directions == 2 else "after its last real token",
        )

    def plain_lines(self) -> list[str]:
        """Return ``plain`` for this LSTM."""
        time, at = (1, "rows, lengths - 1") if self.batch_first else (0, "lengths - 1, rows")
        steps = f"steps = torch.arange(output.shape[{time}])"
        mask = "real = steps < lengths.unsqueeze(1)" if self.batch_first else "real = steps.unsqueeze(1) < lengths"
        names = {
            **self._states("torch.cat(({0}[{1}], {0}[{2}]), dim=-1)"),
            "time": time,
            "last_steps": at.replace("rows", "torch.arange(len(lengths))"),
            "real": f"{steps}\n{mask}",
        }
        return [line for template in self.plain for line in template.format(**names).splitlines()]

    def _states(self, both: str) -> dict[str, str]:
        """Return how the state of a layer is written; ``both``: how the two directions of one are joined."""
        places = {"h_top": ("h_n", -2, -1), "c_top": ("c_n", -2, -1), "h_lowest": ("h_n", 0, 1)}
        if self.directions == 2:
            return {name: both.format(*place) for name, place in places.items()}
        return {"h_top": "h_n[-1]", "c_top": "c_n[-1]", "h_lowest": "h_n[0]"}


class Last(Readout):
    """The top layer of ``h_n``."""

    expression = "{h_top}"
    sentence = "one vector per document: the top layer {at_its_end}"
    h_n = ("top layer",)
    plain = ("document = {h_top}",)

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * O)."""
        return self.top(lstm.h_n)


class LastStep(Readout):
    """``output`` at each row's last real step: with one direction the same numbers as ``h_n[-1]``."""

    expression = "output[last]"
    sentence = "the top layer at the last real step; a backward direction has read only one token there"
    output = "last real step"
    plain = ("document = output[{last_steps}]",)

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * O)."""
        return self.steps(lstm).last()


class Mean(Readout):
    """The mean of ``output`` over all steps."""

    expression = "mean(output)"
    sentence = "the mean of the top layer over the real steps of each row"
    output = "every real step"
    plain = ("# padding is 0", "document = output.sum({time}) / lengths.unsqueeze(1)")

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * O)."""
        return self.steps(lstm).mean()


class Max(Readout):
    """The maximum of ``output`` over all steps."""

    expression = "max(output)"
    sentence = "the maximum of each feature of the top layer over the real steps of each row"
    output = "every real step"
    plain = (
        "{real}",
        'masked = output.masked_fill(~real.unsqueeze(-1), float("-inf"))',
        "document = masked.amax({time})",
    )

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * O)."""
        return self.steps(lstm).max()


class Attention(Readout):
    """A learned weighted mean of ``output``.

    Yang et al. 2016, "Hierarchical Attention Networks for Document Classification", equations 8 to 10.
    """

    expression = "attention(output)"
    sentence = "a learned weighted mean of the top layer over the real steps of each row"
    output = "every real step"
    plain = (
        "{real}",
        "scores = query(torch.tanh(projection(output))).squeeze(-1)",
        'weights = scores.masked_fill(~real, float("-inf")).softmax({time})',
        "document = (weights.unsqueeze(-1) * output).sum({time})",
    )

    def __init__(self, lstm: LSTM) -> None:
        super().__init__(lstm)
        self.projection = nn.Linear(lstm.output_size, lstm.output_size)
        self.query = nn.Linear(lstm.output_size, 1, bias=False)

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * O)."""
        steps = self.steps(lstm)
        scores = self.query(torch.tanh(self.projection(steps.data)))  # (tokens, 1)
        return steps.weighted_mean(scores)


class Concat(Readout):
    """The top layer of ``h_n``, and the mean and the maximum of ``output``, side by side.

    Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.3.
    """

    expression = "cat({h_top}, mean, max)"
    sentence = "the top layer's last state beside the mean and the maximum of all its steps"
    output = "every real step"
    h_n = ("top layer",)
    plain = (
        "{real}",
        'masked = output.masked_fill(~real.unsqueeze(-1), float("-inf"))',
        "last = {h_top}",
        "mean = output.sum({time}) / lengths.unsqueeze(1)",
        "document = torch.cat((last, mean, masked.amax({time})), dim=-1)",
    )

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, 3 * D * O)."""
        steps = self.steps(lstm)
        return torch.cat((self.top(lstm.h_n), steps.mean(), steps.max()), dim=-1)


class FirstLayer(Readout):
    """The lowest layer of ``h_n``."""

    expression = "{h_lowest}"
    sentence = "the lowest layer {at_its_end}"
    h_n = ("lowest layer",)
    plain = ("document = {h_lowest}",)

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * O)."""
        return self.lowest(lstm.h_n)


class Cell(Readout):
    """The top layer of ``c_n``."""

    expression = "{c_top}"
    sentence = "the cell state of the top layer {at_its_end}"
    c_n = ("top layer",)
    plain = ("document = {c_top}",)

    def forward(self, lstm: LSTMOutput) -> Tensor:
        """Return (B, D * H)."""
        # build_readout has checked that there is a c_n
        return self.top(cast(Tensor, lstm.c_n))


READOUTS: dict[str, type[Readout]] = {
    "last": Last,
    "last_step": LastStep,
    "mean": Mean,
    "max": Max,
    "attention": Attention,
    "concat": Concat,
    "first_layer": FirstLayer,
    "cell": Cell,
}


def build_readout(name: str, lstm: LSTM, readouts: Mapping[str, type[Readout]] = READOUTS) -> Readout:
    """Build the readout ``name`` for an LSTM.

    Raises:
        UserError: for a name that is not in ``readouts``, or one that reads ``c_n`` of a gru or rnn.
    """
    if name not in readouts:
        raise UserError(f"readout: there is no '{name}'. {did_you_mean(str(name), readouts)}")
    if readouts[name].c_n and lstm.cell != "lstm":
        raise UserError(f"readout={name}: a {lstm.cell} has no c_n. Set cell=lstm, or readout=last.")
    return readouts[name](lstm)


@torch.no_grad()
def readout_size(readout: Readout, lstm: LSTM) -> int:
    """Return the width of what a readout returns, from one row of one step of zeros."""
    rnn, weight = lstm.rnn, next(lstm.parameters())
    number = rnn.num_layers * readout.directions
    h_n = weight.new_zeros(number, 1, rnn.proj_size or rnn.hidden_size)
    c_n = weight.new_zeros(number, 1, rnn.hidden_size) if lstm.cell == "lstm" else None
    return readout(LSTMOutput(weight.new_zeros(1, 1, lstm.output_size), h_n, c_n)).shape[-1]
