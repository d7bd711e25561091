"""Looking into one trained model: what its state holds, and when. A checkpoint goes in, tables and curves come out.

A probe returns ``{"tables": {title: (heads, rows)}, "curves": {file name: {...}}}``, plain values all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from lstm_readout.compare.runs import held_out, held_out_rows, stream_statistics
from lstm_readout.data.batches import ClassifyBatch, TranslateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import WARM_UP, StreamDataset, join_stream
from lstm_readout.inference.decoding import translate
from lstm_readout.models.classify import Classifier
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.lstm import LSTMOutput, LSTMState
from lstm_readout.tasks import ClassifyTask, GenerateTask, TranslateTask
from lstm_readout.tokenizer.ragged import Ragged, pack

FRACTIONS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@torch.inference_mode()
def when_did_it_know(path: Path, data: TextDataModule, rows: int) -> dict[str, Any]:
    """Apply the trained classifier to every prefix of the held-out texts: accuracy against the fraction read."""
    task = ClassifyTask.load_from_checkpoint(path).eval()
    model: Classifier = task.model
    column = data.columns[held_out(data)]["text"]
    assert isinstance(column, Ragged)
    lengths: list[int] = []
    correct: list[Tensor] = []
    for batch in held_out_rows(data, rows):
        assert isinstance(batch, ClassifyBatch)
        texts = _rows_of(batch.token_ids)
        lengths += [len(text) for text in texts]
        of_batch = []
        for fraction in FRACTIONS:
            prefixes = Ragged.from_lists([text[: max(1, round(fraction * len(text)))] for text in texts])
            logits = model(pack(prefixes, np.arange(len(texts))))
            of_batch.append(logits.argmax(-1) == batch.labels)
        correct.append(torch.stack(of_batch, dim=1))  # (B, fractions)
    known = torch.cat(correct).double().numpy()  # (R, fractions)
    sizes = np.array(lengths)
    borders = np.unique(np.quantile(sizes, [0, 0.25, 0.5, 0.75, 1]).astype(int))
    lines = {"all texts": known.mean(0).tolist()}
    for low, high in pairwise(borders):
        inside = (sizes >= low) & ((sizes < high) | (high == borders[-1]))
        if inside.any() and len(borders) > 2:
            lines[f"{low} to {high if high == borders[-1] else high - 1} tokens"] = known[inside].mean(0).tolist()
    heads = ["", *(f"{fraction:.0%}" for fraction in FRACTIONS[1::2])]
    table = [[name, *(f"{value:.3f}" for value in values[1::2])] for name, values in lines.items()]
    curve = {
        "x": FRACTIONS,
        "lines": lines,
        "xlabel": "fraction of the text read",
        "ylabel": "accuracy",
        "title": "when did it know?",
    }
    return {"tables": {"Accuracy against fraction read": (heads, table)}, "curves": {"prefixes": curve}}


Edit = Callable[[LSTMState], LSTMState]


@torch.inference_mode()
def tampered_state(path: Path, data: TextDataModule, rows: int) -> dict[str, Any]:
    """Change parts of the state between a trained encoder and its decoder: the BLEU that each part carries."""
    task = TranslateTask.load_from_checkpoint(path).eval()
    model: Seq2Seq = task.model
    encoder = model.encoder
    tokenizer = task.vocabulary.tokenizers["target"]
    batches = [batch for batch in held_out_rows(data, rows) if isinstance(batch, TranslateBatch)]
    references = [text for batch in batches for text in batch.references]
    scores: dict[str, float] = {}
    for name, edit in _edits(model).items():

        def encode(ids: PackedSequence, edit: Edit = edit) -> LSTMState:
            return encoder.first_state(_edited(encoder.read(ids), edit))

        changed = SimpleNamespace(decoder=model.decoder, encode=encode)
        written = [
            tokenizer.decode(ids) for batch in batches for ids in translate(cast(Seq2Seq, changed), batch.source)
        ]
        scores[name] = BLEU().corpus_score(written, [references]).score
    whole = scores["as it is"]
    lines = [[name, f"{score:.2f}", f"{score - whole:+.2f}"] for name, score in scores.items()]
    return {
        "tables": {"BLEU with a part of the state changed": (["change", "BLEU", "difference"], lines)},
        "bleu": scores,
    }


def _edited(lstm: LSTMOutput, edit: Edit) -> LSTMOutput:
    return LSTMOutput(lstm.output, *edit(lstm.state))


def _edits(model: Seq2Seq) -> dict[str, Edit]:
    """Return what is done to (L * D, B, size): zeros, the state of another row, or one part in place of another."""
    lstm = model.encoder.lstm.rnn
    directions, layers = model.bridge.directions, lstm.num_layers
    has_c = model.encoder.lstm.cell == "lstm"
    every = slice(None)
    parts: dict[str, tuple[Any, bool, bool]] = {"h_n": (every, True, False)}
    if has_c:
        parts["c_n"] = (every, False, True)
    if layers > 1:
        for layer in range(layers):
            place = slice(layer * directions, (layer + 1) * directions)
            parts[f"layer {layer}"] = (place, True, True)
    if directions > 1:
        for direction, name in enumerate(("forward", "backward")):
            parts[f"{name} direction"] = (slice(direction, None, directions), True, True)
    parts["all of it"] = (every, True, True)
    edits: dict[str, Edit] = {"as it is": lambda state: state}
    for name, (place, h, c) in parts.items():
        edits[f"{name}: zeros"] = _edit(place, h, c, torch.zeros_like)
        edits[f"{name}: of another row"] = _edit(place, h, c, lambda part: part.roll(1, dims=1))
    if has_c and not lstm.proj_size:
        edits["h_n and c_n swapped"] = lambda state: LSTMState(cast(Tensor, state.c), state.h)
    if layers > 1:
        edits["layers swapped"] = _reordered(lambda part: part.unflatten(0, (layers, directions)).flip(0).flatten(0, 1))
    if directions > 1:
        edits["directions swapped"] = _reordered(
            lambda part: part.unflatten(0, (layers, directions)).flip(1).flatten(0, 1)
        )
    return edits


def _edit(place: slice, h: bool, c: bool, change: Callable[[Tensor], Tensor]) -> Edit:
    def edited(part: Tensor | None, wanted: bool) -> Tensor | None:
        if part is None or not wanted:
            return part
        part = part.clone()
        part[place] = change(part[place])
        return part

    return lambda state: LSTMState(cast(Tensor, edited(state.h, h)), edited(state.c, c))


def _reordered(order: Callable[[Tensor], Tensor]) -> Edit:
    return lambda state: LSTMState(order(state.h), None if state.c is None else order(state.c))


HISTORY = 512  # tokens
STARTS = 400  # places of the held-out stream
WIDTHS, WINDOWS = (1, 8, 32), (16, 64, 256)


@torch.inference_mode()
def worth_of_history(path: Path, data: TextDataModule, rows: int) -> dict[str, Any]:
    """Measure a language model by the number of tokens that its state has seen, and audit its perplexity."""
    task = GenerateTask.load_from_checkpoint(path).eval()
    model: LanguageModel = task.model
    stream = join_stream(data.columns[held_out(data)]["text"])
    length = min(HISTORY, (len(stream) - 1) // 2)
    starts = np.random.default_rng(0).integers(0, len(stream) - 1 - length, size=min(STARTS, len(stream) - 1 - length))
    index = np.arange(length)[:, None] + starts  # (T, B)
    token_ids, targets = (torch.from_numpy(stream[index + shift].astype(np.int64)) for shift in (0, 1))
    if model.encoder.lstm.rnn.batch_first:
        token_ids, targets = token_ids.T, targets.T
    logits = cast(Tensor, model(token_ids).logits)
    losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    by_step = losses.mean(1 if not model.encoder.lstm.rnn.batch_first else 0).double().numpy()  # (T,)
    ends = [2**power for power in range(20) if 2**power <= length]
    points = [float(by_step[end // 2 : end].mean()) for end in ends]
    names = [str(end) if end <= 2 else f"{end // 2 + 1} to {end}" for end in ends]
    curve = {
        "x": ends,
        "lines": {"loss": points},
        "xlabel": "tokens read since the state was zero",
        "ylabel": "loss of the next token (nats)",
        "title": "what the carried state is worth",
        "log": True,
    }
    worth = [[name, f"{point:.4f}", f"{point - points[-1]:+.4f}"] for name, point in zip(names, points, strict=True)]
    audit = {
        f"{width} x {window}": _perplexity(task, StreamDataset(stream, columns=width, window=window, warm_up=WARM_UP))
        for width in WIDTHS
        for window in WINDOWS
    }
    middle = float(np.median(list(audit.values())))
    spread = max(abs(value / middle - 1) for value in audit.values())
    width, window = WIDTHS[-1], WINDOWS[1]
    cold = _perplexity(task, StreamDataset(stream, columns=width, window=window))
    shown = {**audit, f"{width} x {window}, columns cold": cold}
    checked = [[name, f"{value:.6f}", f"{value / middle - 1:+.1e}"] for name, value in shown.items()]
    return {
        "tables": {
            "Loss by length of history": (["tokens of history", "loss (nats)", "to the longest"], worth),
            "Perplexity by batch width and window": (
                ["width x window", "perplexity", "relative to the median"],
                checked,
            ),
        },
        "curves": {"history": curve},
        "audit": {"perplexity": audit, "cold": cold, "spread": spread, "holds": spread < 1e-4},
    }


def _perplexity(task: GenerateTask, stream: StreamDataset) -> float:
    nats, tokens = stream_statistics(task, stream).sum(0)
    return float(np.exp(nats / tokens))


PROBES: dict[str, Callable[[Path, TextDataModule, int], dict[str, Any]]] = {
    "classify": when_did_it_know,
    "translate": tampered_state,
    "generate": worth_of_history,
}


def _rows_of(packed: PackedSequence) -> list[list[int]]:
    return [row.tolist() for row in unpack_sequence(packed)]
