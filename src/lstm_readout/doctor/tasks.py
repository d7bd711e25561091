"""This project's tasks: a task and its encoded columns go in, a ``Report`` comes out, or None for other tasks.

Padded ids become a ``PackedSequence`` as in training, which drops the padding; the padding checks run anyway.
The examined model is a copy on the CPU, in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lstm_readout.data.batches import Columns, GenerateBatch, moved
from lstm_readout.data.windows import StreamDataset
from lstm_readout.doctor.checks.base import Verdict, failed, passed
from lstm_readout.doctor.checks.decoding import Decoding
from lstm_readout.doctor.examinations import (
    Adaptor,
    Options,
    reader_report,
    target_side,
    translator_report,
    vocabulary_of,
)
from lstm_readout.doctor.module_under_test import Subject
from lstm_readout.doctor.own_modes import own_modes
from lstm_readout.doctor.ragged_batch import Rows
from lstm_readout.doctor.report import Report, Result
from lstm_readout.inference.decoding import beam_search, greedy
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.packed import as_packed
from lstm_readout.tasks import ClassifyTask, GenerateTask, Task, TranslateTask
from lstm_readout.tasks.base import Stage, text_of
from lstm_readout.tokenizer import BOS, EOS, UNK
from lstm_readout.tokenizer.ragged import Ragged

MOST_ROWS, MOST_STEPS = 40, 32
_DECODED = 6  # tokens per text in the check of the search
_COUNTED = 100_000  # tokens among which the unknown ones are counted


def examine_task(task: Task, splits: Mapping[str, Columns], *, untrained: bool) -> Report | None:
    """Run all checks on a task's model; the task, its model and the random state stay unchanged.

    Args:
        task: one from this project.
        splits: split -> role -> encoded column; ``train`` is preferred.
        untrained: the model has its initial weights.

    Returns:
        None for other kinds of task or model.
    """
    columns = splits.get("train", next(iter(splits.values())))
    held_out = splits.get("validation", splits.get("test", columns))
    with own_modes():
        model = copy.deepcopy(task.model).cpu().float()
        if type(task) is ClassifyTask:
            report = _reader(model, read_document, columns, held_out, untrained=untrained, name="classify")
            return Report([_asked_for(result, model) for result in report.results])
        if type(task) is GenerateTask and isinstance(model, LanguageModel):
            report = _reader(model, read_text, columns, held_out, untrained=untrained, name="generate")
            return Report([*report.results, _carried(task, columns)])
        if type(task) is TranslateTask and isinstance(model, Seq2Seq):
            return _translator(model, columns, held_out, untrained=untrained)
    return None


def read_document(model: nn.Module, token_ids: Tensor, lengths: Tensor) -> Tensor:
    """Call a classifier: padded (B, T) -> (B, C)."""
    return model(packed(token_ids, lengths))


def read_text(model: nn.Module, token_ids: Tensor, lengths: Tensor) -> Tensor:
    """Call a language model: padded (B, T) -> (B, T, V)."""
    return padded(model(packed(token_ids, lengths)).logits, token_ids)


def _read_pair(
    model: nn.Module, source_ids: Tensor, source_lengths: Tensor, target_ids: Tensor, target_lengths: Tensor
) -> Tensor:
    """Call a translator: padded (B, S) and (B, T) -> (B, T, V)."""
    logits = model(packed(source_ids, source_lengths), packed(target_ids, target_lengths)).logits
    return padded(logits, target_ids)


def packed(token_ids: Tensor, lengths: Tensor) -> PackedSequence:
    """Drop the padding of (B, T)."""
    return pack_padded_sequence(token_ids, lengths.cpu(), batch_first=True, enforce_sorted=False)


def padded(logits: Tensor | PackedSequence, token_ids: Tensor) -> Tensor:
    """Return packed logits as (B, T, V), with the steps of ``token_ids``."""
    return pad_packed_sequence(as_packed(logits), batch_first=True, total_length=token_ids.shape[1])[0]


def decoding(limit: int = _DECODED) -> Decoding:
    """Return how this project's translator decodes texts of up to ``limit`` tokens."""

    def ended(text: list[int]) -> list[int]:
        return [*text, EOS] if len(text) < limit else text

    def by_greedy(model: nn.Module, ids: Tensor, lengths: Tensor) -> list[list[int]]:
        with torch.no_grad():
            return [ended(text) for text in greedy(*_begun(model, ids, lengths), limit)]

    def by_beam(model: nn.Module, ids: Tensor, lengths: Tensor, size: int) -> list[list[tuple[list[int], float]]]:
        with torch.no_grad():
            found = beam_search(*_begun(model, ids, lengths), size, limit)
        return [[(ended(text), score) for text, score in hypotheses] for hypotheses in found]

    def forced(model: nn.Module, ids: Tensor, lengths: Tensor, texts: list[list[int]]) -> list[float]:
        targets = [torch.tensor(text) for text in texts]
        inputs = nn.utils.rnn.pad_sequence([torch.tensor([BOS, *text[:-1]]) for text in texts], batch_first=True)
        with torch.no_grad():
            logits = _read_pair(model, ids, lengths, inputs, torch.tensor([len(text) for text in texts]))
        scores = logits.log_softmax(-1)
        return [
            float(scores[row, : len(target)].gather(1, target.unsqueeze(1)).sum()) for row, target in enumerate(targets)
        ]

    return Decoding(by_greedy, by_beam, forced)


