"""Loaders: the encoded columns of a split and a ``Batching`` go in, a ``DataLoader`` of finished batches comes out.

The sampler chooses the rows of a batch, the batch type collates them; a loader adds workers and pinned memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from lstm_readout.data.batches import Columns, RowDataset
from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.samplers import POOL, START, LengthBatchSampler, Position
from lstm_readout.data.streaming import Row, StreamedBatches
from lstm_readout.data.windows import StreamDataset, StreamSampler, evaluation_stream
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How the rows of a split are grouped into batches.

    Args:
        batch_size: rows per batch; parallel columns of a training stream.
        eval_batch_size: rows per batch of validation and test; for a stream see ``evaluation_stream``.
        max_tokens: a budget of tokens per batch, instead of a number of rows; labels of words do not count.
        pool: this many batches of rows are grouped by length together; 1 gives batches of random lengths.
        carry_state: read all text as one continuous stream and carry ``(h_n, c_n)`` from window to window (generate
            only).
        window: steps per window of a training stream.
        num_workers: processes that build batches; 0 is fastest for short texts.

    Raises:
        UserError: a size is smaller than 1, or there are far more workers than cores.
    """

    batch_size: int = 64
    eval_batch_size: int = 64
    max_tokens: int | None = None
    pool: int = POOL
    carry_state: bool = False
    window: int = 96
    num_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size", "window", "pool", "max_tokens"):
            check_positive(f"data.{name}", getattr(self, name))
        most = max(64, 4 * (os.cpu_count() or 1))  # far more only wait for each other, or end the memory
        if not 0 <= self.num_workers <= most:
            raise UserError(f"data.num_workers: wanted 0 to {most} on this machine, got {self.num_workers}.")

    @classmethod
    def names(cls) -> set[str]:
        """Return the arguments of ``TextDataModule`` that change batches and nothing else."""
        return {field.name for field in fields(cls)}

    def updated(self, arguments: Mapping[str, Any]) -> Batching:
        """Return a copy updated with those ``arguments`` of a ``TextDataModule`` that change batches."""
        return replace(self, **{name: arguments[name] for name in self.names() & arguments.keys()})


class Loaders(NamedTuple):
    """Makes the loaders of one data module.

    Args:
        roles: role -> ``text``, ``label`` or ``labels``: the tokens of the texts are counted.
        batching: how rows are grouped.
        seed: decides their order.
        resume_at: where training begins.
        pin_memory: whether batches go to a GPU.
    """

    roles: Mapping[str, str]
    batching: Batching
    seed: int
    resume_at: Position
    pin_memory: bool

    def rows(
        self,
        columns: Columns,
        batch_type: Any,
        *,
        train: bool,
        encode: Callable[[dict[str, list[str]]], Columns] | None = None,
    ) -> DataLoader:
        """Return a loader of batches of rows of similar length.

        Args:
            columns: of one split (see ``lstm_readout.data.batches``).
            batch_type: its ``collate`` makes the batch.
            train: whether to shuffle.
            encode: see ``RowDataset``.
        """
        return self._loader(RowDataset(columns, batch_type, encode), batch_sampler=self.sampler(columns, train=train))

    def sampler(self, columns: Columns, *, train: bool) -> LengthBatchSampler:
        """Return what chooses the rows of each batch."""
        return LengthBatchSampler(
            lengths_of(columns, self.roles),
            batch_size=self.batching.batch_size if train else self.batching.eval_batch_size,
            max_tokens=self.batching.max_tokens,
            pool=self.batching.pool,
            shuffle=train,
            seed=self.seed,
            resume_at=self.resume_at if train else START,
        )

    def windows(self, tokens: np.ndarray, *, train: bool) -> DataLoader:
        """Return a loader of the windows of one stream: (N + 1,) tokens, each predicted from those before it."""
        if train:
            windows = StreamDataset(tokens, columns=self.batching.batch_size, window=self.batching.window)
        else:
            windows = evaluation_stream(tokens)
        sampler = StreamSampler(len(windows), self.resume_at if train else START)
        return self._loader(windows, batch_size=None, sampler=sampler)

    def streamed(self, rows: Iterable[Row], vocabulary: Vocabulary, batch_type: Any, *, buffer: int) -> DataLoader:
        """Return a loader of a training split that is read from disk in every epoch (see ``StreamedBatches``)."""
        batches = StreamedBatches(
            rows,
            vocabulary,
            batch_type,
            roles=self.roles,
            batch_size=self.batching.batch_size,
            max_tokens=self.batching.max_tokens,
            pool=self.batching.pool,
            buffer=buffer,
            seed=self.seed,
            window=self.batching.window if self.batching.carry_state else None,
            resume_at=self.resume_at,
        )
        loader = self._loader(batches, batch_size=None)
        loader.sampler.set_epoch = batches.set_epoch  # pyright: ignore  # Lightning looks for it there
        return loader

    def _loader(self, batches: Any, **options: Any) -> DataLoader:
        return DataLoader(
            batches,
            collate_fn=_unchanged,
            num_workers=self.batching.num_workers,
            # A generator of its own: otherwise each iterator draws from the global one, and a resumed run differs
            generator=torch.Generator().manual_seed(self.seed),
            pin_memory=self.pin_memory,
            **options,
        )


def check_positive(key: str, value: int | None) -> None:
    """Raise ``UserError`` for a number smaller than 1."""
    if value is not None and value < 1:
        raise UserError(f"{key}: wanted 1 or more, got {value}.")


def _unchanged(batch: Any) -> Any:
    return batch
