"""The one data module of all three tasks: a description of a corpus goes in, packed batches come out.

``setup`` reads the splits, fits the tokenizers and the labels on the training split only, encodes, and tells what it
counted. The task says which roles it needs and what a batch is; this file knows neither tasks nor models.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from lstm_readout.data.batches import Columns, GenerateBatch
from lstm_readout.data.batching import (
    POOL,
    LengthBatchSampler,
    RowDataset,
    StreamDataset,
    StreamSampler,
    evaluation_stream,
    ranks,
)
from lstm_readout.data.samples import sample
from lstm_readout.data.sources import SPLITS, find_files, local_folder, read_files, read_hub, select_roles
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.ragged import Ragged
from lstm_readout.tokenizer import BOS, EOS, TextTokenizer, Vocabulary, unknown_rate

log = logging.getLogger(__name__)

Role = Literal["text", "label"]
BATCHING = {"batch_size", "eval_batch_size", "max_tokens", "pool", "stream", "window", "num_workers"}


class TextDataModule(LightningDataModule):
    """Reads a corpus, encodes it, and serves batches of similar length or windows of one stream.

    Args:
        roles: role -> ``text`` or ``label``; what the task needs.
        batch_type: the batch of the task (see ``lstm_readout.data.batches``).
        tokenizer: texts -> tokenizer; called once for each text role, with its training texts. Not needed where a
            ``vocabulary`` is given.
        name: what the corpus is called in messages; ``sample`` is generated.
        path: a file, or a folder with ``train.*`` and, if there are, ``validation.*`` and ``test.*``.
        files: split -> file, or split -> {column: file} for parallel text; relative to ``path`` or the local copy.
        hub: ``path`` and ``revision`` of a hub repository (see ``read_hub``), used where there is no local copy.
        columns: role -> column.
        whole: a plain text file is one document, not one a line.
        validation, test: share of the training split that is held out where a corpus has no such split; 0 for none.
        holdout: ``random`` rows, or the ``last`` rows (characters, where all text is one document).
        max_rows: use the first rows of each split only.
        batch_size: rows of a batch; columns of a training stream.
        eval_batch_size: rows of a batch of validation and test; a stream is cut by its length (see
            ``evaluation_stream``).
        max_tokens: budget of tokens for a batch, in place of a number of rows.
        pool: batches whose rows are sorted by length together; 1 gives batches of random lengths.
        stream: read all text as one continuous stream, the state carried from window to window (generate only).
        window: steps of a window of a training stream.
        num_workers: processes that build batches; none is fastest on text this small.
        seed: order of batches, held-out rows and the sample follow from it.
        vocabulary: tokenizers and labels of an earlier run, in place of fitting new ones. No training split is needed.
        seen: the ``vocabulary`` was fitted on this very corpus: the same rows are held out again. Otherwise a lone
            file is new to the model, and all of it is the test split.
    """

    def __init__(
        self,
        *,
        roles: Mapping[str, Role],
        batch_type: type,
        tokenizer: Callable[[list[str]], TextTokenizer] = TextTokenizer.train,
        name: str,
        path: str | None = None,
        files: Mapping[str, Any] | None = None,
        hub: Mapping[str, Any] | None = None,
        columns: Mapping[str, str] | None = None,
        whole: bool = False,
        validation: float = 0.1,
        test: float = 0.1,
        holdout: Literal["random", "last"] = "random",
        max_rows: int | None = None,
        batch_size: int = 64,
        eval_batch_size: int = 64,
        max_tokens: int | None = None,
        pool: int = POOL,
        stream: bool = False,
        window: int = 96,
        num_workers: int = 0,
        seed: int = 0,
        vocabulary: Vocabulary | None = None,
        seen: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "window": window, "pool": pool}
        for key, value in {**sizes, "max_tokens": max_tokens, "max_rows": max_rows}.items():
            if value is not None and value < 1:
                raise UserError(f"data.{key}: wanted 1 or more, got {value}.")
        if holdout not in ("random", "last"):
            raise UserError(f"data.holdout: there is no '{holdout}'. {did_you_mean(holdout, ('random', 'last'))}")
        self.roles, self.batch_type, self.train_tokenizer = roles, batch_type, tokenizer
        self.corpus, self.path, self.files, self.hub = name, path, dict(files or {}), hub
        self.column_names, self.whole = dict(columns or {}), whole
        self.holdout_shares = {"validation": validation, "test": test}
        self.holdout, self.max_rows = holdout, max_rows
        self.batch_size, self.eval_batch_size, self.max_tokens = batch_size, eval_batch_size, max_tokens
        self.pool = pool
        self.stream, self.window, self.num_workers, self.seed = stream, window, num_workers, seed
        self.given_vocabulary, self.alone = vocabulary, "train" if vocabulary is None or seen else "test"
        self._resume_at = (0, 0)  # (epoch, batches of it that were done already)
        self.ceiling: dict[str, float] = {}  # what a perfect model reaches on the test split, where that is known

    def batched(self, seed: int, **options: Any) -> TextDataModule:
        """Return a module with the same encoded rows in other batches.

        Args:
            seed: the order of batches follows from it; held-out rows stay as they are.
            options: any of ``BATCHING``'s arguments of this class.
        """
        self.setup()
        other = copy.copy(self)
        other.seed = seed
        for name in BATCHING & set(options):
            setattr(other, name, options[name])
        return other

    def setup(self, stage: str | None = None) -> None:
        """Read, fit and encode, once."""
        _ = self.columns

    @cached_property
    def texts(self) -> dict[str, Dataset]:
        """Split -> rows with one string column a role."""
        splits = {
            split: select_roles(rows, self.roles, self.column_names, f"{self.corpus} ({split})")
            for split, rows in self._read().items()
            if split in SPLITS
        }
        if self.stream and self.batch_type is not GenerateBatch:
            raise UserError("data.stream=true: only task=generate reads a continuous stream. Set data.stream=false.")
        splits = self._hold_out(splits)
        splits = {split: splits[split] for split in SPLITS if split in splits}
        if self.max_rows is not None:
            splits = {split: rows.select(range(min(self.max_rows, len(rows)))) for split, rows in splits.items()}
        for split, rows in splits.items():
            if not len(rows):
                raise UserError(f"data: the {split} split of {self.corpus} has no rows. Give it more data.")
        return splits

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Tokenizers and labels, fitted on the training split alone."""
        if self.given_vocabulary is not None:
            return self.given_vocabulary
        train = self.texts["train"]
        tokenizers, labels = {}, []
        for role, kind in self.roles.items():
            if kind == "label":
                labels = sorted(set(train[role][:]))
                if len(labels) < 2:
                    raise UserError(
                        f"data: the training split of {self.corpus} has one label only: '{labels[0]}'. "
                        f"Give it rows of two or more, or name another column: data.columns.{role}=NAME."
                    )
            else:
                tokenizers[role] = self.train_tokenizer(train[role][:])
        return Vocabulary(tokenizers, labels)

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """Split -> role -> encoded column."""
        encoded = {}
        for split, rows in self.texts.items():
            columns: dict[str, Ragged | np.ndarray] = {}
            for role, kind in self.roles.items():
                texts = rows[role][:]  # a list: a column of `datasets` is slow to go through
                if kind == "label":
                    columns[role] = self._encode_labels(texts, split, role)
                else:
                    columns[role] = self._encode_texts(texts, split, role)
                    columns[f"{role}_text"] = np.array(texts, dtype=object)
            encoded[split] = columns
        return encoded

    def train_dataloader(self) -> DataLoader:
        """Batches of the training split, in a new order each epoch."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader | list:
        """Batches of the validation split; an empty list where there is none."""
        return self._loader("validation") if "validation" in self.columns else []

    def test_dataloader(self) -> DataLoader | list:
        """Batches of the test split; an empty list where there is none."""
        return self._loader("test") if "test" in self.columns else []

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch, for a run to be resumed."""
        if self.trainer is None:
            return {}
        progress = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"epoch": self.trainer.current_epoch, "batches": progress.completed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the position up: the first epoch begins after the batches that were done."""
        self._resume_at = (state_dict["epoch"], state_dict["batches"])

    def _read(self) -> dict[str, Dataset]:
        if self.corpus == "sample" and self.path is None:
            made = sample(tuple(self.roles), self.seed)
            self.ceiling = made.ceiling
            return {split: Dataset.from_dict(columns) for split, columns in made.splits.items()}
        folder = local_folder(self.corpus) if self.path is None else Path(self.path).expanduser()
        files = {split: file for split, file in self.files.items() if file is not None}
        if folder is not None and files:
            return read_files(files, folder, whole=self.whole)
        if folder is not None:
            return read_files(find_files(folder, self.alone), Path(), whole=self.whole)
        if self.hub is not None:
            return read_hub(**self.hub)
        if files:
            return read_files(files, Path(), whole=self.whole)
        raise UserError(
            "data.path: which file? For example: data=files data.path=reviews.csv (or data.files.train=...)."
        )

    def _hold_out(self, splits: dict[str, Dataset]) -> dict[str, Dataset]:
        """Cut the missing splits from the training split."""
        if "train" not in splits and self.given_vocabulary is not None:
            return splits
        if "train" not in splits:
            have = ", ".join(splits) or "nothing"
            raise UserError(
                f"data: {self.corpus} has no training split; it has: {have}. Name its file: data.files.train=..."
            )
        for split, share in self.holdout_shares.items():
            if split in splits or not share:
                continue
            if not 0 < share < 1:
                raise UserError(f"data.{split}: wanted a share between 0 and 1, got {share}.")
            rows = splits["train"]
            if len(rows) == 1 and list(self.roles.values()) == ["text"]:
                splits["train"], splits[split] = _cut_document(rows, split, share)
                continue
            number = max(1, round(share * len(rows)))
            if number >= len(rows):
                raise UserError(
                    f"data: {self.corpus} has {len(rows)} row(s), too few to hold out a {split} split. "
                    f"Give it more rows, or data.{split}=0."
                )
            order = np.arange(len(rows))
            if self.holdout == "random":
                order = np.random.default_rng(self.seed).permutation(len(rows))
            splits["train"] = rows.select(np.sort(order[:-number]))
            splits[split] = rows.select(np.sort(order[-number:]))
        return splits

    def _encode_texts(self, texts: list[str], split: str, role: str) -> Ragged:
        tokenizer = self.vocabulary.tokenizers[role]
        column, cut = tokenizer.encode(texts)
        empty = int((column.lengths == 1).sum())
        log.info(
            "%s %s: %s rows, %s tokens (longest %s), %.2f %% unknown%s%s",
            split,
            role,
            f"{len(column.lengths):,}",
            f"{len(column.values):,}",
            f"{column.lengths.max():,}",
            100 * unknown_rate(column),
            f", {empty:,} empty (read as <eos> alone)" if empty else "",
            f", {cut:,} longer than {tokenizer.max_length} cut to their {tokenizer.keep}" if cut else "",
        )
        return column

    def _encode_labels(self, labels: list[str], split: str, role: str) -> np.ndarray:
        number = {label: i for i, label in enumerate(self.vocabulary.labels)}
        counts = Counter(labels)
        unseen = sorted(set(counts) - set(number))
        if unseen:
            raise UserError(
                f"data: the {split} split has {len(unseen)} label(s) that the training split never shows: "
                f"{', '.join(map(repr, unseen[:5]))}. It shows: {', '.join(map(repr, self.vocabulary.labels[:20]))}. "
                "Give it rows of them, or drop theirs here."
            )
        ((most, often),) = counts.most_common(1)
        share = 100 * often / len(labels)
        log.info("%s %s: %s labels, the most frequent '%s' (%.1f %%)", split, role, len(counts), most, share)
        return np.array([number[label] for label in labels], dtype=np.int64)

    def _loader(self, split: str) -> DataLoader:
        train = split == "train"
        size = self.batch_size if train else self.eval_batch_size
        columns = self.columns[split]
        # A generator of its own: else every new iterator draws from the global one, and a resumed run differs
        options: dict[str, Any] = {
            "num_workers": self.num_workers,
            "generator": torch.Generator().manual_seed(self.seed),
            "pin_memory": torch.cuda.is_available(),
        }
        if self.stream:
            if ranks()[1] > 1:
                raise UserError("data.stream=true: one stream is read by one process. Set trainer.devices=1.")
            stream = join_stream(columns["text"])
            if len(stream) < 2:
                raise UserError(f"data: the {split} split of {self.corpus} has no token to predict. Give it more text.")
            dataset = (
                StreamDataset(stream, columns=self.batch_size, window=self.window)
                if train
                else evaluation_stream(stream)
            )
            sampler = StreamSampler(len(dataset))
            sampler.resume_at = self._resume_at if train else (0, 0)
            return DataLoader(dataset, batch_size=None, sampler=sampler, **options)
        lengths = np.stack([column.lengths for column in columns.values() if isinstance(column, Ragged)], axis=1)
        sampler = LengthBatchSampler(
            lengths, batch_size=size, max_tokens=self.max_tokens, pool=self.pool, shuffle=train, seed=self.seed
        )
        sampler.resume_at = self._resume_at if train else (0, 0)
        dataset = RowDataset(columns, self.batch_type)
        return DataLoader(dataset, batch_sampler=sampler, collate_fn=_as_it_is, **options)


def join_stream(column: Ragged | np.ndarray) -> np.ndarray:
    """Return ``<bos>`` and all rows as one stream, ``<eos>`` between them and none at the end."""
    assert isinstance(column, Ragged)
    assert column.values[-1] == EOS
    return np.concatenate(([BOS], column.values[:-1]))


def _cut_document(rows: Dataset, split: str, share: float) -> tuple[Dataset, Dataset]:
    """Cut one long text: its last characters are held out."""
    (role,) = rows.column_names
    text: str = rows[role][0]
    border = len(text) - round(share * len(text))
    if not 0 < border < len(text):
        raise UserError(
            f"data: one text of {len(text)} character(s) is too short to hold out a {split} split. "
            f"Give it more text, or data.{split}=0."
        )
    return Dataset.from_dict({role: [text[:border]]}), Dataset.from_dict({role: [text[border:]]})


def _as_it_is(batch: Any) -> Any:
    return batch
