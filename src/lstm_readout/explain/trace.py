"""A task and a batch go in; each LSTM of its model comes out: what it was given, what it gave, what is read of it.

Shapes: B rows, T steps, I input_size, L layers, D directions, O = proj_size or hidden_size, H hidden_size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getsourcefile, getsourcelines
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError
from lstm_readout.explain.batch import lengths_of, names_of
from lstm_readout.models.classify import Classifier
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.encoder import Encoder
from lstm_readout.nn.lstm import LSTM, LSTMOutput, LSTMState
from lstm_readout.nn.packed import reversed_rows
from lstm_readout.nn.readout import Readout
from lstm_readout.tasks.base import Task

EXPLAINED = ("classify", "generate", "translate")


@dataclass(frozen=True)
class Reading:
    """What is read of one LSTM: said here, proved by ``gradients``."""

    expression: str  # head(h_n[-1])
    because: str
    output: Literal["no step", "last real step", "every real step"]
    h_n: tuple[int, ...]  # rows
    c_n: tuple[int, ...]
    line: str  # of the model's source
    place: str  # file:line


@dataclass(frozen=True)
class Side:
    """One LSTM of a model on one batch."""

    name: Literal["lstm", "encoder", "decoder"]
    encoder: Encoder  # embedding and LSTM
    token_ids: PackedSequence
    tokens: list[list[str]]  # (B, length) in the order of the batch
    first: LSTMState | None  # (h_0, c_0); None: zeros
    result: LSTMOutput  # output packed, (tokens, D * O)
    reading: Reading

    @property
    def lstm(self) -> LSTM:
        """The LSTM itself."""
        return self.encoder.lstm

    @property
    def directions(self) -> int:
        """D."""
        return 2 if self.lstm.rnn.bidirectional else 1

    @property
    def layers(self) -> int:
        """L."""
        return self.lstm.rnn.num_layers

    @property
    def lengths(self) -> list[int]:
        """Real steps of each row: (B,)."""
        return [len(row) for row in self.tokens]

    @property
    def steps(self) -> int:
        """T."""
        return max(self.lengths)


@torch.no_grad()
def sides_of(task: Task, batch: Any) -> list[Side]:
    """Return the LSTMs of the task's model: one, or the encoder's and the decoder's.

    Raises:
        UserError: for a model that is none of this package's.
    """
    model, tokenizers = task.model, task.vocabulary.tokenizers

    def side(
        name: Any, encoder: Encoder, ids: PackedSequence, role: str, reading: Reading, first: LSTMState | None = None
    ) -> Side:
        padded, _ = torch.nn.utils.rnn.pad_packed_sequence(ids, batch_first=True)  # (B, T)
        rows = [row[:length] for row, length in zip(padded.tolist(), lengths_of(ids), strict=True)]
        tokens = [names_of(tokenizers[role], row) for row in rows]
        return Side(name, encoder, ids, tokens, first, encoder(ids, first), reading)

    if isinstance(model, Classifier):
        return [side("lstm", model.encoder, batch.token_ids, "text", _classifier(model))]
    if isinstance(model, LanguageModel):
        return [side("lstm", model.encoder, batch.inputs, "text", _language_model())]
    if isinstance(model, Seq2Seq):
        if model.decoder.arguments.get("input_feeding"):
            raise UserError(
                "model.input_feeding=true: explain shows one call of each LSTM, and input feeding makes one for each "
                "step. Set model.input_feeding=false to look at the rest."
            )
        source = reversed_rows(batch.source) if model.reverse_source else batch.source
        first = model.encode(batch.source)
        return [
            side("encoder", model.encoder, source, "source", _bridge(model)),
            side(
                "decoder",
                model.decoder.encoder,
                batch.target_inputs,
                "target",
                _language_model(model),
                LSTMState(first.h, first.c),
            ),
        ]
    raise UserError(
        f"task: explain knows the models of {', '.join(EXPLAINED)}; '{task.name}' has a {type(model).__name__}. "
        "Choose one of these tasks."
    )


def row_name(side: Side, row: int) -> str:
    """Return whose state ``h_n[row]`` is: ``layer 0 forward``."""
    layer, direction = divmod(row, side.directions)
    return f"layer {layer}" + ("" if side.directions == 1 else " backward" if direction else " forward")


def _classifier(model: Classifier) -> Reading:
    two, rows = model.readout.directions == 2, model.encoder.lstm.rnn.num_layers * model.readout.directions
    top = (rows - 2, rows - 1) if two else (rows - 1,)
    lowest = (0, 1) if two else (0,)
    h_top, c_top = ("cat(h_n[-2], h_n[-1])", "cat(c_n[-2], c_n[-1])") if two else ("h_n[-1]", "c_n[-1]")
    ends = (
        ", forward after its last real token and backward after its first one" if two else " after its last real token"
    )
    match model.readout.name:
        case "last":
            reading = (f"head({h_top})", f"one vector for each document: the top layer{ends}", "no step", top, ())
        case "cell":
            reading = (f"head({c_top})", f"the cell state of the top layer{ends}", "no step", (), top)
        case "first_layer":
            expression = "head(cat(h_n[0], h_n[1]))" if two else "head(h_n[0])"
            reading = (expression, f"the lowest layer{ends}", "no step", lowest, ())
        case "last_step":
            half = "; the backward half of it has read one token" if two else ""
            reading = ("head(output[last])", f"the top layer at the last real step{half}", "last real step", (), ())
        case "concat":
            because = "the top layer's last state beside the mean and the maximum of all its steps"
            last = "h_n[-2], h_n[-1]" if two else "h_n[-1]"
            reading = (f"head(cat({last}, mean, max))", because, "every real step", top, ())
        case name:
            because = {
                "mean": "the mean of the top layer over the real steps of each row",
                "max": "the maximum of each feature of the top layer over the real steps of each row",
                "attention": "a learned weighted mean of the top layer over the real steps of each row",
            }[name]
            reading = (f"head({name}(output))", because, "every real step", (), ())
    source = {
        "last": "return torch.cat((lstm.h_n[-2]" if two else "return lstm.h_n[-1]",
        "cell": "return self._top(lstm.c_n)",
        "first_layer": "return torch.cat(tuple(lstm.h_n[: self.directions]), dim=-1)",
        "last_step": "pooled = steps.last()",
        "mean": "pooled = steps.mean()",
        "max": "pooled = steps.max()",
        "attention": "pooled = steps.weighted(scores)",
        "concat": "pooled = torch.cat((self._top(lstm.h_n)",
    }[model.readout.name]
    return Reading(*reading, *source_line(Readout.forward, source))  # pyright: ignore[reportArgumentType]


def _language_model(translator: Seq2Seq | None = None) -> Reading:
    because = "the top layer after step t predicts the token of step t + 1"
    expression, joined = "head(output)", ""
    if translator is not None and translator.looks_back:
        expression = f"head(state_readout(output, {_start(translator)}))"
        joined = ", joined with the state that the decoder started from"
    if translator is not None and translator.attends:
        expression, joined = "head(attention(output))", ", joined with what attention reads of the source"
    line = source_line(LanguageModel.forward, "self.dropout(lstm.output)")
    return Reading(expression, because + joined, "every real step", (), (), *line)


def _bridge(model: Seq2Seq) -> Reading:
    bridge, lstm = model.bridge, model.encoder.lstm
    layers = set(bridge.layers) if bridge.h else set(range(lstm.rnn.num_layers))
    rows = tuple(row for row in range(lstm.rnn.num_layers * bridge.directions) if row // bridge.directions in layers)
    has_c = lstm.cell == "lstm" and model.decoder.encoder.lstm.cell == "lstm"
    state, start = ("(h_n, c_n)" if has_c else "h_n"), _start(model)
    because = "the state after the last source token is all that the decoder knows of the source"
    if model.attends:
        because = "the decoder starts from the state after the last source token, and attends to the top layer at each"
    elif model.looks_back:
        because += ", and the decoder's softmax reads it again at every step"
    if len(layers) < lstm.rnn.num_layers:
        because += "; the decoder has fewer layers, and reads the upper ones"
    line = source_line(Seq2Seq.begin, "self.bridge(")
    expression = f"{start} = bridge({state})" if bridge.h else f"{start} = {state}"
    if model.attends:
        expression += ", attention(output)"
    output = "every real step" if model.attends else "no step"
    return Reading(f"decoder's {expression}", because, output, rows, rows if has_c else (), *line)


def _start(model: Seq2Seq) -> str:
    return "(h_0, c_0)" if model.decoder.encoder.lstm.cell == "lstm" else "h_0"


def source_line(function: Callable[..., Any], part: str) -> tuple[str, str]:
    """Return the line of a function's source that holds ``part``, and its ``file:line``."""
    lines, first = getsourcelines(function)
    file = "/".join(Path(getsourcefile(function) or "").parts[-2:])
    number, line = next((pair for pair in enumerate(lines) if part in pair[1]), (0, lines[0]))
    return line.strip(), f"{file}:{first + number}"
