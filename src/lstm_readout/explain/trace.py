"""A task and a batch go in; each LSTM of its model comes out: its inputs, its outputs, and which of them are read.

Shapes: B rows, T steps, I input_size, L layers, D directions, O = proj_size or hidden_size, H hidden_size.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from inspect import getsourcefile, getsourcelines
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, cast

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
from lstm_readout.nn.readout import Steps
from lstm_readout.tasks.base import Task

_EXPLAINED = ("classify", "generate", "translate")


@dataclass(frozen=True)
class Reading:
    """What is read from one LSTM: stated here, proved by ``gradient_proof``."""

    expression: str  # head(h_n[-1])
    because: str
    output: Steps
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
        UserError: for a model that is not from this package.
    """
    model, tokenizers = task.model, task.vocabulary.tokenizers

    def side(
        name: Any, encoder: Encoder, ids: PackedSequence, role: str, reading: Reading, first: LSTMState | None = None
    ) -> Side:
        padded, _ = torch.nn.utils.rnn.pad_packed_sequence(ids, batch_first=True)  # (B, T)
        rows = [row[:length] for row, length in zip(padded.tolist(), lengths_of(ids), strict=True)]
        tokens = [names_of(tokenizers[role], row) for row in rows]
        return Side(name, encoder, ids, tokens, first, Encoder.forward(encoder, ids, first), reading)

    if isinstance(model, Classifier):
        return [side("lstm", model.encoder, batch.token_ids, "text", _classifier(model))]
    if isinstance(model, LanguageModel):
        return [side("lstm", model.encoder, batch.inputs, "text", _language_model())]
    if isinstance(model, Seq2Seq):
        if model.decoder.arguments.get("input_feeding"):
            raise UserError(
                "model.input_feeding=true: explain shows one call of each LSTM, and input feeding makes one call "
                "per step. Set model.input_feeding=false to look at the rest."
            )
        source = reversed_rows(batch.source) if model.encoder.reverse else batch.source
        first, decoder = model.encode(batch.source), model.decoder.encoder
        return [
            side("encoder", model.encoder, source, "source", _encoder(model)),
            side("decoder", decoder, batch.target_inputs, "target", _decoder(model), LSTMState(first.h, first.c)),
        ]
    raise UserError(
        f"task: explain knows the models of {', '.join(_EXPLAINED)}; '{task.name}' has a {type(model).__name__}. "
        "Choose one of these tasks."
    )


def row_name(side: Side, row: int) -> str:
    """Return which layer and direction ``h_n[row]`` belongs to: ``layer 0 forward``."""
    layer, direction = divmod(row, side.directions)
    return f"layer {layer}" + ("" if side.directions == 1 else " backward" if direction else " forward")


def _classifier(model: Classifier) -> Reading:
    readout, layers = model.readout, model.encoder.lstm.rnn.num_layers
    function = type(model).forward if model.reads_one_state else type(readout).forward
    return Reading(
        f"head({readout.text(readout.expression)})",
        readout.text(readout.sentence),
        readout.output,
        readout.rows(readout.h_n, layers),
        readout.rows(readout.c_n, layers),
        *_last_statement(function),
    )


def _language_model() -> Reading:
    return _every_step("head(output)", "")


def _decoder(model: Seq2Seq) -> Reading:
    if model.attends:
        return _every_step("head(attention(output))", ", joined with what attention reads from the source")
    if model.looks_back:
        joined = ", joined with the state that the decoder started from"
        return _every_step(f"head(state_readout(output, {_start(model)}))", joined)
    return _language_model()


def _every_step(expression: str, joined: str) -> Reading:
    because = f"the top layer after step t predicts the token of step t + 1{joined}"
    return Reading(expression, because, "every real step", (), (), *_last_statement(LanguageModel.forward))


def _encoder(model: Seq2Seq) -> Reading:
    bridge, lstm = model.bridge, model.encoder.lstm
    layers = set(bridge.layers) if bridge.h else set(range(lstm.rnn.num_layers))
    rows = tuple(row for row in range(lstm.rnn.num_layers * bridge.directions) if row // bridge.directions in layers)
    has_c = lstm.cell == "lstm" and model.decoder.encoder.lstm.cell == "lstm"
    state, start = ("(h_n, c_n)" if has_c else "h_n"), _start(model)
    because = "the state after the last source token is all that the decoder knows of the source"
    if model.attends:
        because = (
            "the decoder starts from the state after the last source token, and attends to the top layer at every token"
        )
    elif model.looks_back:
        because += ", and the decoder's softmax reads it again at every step"
    if len(layers) < lstm.rnn.num_layers:
        because += "; the decoder has fewer layers, and reads the upper ones"
    expression = f"{start} = bridge({state})" if bridge.h else f"{start} = {state}"
    if model.attends:
        expression += ", attention(output)"
    output = "every real step" if model.attends else "no step"
    return Reading(
        f"decoder's {expression}", because, output, rows, rows if has_c else (), *_last_statement(Seq2Seq.forward)
    )


def _start(model: Seq2Seq) -> str:
    return "(h_0, c_0)" if model.decoder.encoder.lstm.cell == "lstm" else "h_0"


def _last_statement(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the statement that a function ends in, on one line, and its ``file:line``."""
    lines, first = getsourcelines(function)
    (definition,) = ast.parse(dedent("".join(lines))).body
    statement = cast(ast.FunctionDef, definition).body[-1]
    file = "/".join(Path(getsourcefile(function) or "").parts[-2:])
    return ast.unparse(statement), f"{file}:{first + statement.lineno - 1}"
