"""What each part of a translator's state carries: a checkpoint goes in; the BLEU without each part comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from sacrebleu.metrics.bleu import BLEU
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.compare.held_out import held_out_rows
from lstm_readout.data.batches import TranslateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.inference.decoding import translate
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.lstm import LSTMOutput, LSTMState
from lstm_readout.tasks import TranslateTask

_Edit = Callable[[LSTMState], LSTMState]


@torch.inference_mode()
def edited_state(path: Path, data: TextDataModule, rows: int) -> dict[str, Any]:
    """Edit the state between a trained encoder and its decoder, one part at a time, and score the translations."""
    task = TranslateTask.load_from_checkpoint(path).eval()
    model: Seq2Seq = task.model
    tokenizer = task.vocabulary.tokenizers["target"]
    batches: list[TranslateBatch] = list(held_out_rows(data, rows))
    references = [text for batch in batches for text in batch.references]
    scores: dict[str, float] = {}
    for name, edit in _edits(model).items():
        edited = cast(Seq2Seq, _EditedSeq2Seq(model, edit))
        translations = [tokenizer.decode(ids) for batch in batches for ids in translate(edited, batch.source)]
        scores[name] = BLEU().corpus_score(translations, [references]).score
    whole = scores["unchanged"]
    lines = [[name, f"{score:.2f}", f"{score - whole:+.2f}"] for name, score in scores.items()]
    return {
        "tables": {"BLEU with a part of the state changed": (["change", "BLEU", "difference"], lines)},
        "bleu": scores,
    }


class _EditedSeq2Seq:
    """A trained translator whose encoder's state is edited before the decoder starts from it."""

    def __init__(self, model: Seq2Seq, edit: _Edit) -> None:
        self.model, self.edit = model, edit
        self.decoder = model.decoder

    def encode(self, source_ids: PackedSequence) -> DecoderState:
        encoder = self.model.encoder
        lstm = encoder.read(source_ids)
        return encoder.first_state(LSTMOutput(lstm.output, *self.edit(lstm.state)))


def _edits(model: Seq2Seq) -> dict[str, _Edit]:
    """Return the edits of (L * D, B, size): zeros, the state of another row, or one part in place of another."""
    lstm = model.encoder.lstm.rnn
    directions, layers = model.bridge.directions, lstm.num_layers
    has_c = model.encoder.lstm.cell == "lstm"
    every = slice(None)
    parts: dict[str, tuple[slice, bool, bool]] = {"h_n": (every, True, False)}
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
    edits: dict[str, _Edit] = {"unchanged": lambda state: state}
    for name, (place, h, c) in parts.items():
        edits[f"{name}: zeros"] = _edit(place, h, c, torch.zeros_like)
        edits[f"{name}: from another row"] = _edit(place, h, c, lambda part: part.roll(1, dims=1))
    if has_c and not lstm.proj_size:
        edits["h_n and c_n swapped"] = _swapped
    if layers > 1:
        edits["layers swapped"] = _flipped(0, layers, directions)
    if directions > 1:
        edits["directions swapped"] = _flipped(1, layers, directions)
    return edits


def _edit(place: slice, h: bool, c: bool, change: Callable[[Tensor], Tensor]) -> _Edit:
    """Return an edit that changes the layers and directions at ``place`` of h, of c, or of both."""

    def changed(part: Tensor) -> Tensor:
        part = part.clone()
        part[place] = change(part[place])
        return part

    return lambda state: LSTMState(
        changed(state.h) if h else state.h, changed(state.c) if c and state.c is not None else state.c
    )


def _swapped(state: LSTMState) -> LSTMState:
    return state if state.c is None else LSTMState(state.c, state.h)


def _flipped(dim: int, layers: int, directions: int) -> _Edit:
    def flipped(part: Tensor) -> Tensor:
        return part.unflatten(0, (layers, directions)).flip(dim).flatten(0, 1)

    return lambda state: LSTMState(flipped(state.h), None if state.c is None else flipped(state.c))
