"""One LSTM on one batch goes in; its tensors come out: axes, this batch's numbers, and what one element means.

The shapes are those of dense Tensors; packed, the same steps lie one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lstm_readout.explain.trace import Side, row_name


@dataclass(frozen=True)
class TensorLine:
    """One row of the table."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    meaning: str
    rows: tuple[str, ...]  # of h_n and c_n: the layer and direction of each
    read: str  # the part that the task reads; empty: nothing

    @property
    def shape_text(self) -> str:
        """``(time, batch) = (12, 6)``."""
        return f"({', '.join(self.axes)}) = {self.shape}"


def tensors_of(side: Side) -> list[TensorLine]:
    """Return input, h_0, c_0, output, h_n and c_n of this side; c_0 and c_n only for an lstm."""
    rnn, reading = side.lstm.rnn, side.reading
    steps, batch, both = side.steps, len(side.lengths), side.directions == 2
    step, at = (("batch", "time"), "b, t") if rnn.batch_first else (("time", "batch"), "t, b")
    sizes = (batch, steps) if rnn.batch_first else (steps, batch)
    h_name, h_size = ("proj_size", rnn.proj_size) if rnn.proj_size else ("hidden_size", rnn.hidden_size)
    rows, stacked = ("layers * directions" if both else "layers"), side.layers * side.directions
    names = tuple(row_name(side, row) for row in range(stacked))
    from_bridge = side.first is not None
    start = "the encoder's state" if from_bridge else "zeros"
    after = "after the last real step" + (
        "; in a backward direction: after step 0, which it reads last" if both else ""
    )
    halves = ", its two directions side by side: forward first" if both else ""

    def state(letter: str, when: str, size: tuple[str, int], meaning: str, read: tuple[int, ...]) -> TensorLine:
        shape = (stacked, batch, size[1])
        parts = ", ".join(f"{letter}_n[{row}]" for row in read)
        return TensorLine(f"{letter}_{when}", (rows, "batch", size[0]), shape, meaning, names, parts)

    has_c = side.lstm.cell == "lstm"
    hidden, cell = (h_name, h_size), ("hidden_size", rnn.hidden_size)
    read = "" if reading.output == "no step" else f"at {reading.output.replace('last', 'the last')}"
    lines = [
        TensorLine(
            "input",
            (*step, "input_size"),
            (*sizes, rnn.input_size),
            f"input[{at}]: the vector of token t of row b",
            (),
            "",
        ),
        state("h", "0", hidden, f"h_0[k, b]: the hidden state that row b starts from: {start}", ()),
        *([state("c", "0", cell, f"c_0[k, b]: the cell state that row b starts from: {start}", ())] if has_c else []),
        TensorLine(
            "output",
            (*step, f"2 * {h_name}" if both else h_name),
            (*sizes, side.directions * h_size),
            f"output[{at}]: the top layer after step t of row b{halves}",
            (),
            read,
        ),
        state("h", "n", hidden, f"h_n[k, b]: the hidden state of row b {after}", reading.h_n),
    ]
    if has_c:
        lines.append(
            state("c", "n", cell, "c_n[k, b]: the cell state beside h_n[k, b]; it is not part of output", reading.c_n)
        )
    return lines


def call_of(side: Side) -> str:
    """Return the constructor call: ``nn.LSTM(input_size=128, hidden_size=128, num_layers=2)``."""
    return f"nn.{side.lstm.cell.upper()}({', '.join(arguments_of(side.lstm.rnn))})"


def arguments_of(rnn: nn.RNNBase) -> list[str]:
    """Return ``name=value`` for both sizes and for every argument that is not the default."""
    usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False, "proj_size": 0}
    sizes = [f"input_size={rnn.input_size}", f"hidden_size={rnn.hidden_size}"]
    return sizes + [f"{name}={getattr(rnn, name)}" for name, value in usual.items() if getattr(rnn, name) != value]