def _begun(model: nn.Module, ids: Tensor, lengths: Tensor) -> tuple[LanguageModel, DecoderState]:
    """Return a translator's decoder and its first state."""
    translator = cast(Seq2Seq, model)
    return translator.decoder, translator.encode(packed(ids, lengths))


def _reader(
    model: nn.Module, call: Adaptor, columns: Columns, held_out: Columns, *, untrained: bool, name: str
) -> Report:
    column = text_of(columns)
    rows = _rows(column, _places(column))
    subject = Subject(model, lambda module, rows: call(module, rows.ids, rows.lengths), each_step=name == "generate")
    options = Options(untrained, UNK, _tokens(text_of(held_out)))
    return reader_report(subject, rows, _vocabulary(rows), name, options)


def _translator(model: Seq2Seq, columns: Columns, held_out: Columns, *, untrained: bool) -> Report:
    places = _places(text_of(columns, "source"))
    source, target = (_rows(text_of(columns, role), places) for role in ("source", "target"))
    subject = Subject(model, target_side(_read_pair), each_step=True)
    options = Options(untrained, UNK, torch.cat([_tokens(text_of(held_out, role)) for role in ("source", "target")]))
    vocabularies = _vocabulary(source), _vocabulary(target)
    return translator_report(subject, _read_pair, (source, target), vocabularies, options, decoding())


def _carried(task: GenerateTask, columns: Columns) -> Result:
    """Check the state that is carried from window to window of a stream."""
    verdict = _carries(task, _values(text_of(columns))[: 4 * MOST_STEPS])
    return Result(
        "carried",
        verdict.status,
        "read a stream window by window, in two stages",
        "no graph is carried, each stage has its own state, a first window starts from zeros, and the loss equals that "
        "of the stream in one piece",
        verdict.difference,
        verdict.fix or "self.carried[stage] = state.detach(), and its rows as the first state of the next window.",
    )


def _carries(task: GenerateTask, tokens: np.ndarray) -> Verdict:
    def loss(batch: GenerateBatch, stage: Stage) -> float:
        return float(task.loss(moved(batch, task.device), stage)[0].detach())

    windows, whole = (StreamDataset(tokens, columns=2, window=size) for size in (5, len(tokens)))
    before, modes = dict(task.carried), [(part, part.training) for part in task.modules()]
    task.eval()
    try:
        with torch.enable_grad():
            loss(windows[0], "train")
        if any(part is not None and part.requires_grad for part in task.carried["train"]):
            return failed("the carried state has a graph", "self.carried[stage] = state.detach()")
        carried = task.carried["train"]
        with torch.no_grad():
            parts = [loss(windows[i], "val") * len(windows[i].targets) for i in range(len(windows))]
            again, one = loss(windows[0], "val") * len(windows[0].targets), loss(whole[0], "val")
        if task.carried["train"] is not carried:
            return failed("validation changed the training state", "Keep one state per stage: self.carried[stage].")
        if abs(again - parts[0]) > 1e-4 * abs(parts[0]):
            return failed("a first window does not start from zeros", "state = None where not batch.continues")
        difference = abs(sum(parts) / len(whole[0].targets) - one)
        if difference > 1e-4 * abs(one):
            return failed(f"the loss over windows differs by {difference:.2g} from that in one piece")
        return passed(f"{len(windows)} windows")
    finally:
        task.carried = before
        for part, training in modes:
            part.training = training


def _asked_for(result: Result, model: nn.Module) -> Result:
    """Turn a mistake that the configuration requests by name into a warning; to read c_n by name is none."""
    if not isinstance(model, Classifier):
        return result
    readout, name = model.readout, model.arguments["readout"]
    misses = {"directions": readout.output == "last real step", "layers": readout.h_n == ("lowest layer",)}
    if result.status == "failed" and misses.get(result.name):
        return result._replace(status="warned", fix=f"model.readout={name} asks for it; the right one is last.")
    if result.name == "c_n" and readout.c_n:
        return result._replace(status="passed", difference=f"model.readout={name} asks for c_n")
    return result


def _places(column: Ragged) -> np.ndarray | None:
    """Return row numbers from the whole column; None: too few rows, they are read as one text."""
    number = len(column.offsets) - 1
    return np.unique(np.linspace(0, number - 1, MOST_ROWS).round().astype(np.int64)) if number >= 5 else None


def _rows(column: Ragged, places: np.ndarray | None) -> Rows:
    """Pad the beginnings of the given rows, or pieces of the whole text."""
    if places is None:
        values = _values(column)
        starts = np.linspace(0, len(values) - MOST_STEPS, 5).round().astype(np.int64)
        texts = [values[start : start + MOST_STEPS] for start in starts]
    else:
        texts = [column.row(place)[:MOST_STEPS] for place in places]
    if max(map(len, texts)) < 2:  # empty texts
        texts = [np.resize(text, MOST_STEPS) for text in texts]
    ids = nn.utils.rnn.pad_sequence([torch.from_numpy(text.astype(np.int64)) for text in texts], batch_first=True)
    return Rows(ids, torch.tensor([len(text) for text in texts]))


def _values(column: Ragged) -> np.ndarray:
    """Return the whole text as one, repeated if it is short."""
    return column.values if len(column.values) >= 4 * MOST_STEPS else np.resize(column.values, 4 * MOST_STEPS)


def _vocabulary(rows: Rows) -> Tensor:
    """Return the ids of the rows and the special ids of every vocabulary."""
    return torch.cat((vocabulary_of(rows), torch.tensor([UNK, BOS, EOS]))).unique()


def _tokens(column: Ragged) -> Tensor:
    return torch.from_numpy(column.values[:_COUNTED].astype(np.int64))
