"""The held-out rows that every run is scored on: a trained task and its data go in, a statistic per row comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lstm_readout.compare.statistics import bleu_statistic
from lstm_readout.data.batches import ClassifyBatch, Columns, TranslateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import StreamDataset, evaluation_stream, join_stream
from lstm_readout.inference.decoding import translate
from lstm_readout.tasks.base import Task
from lstm_readout.tokenizer.ragged import Ragged


def held_out(data: TextDataModule) -> str:
    """Return the split that is scored: test, or validation where there is no test split."""
    return "test" if "test" in data.columns else "validation"


def held_out_rows(data: TextDataModule, limit: int) -> Iterator[Any]:
    """Yield at most ``limit`` held-out rows in batches: the same rows in the same order in every run."""
    columns, batch_type = data.columns[held_out(data)], data.batch_type
    chosen = np.sort(np.random.default_rng(0).permutation(_number_of_rows(columns))[:limit])
    collate: Any = getattr(batch_type, "collate")  # noqa: B009 (every batch type has it, ``type`` does not)
    for start in range(0, len(chosen), data.batching.eval_batch_size):
        yield collate(columns, chosen[start : start + data.batching.eval_batch_size])


@torch.inference_mode()
def held_out_statistics(task: Task, data: TextDataModule, limit: int) -> np.ndarray:
    """Return the statistics of at most ``limit`` held-out rows; for a language model, of all windows: (R, k)."""
    if task.name == "generate":
        stream = join_stream(data.columns[held_out(data)]["text"])
        return stream_statistics(task, evaluation_stream(stream, data.batching.window))
    return np.concatenate([_batch_statistics(task, batch) for batch in held_out_rows(data, limit)])


@torch.inference_mode()
def stream_statistics(task: Task, stream: StreamDataset) -> np.ndarray:
    """Return (nats, tokens) of each window of a stream, with the state carried as the task does: (windows, 2)."""
    measured = [task.loss(stream[item], "test") for item in range(len(stream))]
    return np.array([(float(loss) * tokens, tokens) for loss, tokens in measured])


def _batch_statistics(task: Task, batch: ClassifyBatch | TranslateBatch) -> np.ndarray:
    if isinstance(batch, ClassifyBatch):
        correct = (task.model(batch.token_ids).argmax(-1) == batch.labels).double()
        return torch.stack((correct, torch.ones_like(correct)), dim=1).numpy()
    tokenizer = task.vocabulary.tokenizers["target"]
    translations = [tokenizer.decode(ids) for ids in translate(task.model, batch.source)]
    pairs = zip(translations, batch.references, strict=True)
    return np.array([bleu_statistic(*pair) for pair in pairs], dtype=np.float64)


def _number_of_rows(columns: Columns) -> int:
    column = next(iter(columns.values()))
    return len(column.lengths) if isinstance(column, Ragged) else len(column)
