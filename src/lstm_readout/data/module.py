"""The data module of all tasks: the description of a corpus goes in, loaders of packed batches come out.

``setup`` reads the splits, fits tokenizers and labels on the training split alone, and encodes; the result is cached.
The task names its roles and its batch type. How a batch is made: ``loaders.py``, ``samplers.py``, ``batches.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Literal

import torch
from datasets import Dataset
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from lstm_readout.data.batches import Columns, GenerateBatch, moved
from lstm_readout.data.cache import cached, fingerprint
from lstm_readout.data.corpus import Corpus, Read, Role
from lstm_readout.data.encoding import Encoded, columns_of, encode_again, encode_corpus, fit_vocabulary
from lstm_readout.data.loaders import Batching, Loaders, check_positive
from lstm_readout.data.row_hashes import split_hash
from lstm_readout.data.samplers import POOL, START, Position, ranks
from lstm_readout.data.streaming import StreamedCorpus
from lstm_readout.data.windows import checked_stream
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


def data_of(trainer: Trainer) -> TextDataModule | None:
    """Return the data that a trainer reads; None for loaders of the user's own."""
    data = getattr(trainer, "datamodule", None)  # Lightning sets it when a run begins
    return data if isinstance(data, TextDataModule) else None


class TextDataModule(LightningDataModule):
    """Reads a corpus, encodes it, and serves batches of rows of similar length, or windows of one stream.

    Args:
        roles: role -> ``text``, ``label`` or ``labels`` (one per word); what the task needs.
        batch_type: the batch of the task (see ``lstm_readout.data.batches``).
        tokenizer: training texts of a role -> its tokenizer. Not needed with a ``vocabulary``.
        name: what messages call the corpus; ``sample`` is generated.
        path: a file, or a folder with ``train.*`` and, optionally, ``validation.*`` and ``test.*``.
        files: split -> file, pattern (``*.csv``), folder or a list of these, or split -> {column: file} for parallel
            text; relative to ``path`` or the local copy.
        hub: ``path`` and ``revision`` of a hub repository (see ``read_hub``), used if there is no local copy.
        columns: role -> column, or its position in a table without a header.
        format: how tables of text are written, as far as the file does not show it (see ``Format``); None: as earlier
            versions read them.
        whole: a plain text file is one document, not one per line.
        validation, test: share of the training split that is held out if the corpus has no such split; 0 for none.
        holdout: ``stratified``: at random, the same share of each label; ``random``; or the ``last`` rows (characters,
            if all text is one document). The first two differ only where there are labels.
        max_rows: use the first rows of each split only.
        max_labels: a label column with more distinct values is refused: it is probably text.
        joint_tokenizer: one tokenizer for all text roles, fitted on the texts of all.
        cache: save the encoded corpus on disk, and read it from there (see ``lstm_readout.data.cache``).
        streaming: read the training split from disk in every epoch; validation and test stay in memory.
        shuffle_buffer: rows per worker of a streamed split that are shuffled and grouped by length together.
        fit_rows: number of first rows of a streamed split on which tokenizers and labels are fitted.
        batch_size, eval_batch_size, max_tokens, pool, carry_state, window, num_workers: see ``Batching``.
        seed: decides the order of batches, the held-out rows and the sample.
        vocabulary: tokenizers and labels of an earlier run, instead of fitting new ones. No training split is needed.
        seen: the ``vocabulary`` was fitted on this very corpus: the same rows are held out again. Otherwise a lone
            file is new to the model, and all of it is the test split.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        roles: Mapping[str, Role],
        batch_type: type,
        tokenizer: Callable[[Iterable[str]], TextTokenizer] = TextTokenizer.train,
        name: str,
        path: str | None = None,
        files: Mapping[str, Any] | None = None,
        hub: Mapping[str, Any] | None = None,
        columns: Mapping[str, str | int] | None = None,
        format: Mapping[str, Any] | None = MappingProxyType({}),
        whole: bool = False,
        validation: float = 0.1,
        test: float = 0.1,
        holdout: Literal["stratified", "random", "last"] = "stratified",
        max_rows: int | None = None,
        max_labels: int = 1000,
        joint_tokenizer: bool = False,
        cache: bool = True,
        streaming: bool = False,
        shuffle_buffer: int = 10_000,
        fit_rows: int = 100_000,
        batch_size: int = 64,
        eval_batch_size: int = 64,
        max_tokens: int | None = None,
        pool: int = POOL,
        carry_state: bool = False,
        window: int = 96,
        num_workers: int = 0,
        seed: int = 0,
        vocabulary: Vocabulary | None = None,
        seen: bool = False,
    ) -> None:
        super().__init__()
        for key, value in {"max_labels": max_labels, "shuffle_buffer": shuffle_buffer, "fit_rows": fit_rows}.items():
            check_positive(f"data.{key}", value)
        for role in {*(columns or {})} - {*roles, "text", "label", "source", "target"}:  # the latter: of any task
            raise UserError(f"data.columns.{role}: there is no such column. {did_you_mean(role, roles)}")
        fitted_here = vocabulary is None or seen
        self.corpus = Corpus(
            roles=dict(roles),
            name=name,
            path=path,
            files=dict(files or {}),
            hub=hub,
            columns=dict(columns or {}),
            format=format,
            whole=whole,
            validation=validation,
            test=test,
            holdout=holdout,
            max_rows=max_rows,
            seed=seed,
            train=fitted_here,
            labels=() if vocabulary is None else tuple(vocabulary.labels),
        )
        self.batching = Batching(
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            max_tokens=max_tokens,
            pool=pool,
            carry_state=carry_state,
            window=window,
            num_workers=num_workers,
        )
        self.roles, self.batch_type, self.seed, self.streaming = roles, batch_type, seed, streaming and fitted_here
        self._fit_tokenizer, self._given_vocabulary = tokenizer, vocabulary
        self._joint_tokenizer, self._max_labels, self._cache = joint_tokenizer, max_labels, cache
        self._shuffle_buffer, self._fit_rows = shuffle_buffer, fit_rows
        self._resume_at = START

    @property
    def carry_state(self) -> bool:
        """Whether all text is one continuous stream, with the state carried from window to window."""
        return self.batching.carry_state

    def batched(self, seed: int, batching: Batching) -> TextDataModule:
        """Return a module with the same encoded rows in other batches; held-out rows stay the same.

        Args:
            seed: decides the order of batches.
            batching: how they are made.
        """
        self.setup()
        other = copy.copy(self)
        other.seed, other.batching = seed, batching
        return other

    def setup(self, stage: str | None = None) -> None:
        """Read, fit and encode, once."""
        _ = self.columns

    @cached_property
    def encoded(self) -> Encoded:
        """All splits, the vocabulary and the data report; of a streamed split, its head."""
        if self.carry_state and self.batch_type is not GenerateBatch:
            # A corpus without this task's columns is the more basic mistake: reading reports it
            _ = self.corpus.open() if self.streaming else self.corpus.read()
            raise UserError("data.carry_state=true: only task=generate carries states. Set data.carry_state=false.")
        if self.streaming:
            return self._encode(Read(self._stream.head(self._fit_rows), {}, self._stream.sources))
        options, learned = [self._joint_tokenizer, self._max_labels], self._given_vocabulary or self._fit_tokenizer
        name = fingerprint(self.corpus.contents() | {"options": options}, learned) if self._cache else None
        return cached(name, lambda: self._encode(self.corpus.read()))

    @property
    def texts(self) -> dict[str, Dataset]:
        """Split -> rows with one string column per role."""
        return {split: rows.select_columns(list(self.roles)) for split, rows in self.encoded.splits.items()}

    @cached_property
    def held_out_hashes(self) -> dict[str, str]:
        """Validation and test, where there are such splits -> the SHA-256 of their rows (see ``split_hash``)."""
        return {split: split_hash(rows) for split, rows in self.texts.items() if split != "train"}

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokenizers and labels, fitted on the training split alone."""
        return self._given_vocabulary or self.encoded.vocabulary

    @property
    def ceiling(self) -> dict[str, float]:
        """What a perfect model reaches on the test split, if known."""
        return self.encoded.ceiling

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """Split -> role -> encoded column."""
        return {split: columns_of(rows, self.roles) for split, rows in self.encoded.splits.items()}

    @cached_property
    def report(self) -> dict[str, Any]:
        """The data report, as plain values (see ``lstm_readout.report.data_report``)."""
        report = dict(self.encoded.report)
        if self.streaming:
            report["streamed"] = {"train": len(self.encoded.splits["train"])}
        elif "train" in self.columns and not self.carry_state:
            sampler = self._loaders.sampler(self.columns["train"], train=True)
            report["batches"] = {"number": len(sampler), "fill": sampler.fill()}
        return report

    def train_dataloader(self) -> DataLoader:
        """Batches of the training split, in a new order each epoch."""
        if not self.streaming:
            return self._loader("train")
        rows, buffer = self._stream.train, self._shuffle_buffer
        return self._loaders.streamed(rows, self.vocabulary, self.batch_type, buffer=buffer)

    def val_dataloader(self) -> DataLoader | list:
        """Batches of the validation split; an empty list if there is none."""
        return self._loader("validation") if "validation" in self.columns else []

    def test_dataloader(self) -> DataLoader | list:
        """Batches of the test split; an empty list if there is none."""
        return self._loader("test") if "test" in self.columns else []

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch, to resume there.

        At the end of an epoch it is the first batch of the next one, unless the run has ended within the epoch.
        """
        if self.trainer is None:
            return {}
        batches, epoch = self.trainer.fit_loop.epoch_loop.batch_progress, self.trainer.current_epoch
        done: int = batches.current.processed  # pyright: ignore  # Lightning annotates a base class
        # The hooks at the end of an epoch run before Lightning counts it as completed
        last = batches.is_last_batch or done == self.trainer.num_training_batches
        ended = last and 0 < done == batches.current.ready
        position = {"epoch": epoch + 1, "batches": 0} if ended else {"epoch": epoch, "batches": done}
        return position | {"processes": self.trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume: the first epoch starts after the batches already done; other processes may have done them."""
        processes = ranks()[1]
        done = state_dict["batches"] * state_dict.get("processes", processes)
        self._resume_at = Position(state_dict["epoch"], done // processes)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch, without blocking if it is in pinned memory."""
        return batch if device.type == "cpu" else moved(batch, device)

    @property
    def _loaders(self) -> Loaders:
        on_cuda = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return Loaders(self.roles, self.batching, self.seed, self._resume_at, pin_memory=on_cuda)

    def _loader(self, split: str) -> DataLoader:
        train = split == "train"
        resamples = train and any(tokenizer.resamples for tokenizer in self.vocabulary.tokenizers.values())
        if self.carry_state:
            tokens = checked_stream(self.columns[split]["text"], f"the {split} split of {self.corpus.name}", resamples)
            return self._loaders.windows(tokens, train=train)
        encode = partial(encode_again, vocabulary=self.vocabulary) if resamples else None
        return self._loaders.rows(self.columns[split], self.batch_type, train=train, encode=encode)

    def _encode(self, read: Read) -> Encoded:
        options = {"joint": self._joint_tokenizer, "max_labels": self._max_labels, "where": self.corpus.name}
        vocabulary = self._given_vocabulary or fit_vocabulary(
            read.splits["train"], self.roles, self._fit_tokenizer, **options
        )
        encoded = encode_corpus(read.splits, self.roles, vocabulary, read.ceiling)
        return encoded._replace(report=encoded.report | {"sources": read.sources})

    @cached_property
    def _stream(self) -> StreamedCorpus:
        return StreamedCorpus(self.corpus)
