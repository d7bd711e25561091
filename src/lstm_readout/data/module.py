"""The one data module of all three tasks: a description of a corpus goes in, packed batches come out.

``setup`` reads the splits, fits the tokenizers and the labels on the training split only, and encodes; what it made is
kept on disk for the next run. The task says which roles it needs and what a batch is; this file knows neither tasks nor
models.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from itertools import islice
from typing import Any, Literal

import torch
from datasets import Dataset
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from lstm_readout.data.batches import Columns, GenerateBatch, RowDataset, moved
from lstm_readout.data.cache import cached, fingerprint
from lstm_readout.data.corpus import Corpus, Role
from lstm_readout.data.encoding import Encoded, columns_of, encode_again, encode_corpus, fit_vocabulary, lengths_of
from lstm_readout.data.samplers import POOL, LengthBatchSampler, StreamSampler, ranks
from lstm_readout.data.sources import SPLITS
from lstm_readout.data.streaming import StreamedBatches, TrainingRows, as_dataset
from lstm_readout.data.windows import StreamDataset, evaluation_stream, join_stream
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

BATCHING = {"batch_size", "eval_batch_size", "max_tokens", "pool", "stream", "window", "num_workers"}


class TextDataModule(LightningDataModule):
    """Reads a corpus, encodes it, and serves batches of similar length or windows of one stream.

    Args:
        roles: role -> ``text``, ``label`` or ``labels`` (one per word); what the task needs.
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
        max_labels: a label column with more distinct values is taken for text, and refused.
        joint_tokenizer: one tokenizer for all text roles, fitted on the texts of all.
        cache: keep what was encoded on disk, and read it from there (see ``lstm_readout.data.cache``).
        streaming: the training split is read anew in every epoch and never held in memory; validation and test are.
        shuffle_buffer: rows that a streamed split is shuffled and parted by length among, for each worker.
        fit_rows: the first rows of a streamed split, which tokenizers and labels are fitted on.
        batch_size: rows of a batch; columns of a training stream.
        eval_batch_size: rows of a batch of validation and test; a stream is cut by its length (see
            ``evaluation_stream``).
        max_tokens: budget of tokens for a batch, in place of a number of rows.
        pool: batches whose rows are parted by length together; 1 gives batches of random lengths.
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
        tokenizer: Callable[[Iterable[str]], TextTokenizer] = TextTokenizer.train,
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
        stream: bool = False,
        window: int = 96,
        num_workers: int = 0,
        seed: int = 0,
        vocabulary: Vocabulary | None = None,
        seen: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"batch_size": batch_size, "eval_batch_size": eval_batch_size, "window": window, "pool": pool}
        sizes |= {"max_labels": max_labels, "shuffle_buffer": shuffle_buffer, "fit_rows": fit_rows}
        for key, value in {**sizes, "max_tokens": max_tokens}.items():
            if value is not None and value < 1:
                raise UserError(f"data.{key}: wanted 1 or more, got {value}.")
        fitted_here = vocabulary is None or seen
        self.corpus = Corpus(
            roles=dict(roles),
            name=name,
            path=path,
            files=dict(files or {}),
            hub=hub,
            columns=dict(columns or {}),
            whole=whole,
            validation=validation,
            test=test,
            holdout=holdout,
            max_rows=max_rows,
            seed=seed,
            alone="train" if fitted_here else "test",
            train=fitted_here,
        )
        self.roles, self.batch_type, self.fit_tokenizer, self.given_vocabulary = (
            roles,
            batch_type,
            tokenizer,
            vocabulary,
        )
        self.max_labels, self.joint_tokenizer, self.cache = max_labels, joint_tokenizer, cache
        self.streaming = streaming and fitted_here
        self.shuffle_buffer, self.fit_rows = shuffle_buffer, fit_rows
        self.batch_size, self.eval_batch_size, self.max_tokens = batch_size, eval_batch_size, max_tokens
        self.pool = pool
        self.stream, self.window, self.num_workers, self.seed = stream, window, num_workers, seed
        self._resume_at = (0, 0)  # (epoch, batches of it that were done already)

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
    def encoded(self) -> Encoded:
        """All splits, the vocabulary, and what there is to say of them; of a streamed split its head."""
        if self.stream and self.batch_type is not GenerateBatch:
            # A corpus without this task's columns is the greater mistake, and refused there
            _ = self.corpus.open() if self.streaming else self.corpus.read()
            raise UserError("data.stream=true: only task=generate reads a continuous stream. Set data.stream=false.")
        if self.streaming:
            return self._encode(*self._begin_stream())
        name = None
        if self.cache:
            options = {"joint_tokenizer": self.joint_tokenizer, "max_labels": self.max_labels}
            name = fingerprint(self.corpus.contents() | options, self.given_vocabulary or self.fit_tokenizer)
        return cached(name, lambda: self._encode(*self.corpus.read()))

    @property
    def texts(self) -> dict[str, Dataset]:
        """Split -> rows with one string column a role."""
        return {split: rows.select_columns(list(self.roles)) for split, rows in self.encoded.splits.items()}

    @property
    def vocabulary(self) -> Vocabulary:
        """Tokenizers and labels, fitted on the training split alone."""
        return self.given_vocabulary or self.encoded.vocabulary

    @property
    def ceiling(self) -> dict[str, float]:
        """What a perfect model reaches on the test split, where that is known."""
        return self.encoded.ceiling

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """Split -> role -> encoded column."""
        return {split: columns_of(rows, self.roles) for split, rows in self.encoded.splits.items()}

    @cached_property
    def report(self) -> dict[str, Any]:
        """The data report, as plain values (see ``lstm_readout.report.data_report``)."""
        report = dict(self.encoded.report)
        sampler = self._sampler("train") if "train" in self.columns and not (self.streaming or self.stream) else None
        if sampler is not None:
            report["batches"] = {"number": len(sampler), "fill": sampler.fill()}
        if self.streaming:
            report["streamed"] = {"train": len(self.encoded.splits["train"])}
        return report

    def train_dataloader(self) -> DataLoader:
        """Batches of the training split, in a new order each epoch."""
        return self._stream_loader() if self.streaming else self._loader("train")

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

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch without waiting for it, where it lies in pinned memory."""
        return batch if device.type == "cpu" else moved(batch, device)

    def _encode(self, texts: Mapping[str, Dataset], ceiling: dict[str, float]) -> Encoded:
        vocabulary = self.given_vocabulary
        if vocabulary is None:
            options = {"joint": self.joint_tokenizer, "max_labels": self.max_labels, "where": self.corpus.name}
            vocabulary = fit_vocabulary(texts["train"], self.roles, self.fit_tokenizer, **options)
        return encode_corpus(texts, self.roles, vocabulary, ceiling)

    @cached_property
    def _streams(self) -> dict[str, Any]:
        """Split -> its rows; the training split's without those that are held out."""
        streams: dict[str, Any] = self.corpus.open()
        shares = {split: share for split, share in self.corpus.shares.items() if split not in streams}
        return streams | {"train": TrainingRows(streams["train"], shares, self.corpus.max_rows)}

    def _begin_stream(self) -> tuple[dict[str, Dataset], dict[str, float]]:
        train = self._streams["train"]
        assert isinstance(train, TrainingRows)
        given = {
            split: as_dataset(list(islice(rows, self.corpus.max_rows)), split)
            for split, rows in self._streams.items()
            if split != "train"
        }
        read = train.begin(self.fit_rows) | given
        return {split: read[split] for split in SPLITS if split in read}, {}

    def _stream_loader(self) -> DataLoader:
        batches = StreamedBatches(
            self._streams["train"],
            self.vocabulary,
            self.batch_type,
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
            pool=self.pool,
            buffer=self.shuffle_buffer,
            seed=self.seed,
            window=self.window if self.stream else None,
            resume_at=self._resume_at,
        )
        loader = DataLoader(batches, batch_size=None, collate_fn=_as_it_is, **self._loading())
        loader.sampler.set_epoch = batches.set_epoch  # pyright: ignore  # where Lightning looks for it
        return loader

    def _loader(self, split: str) -> DataLoader:
        train = split == "train"
        columns = self.columns[split]
        resamples = any(tokenizer.resamples for tokenizer in self.vocabulary.tokenizers.values())
        if self.stream:
            if train and resamples:
                raise UserError(
                    "tokenizer.dropout with data.stream=true: the stream is cut once, so its segmentation stays. "
                    "Set data.stream=false, or tokenizer.dropout=0."
                )
            if ranks()[1] > 1:
                raise UserError("data.stream=true: one stream is read by one process. Set trainer.devices=1.")
            stream = join_stream(columns["text"])
            if len(stream) < 2:
                raise UserError(
                    f"data: the {split} split of {self.corpus.name} has no token to predict. Give it more text."
                )
            dataset = (
                StreamDataset(stream, columns=self.batch_size, window=self.window)
                if train
                else evaluation_stream(stream)
            )
            sampler = StreamSampler(len(dataset))
            sampler.resume_at = self._resume_at if train else (0, 0)
            return DataLoader(dataset, batch_size=None, sampler=sampler, collate_fn=_as_it_is, **self._loading())
        encode = partial(encode_again, vocabulary=self.vocabulary) if train and resamples else None
        rows = RowDataset(columns, self.batch_type, encode)
        return DataLoader(rows, batch_sampler=self._sampler(split), collate_fn=_as_it_is, **self._loading())

    def _sampler(self, split: str) -> LengthBatchSampler:
        train = split == "train"
        sampler = LengthBatchSampler(
            lengths_of(self.columns[split]),
            batch_size=self.batch_size if train else self.eval_batch_size,
            max_tokens=self.max_tokens,
            pool=self.pool,
            shuffle=train,
            seed=self.seed,
        )
        sampler.resume_at = self._resume_at if train else (0, 0)
        return sampler

    def _loading(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            # A generator of its own: else every new iterator draws from the global one, and a resumed run differs
            "generator": torch.Generator().manual_seed(self.seed),
            "pin_memory": self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        }


def _as_it_is(batch: Any) -> Any:
    return batch
