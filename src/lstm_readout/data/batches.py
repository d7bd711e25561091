"""What one training step reads: columns of all rows go in, one packed batch comes out.

A batch type is a NamedTuple with ``collate(columns, rows)``; ``columns`` maps each role of its task to a ``Ragged`` of
token ids, an array of labels, or the text itself (``<role>_text``).
Shapes: B rows; packed data is (tokens,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset

from lstm_readout.tokenizer import BOS
from lstm_readout.tokenizer.ragged import Ragged, pack


class TextColumn:
    """A column of texts in Arrow's memory or a mapped file: rows become strings when they are indexed."""

    def __init__(self, texts: pyarrow.ChunkedArray) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.array(self.texts.take(pyarrow.array(rows)).to_pylist(), dtype=object)


Column = Ragged | np.ndarray | TextColumn
_Kind = TypeVar("_Kind", Ragged, np.ndarray, TextColumn)
Columns = Mapping[str, Column]


class ClassifyBatch(NamedTuple):
    """Documents and their labels."""

    token_ids: PackedSequence  # (tokens,) int64, each row ending in <eos>
    labels: Tensor  # (B,) int64

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), *map(_plain, self))

    @classmethod
    def collate(cls, columns: Columns, rows: np.ndarray) -> ClassifyBatch:
        """Gather the rows' ``text`` and ``label``."""
        return cls(pack(ids_of(columns, "text"), rows), _labels(columns, rows))

    @property
    def tokens(self) -> int:
        """Real tokens that the LSTM reads."""
        return len(self.token_ids.data)


class WrittenBatch(NamedTuple):
    """Untokenized documents and their labels: for an ensemble whose classifiers have different tokenizers."""

    texts: list[str]  # B
    labels: Tensor  # (B,) int64

    @classmethod
    def collate(cls, columns: Columns, rows: np.ndarray) -> WrittenBatch:
        """Gather the rows' ``text``, untokenized, and ``label``."""
        return cls(_texts(columns, "text", rows), _labels(columns, rows))

    @property
    def token_ids(self) -> list[str]:
        """The input of the classifiers, in place of ids."""
        return self.texts


class GenerateBatch(NamedTuple):
    """Texts shifted one step to the right, and the next token at every scored step."""

    inputs: PackedSequence  # ids, (tokens,) int64
    targets: Tensor  # (predictions,) int64, in the packed order of the inputs
    continues: bool = False  # whether row i continues row i of the batch before
    scored: Tensor | None = None  # (predictions,) int64: which of the packed inputs they follow; None: all, in order

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), *map(_plain, self))

    @classmethod
    def collate(cls, columns: Columns, rows: np.ndarray) -> GenerateBatch:
        """Gather the rows' ``text`` as independent documents."""
        text = ids_of(columns, "text")
        return cls(pack(text, rows, first=BOS), pack(text, rows).data)

    @property
    def tokens(self) -> int:
        """Tokens that are predicted."""
        return len(self.targets)


class TranslateBatch(NamedTuple):
    """Sources, targets shifted one step to the right, and the next target token at every step."""

    source: PackedSequence  # ids, (source tokens,) int64
    target_inputs: PackedSequence  # ids, (target tokens,) int64, each row beginning with <bos>
    targets: Tensor  # (target tokens,) int64, in the packed order of target_inputs
    references: list[str]  # (B,) the targets, untokenized

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), *map(_plain, self))

    @classmethod
    def collate(cls, columns: Columns, rows: np.ndarray) -> TranslateBatch:
        """Gather the rows' ``source`` and ``target``."""
        target = ids_of(columns, "target")
        references = _texts(columns, "target", rows)
        return cls(pack(ids_of(columns, "source"), rows), pack(target, rows, BOS), pack(target, rows).data, references)

    @property
    def tokens(self) -> int:
        """Source tokens read and target tokens predicted."""
        return len(self.source.data) + len(self.targets)


def moved(batch: Any, device: torch.device) -> Any:
    """Move a batch, or a part of one, to the device; copies from pinned memory do not block.

    Lightning blocks on every ``PackedSequence``. Its ``batch_sizes`` stay on the CPU, where PyTorch reads them.
    """
    if isinstance(batch, Tensor):
        return batch.to(device=device, non_blocking=True)
    if isinstance(batch, PackedSequence):
        return batch.to(device=device, non_blocking=True)  # pyright: ignore  # PyTorch does not annotate it
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(part, device) for part in batch))
    return batch


def _plain(part: Any) -> Any:
    """Convert tensors to arrays, which a worker sends in one message; for tensors torch would open a file each."""
    if isinstance(part, PackedSequence):
        return tuple(map(_plain, part))
    return part.numpy() if isinstance(part, Tensor) else part


def _rebuild(batch_type: Any, *parts: Any) -> Any:
    return batch_type(*map(_whole, parts))


def _whole(part: Any) -> Any:
    if isinstance(part, tuple):
        return PackedSequence(*map(_whole, part))
    return torch.from_numpy(part) if isinstance(part, np.ndarray) else part


def ids_of(columns: Columns, role: str) -> Ragged:
    """Return the encoded texts of a role; raise ``TypeError`` for another column."""
    return _column(columns, role, Ragged)


def _labels(columns: Columns, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(_column(columns, "label", np.ndarray)[rows])


def _texts(columns: Columns, role: str, rows: np.ndarray) -> list[str]:
    name = f"{role}_text"
    texts = columns[name] if isinstance(columns[name], TextColumn) else _column(columns, name, np.ndarray)
    return texts[rows].tolist()


def _column(columns: Columns, name: str, kind: type[_Kind]) -> _Kind:
    column = columns[name]
    if not isinstance(column, kind):
        raise TypeError(f"column '{name}': wanted {kind.__name__}, got {type(column).__name__}")
    return column


class RowDataset(Dataset):
    """All rows of one encoded split; indexing with a list of row numbers returns a finished batch.

    Args:
        columns: see ``lstm_readout.data.batches``.
        batch_type: its ``collate`` makes the batch.
        encode: maps role -> texts to role -> ids, for training on a new segmentation in every epoch (BPE-dropout).
            Batches are still grouped by the lengths of the columns.
    """

    def __init__(
        self, columns: Columns, batch_type: Any, encode: Callable[[dict[str, list[str]]], Columns] | None = None
    ) -> None:
        self.columns = columns
        self.batch_type = batch_type
        self.encode = encode

    def __getitems__(self, rows: list[int]) -> Any:
        """Collate all rows at once: torch's loader calls this with the rows of the batch sampler."""
        numbers = np.asarray(rows)
        if self.encode is None:
            return self.batch_type.collate(self.columns, numbers)
        chosen: dict[str, Any] = {}
        for name, column in self.columns.items():
            if not isinstance(column, Ragged):
                chosen[name] = column[numbers]
        texts = {role: chosen[f"{role}_text"].tolist() for role in self.columns.keys() - chosen.keys()}
        return self.batch_type.collate({**chosen, **self.encode(texts)}, np.arange(len(rows)))
