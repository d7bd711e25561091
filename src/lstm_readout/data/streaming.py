"""A training split larger than memory: rows are read, encoded and batched as they come.

Rows are read in blocks. Every reader (a worker of a process) takes its own part of each block, encodes it, and makes
batches of similar length in random order; only the block is in memory. Each row is in one batch of one reader, and
every process makes the same number of steps, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value
from torch.utils.data import IterableDataset, get_worker_info

from lstm_readout.data.corpus import Corpus
from lstm_readout.data.encoding import encode_texts, lengths_of
from lstm_readout.data.samplers import START, Position, draw_batches, ranks
from lstm_readout.data.sources import SPLITS
from lstm_readout.data.windows import StreamDataset, join_stream
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import Vocabulary

HELD_OUT = 5000  # maximum rows of a split held out of a stream, which is in memory
_HEAD_CHARACTERS = 2**26  # maximum size of the head: texts may be long

Row = Mapping[str, str]  # role -> text or label


class TrainingRows:
    """The training rows of a stream: all that are not held out; every ``iter`` begins at the first.

    A split with the share 1/n takes every n-th row until it has ``HELD_OUT``; all later rows are for training. With
    ``label``, so is the first row of each label.

    Args:
        rows: the stream.
        shares: split -> share of the rows.
        max_rows: use the first training rows only.
        label: the column of labels.
    """

    def __init__(
        self, rows: Iterable[Row], shares: Mapping[str, float], max_rows: int | None = None, label: str | None = None
    ) -> None:
        self.rows, self.max_rows, self.label = rows, max_rows, label
        self.periods = {split: max(2, round(1 / share)) for split, share in shares.items() if share}

    def split_of(self, number: int) -> str:
        """Return the split of a row by its number in the stream."""
        for place, (split, period) in enumerate(self.periods.items()):
            if number % period == (period - 1, 0)[place] and number < period * HELD_OUT:
                return split
        return "train"

    def __iter__(self) -> Iterator[Row]:
        return islice((row for split, row in self._placed() if split == "train"), self.max_rows)

    def _placed(self) -> Iterator[tuple[str, Row]]:
        """Yield each row and its split."""
        seen: set[str] = set()  # labels that train has
        for number, row in enumerate(self.rows):
            split = self.split_of(number)
            if self.label is not None and row[self.label] not in seen:
                split = "train"
                seen.add(row[self.label])
            yield split, row

    def begin(self, fit_rows: int) -> dict[str, Dataset]:
        """Read the head of the training split, ``fit_rows`` at most, and the held-out splits.

        Raises:
            UserError: a split has no rows.
        """
        splits: dict[str, list[Row]] = {"train": [], **{split: [] for split in self.periods}}
        last = max((period * HELD_OUT for period in self.periods.values()), default=0)
        head = min(fit_rows, self.max_rows or fit_rows)
        characters = 0
        for number, (split, row) in enumerate(self._placed()):
            full = len(splits["train"]) >= head or characters > _HEAD_CHARACTERS
            if full and number >= last:
                break
            if split != "train" or not full:
                splits[split].append(row)
                characters += sum(map(len, row.values())) if split == "train" else 0
        return {split: _as_dataset(found, split) for split, found in splits.items()}


class StreamedCorpus:
    """A corpus whose training split is read row by row, and whose other splits fit in memory.

    Args:
        corpus: what to read.

    Raises:
        UserError: there is nothing to stream, or no training split.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.max_rows = corpus.max_rows
        self.others, self.sources = corpus.open()
        train = self.others.pop("train")
        shares = {split: share for split, share in corpus.shares.items() if split not in self.others}
        self.train = TrainingRows(train, shares, corpus.max_rows, corpus.label if corpus.by_label else None)
        self.sources["held_out"] = {split: {"how": "every n-th", "of": None} for split in self.train.periods}

    def head(self, fit_rows: int) -> dict[str, Dataset]:
        """Return the head of the training split, ``fit_rows`` at most, and the other splits.

        Raises:
            UserError: a split has no rows.
        """
        splits = self.train.begin(fit_rows)
        for split, rows in self.others.items():
            splits[split] = _as_dataset(list(islice(rows, self.max_rows)), split)
        return {split: splits[split] for split in SPLITS if split in splits}


def _as_dataset(rows: list[Row], split: str) -> Dataset:
    """Return the rows of a split in memory.

    Raises:
        UserError: there are none.
    """
    if not rows:
        raise UserError(f"data: the {split} split of the stream has no rows. Give it more data.")
    columns = {role: [row[role] for row in rows] for role in rows[0]}
    return Dataset.from_dict(columns, features=Features({role: Value("string") for role in columns}))


class StreamedBatches(IterableDataset):
    """The batches of a training split that is read row by row in every epoch.

    Args:
        rows: role -> text or label; every ``iter`` begins at the first.
        vocabulary: what encodes them.
        batch_type: see ``lstm_readout.data.batches``.
        roles: role -> ``text``, ``label`` or ``labels``: the tokens of the texts are counted.
        batch_size, max_tokens, pool: as for ``LengthBatchSampler``, within a block.
        buffer: rows per block and reader: more rows give less padding and better shuffling.
        seed: (seed, e) decides the order of epoch e.
        window: if given, each block is one continuous stream in ``batch_size`` columns, in windows of this many steps;
            blocks stay in order, and each begins with a zero state.
        resume_at: where to begin.

    Raises:
        UserError: during iteration, if several readers read what only one can.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        vocabulary: Vocabulary,
        batch_type: Any,
        *,
        roles: Mapping[str, str],
        batch_size: int,
        max_tokens: int | None,
        pool: int,
        buffer: int,
        seed: int,
        window: int | None = None,
        resume_at: Position = START,
    ) -> None:
        super().__init__()
        self.rows, self.vocabulary, self.batch_type, self.roles = rows, vocabulary, batch_type, roles
        self.batch_size, self.max_tokens, self.pool, self.buffer = batch_size, max_tokens, pool, buffer
        self.seed, self.window, self.resume_at = seed, window, resume_at
        self.epoch = resume_at.epoch  # Lightning asks for the first batch of a run before it sets the epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch; workers start after it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        workers = 1 if worker is None else worker.num_workers
        rank, processes = ranks()
        readers = processes * workers
        self._check(readers)
        done = self.resume_at.batches if self.resume_at.epoch == self.epoch else 0
        # The loader starts with worker 0, even if it is another worker's turn
        number = 0 if worker is None else (worker.id + done) % workers
        made = 0  # batches of this worker
        for index, (block, whole) in enumerate(blocks(self.rows, self.buffer * readers, least=processes)):
            # The loader takes a batch from each worker in turn, which requires that all make the same number. The last
            # block may be uneven: the first worker of each process takes all of it
            if whole:
                mine, steps = block[rank + processes * number :: readers], None
            elif number == 0:
                mine, steps = block[rank::processes], -(-(len(block) // processes) // self.batch_size)
            else:
                return
            random = np.random.default_rng((self.seed, self.epoch, index, rank, number))
            batches = self._batches(mine, random, steps if processes > 1 else None)
            for place, make in enumerate(batches):
                turn = (made + place) * workers + number if whole else made * workers + place
                if turn >= done:
                    yield make()
            made += len(batches)

    def _check(self, readers: int) -> None:
        if readers > 1 and self.window is not None:
            raise UserError(
                "data.carry_state=true: one stream is read by one process. "
                "Set trainer.devices=1 and data.num_workers=0."
            )
        if readers > 1 and self.max_tokens is not None:
            raise UserError(
                "data.max_tokens with data.streaming=true: several readers would make different numbers of batches. "
                "Set data.max_tokens=null, or trainer.devices=1 and data.num_workers=0."
            )

    def _batches(self, rows: list[Row], random: np.random.Generator, steps: int | None) -> list[Callable[[], Any]]:
        """Return one function per batch of these rows, which builds it; at most ``steps`` batches."""
        texts = {role: [row[role] for row in rows] for role in rows[0]}
        columns, _ = encode_texts(
            texts,
            self.vocabulary,
            where="a later part of the training split",
            known_from="its head (data.fit_rows)",
            training=True,
        )
        if self.window is not None:
            stream = join_stream(columns["text"])
            if len(stream) < 2:
                return []
            windows = StreamDataset(stream, columns=self.batch_size, window=self.window)
            return [partial(windows.__getitem__, item) for item in range(len(windows))]
        lengths = lengths_of(columns, self.roles)
        batches = draw_batches(lengths, random, self.batch_size, self.max_tokens, self.pool)
        if steps is not None and len(batches) > steps:  # this process has one row more than another
            one, other, *rest = sorted(batches, key=len)
            batches = [np.concatenate((one, other)), *rest]
        written = {f"{role}_text": np.array(texts[role], dtype=object) for role in self.vocabulary.tokenizers}
        return [partial(self.batch_type.collate, {**columns, **written}, chosen) for chosen in batches]


def blocks(rows: Iterable[Row], size: int, least: int) -> Iterator[tuple[list[Row], bool]]:
    """Cut a stream into blocks, none with fewer than ``least`` rows: a remainder joins the last.

    Yields:
        Each block, and whether it has exactly ``size`` rows.

    Raises:
        UserError: the whole stream has fewer than ``least`` rows.
    """
    rows = iter(rows)
    block = list(islice(rows, size))
    if len(block) < least:
        raise UserError(
            f"trainer.devices={least}: wanted a row for each process, got {len(block)} row(s). "
            "Give more rows, or train with one process."
        )
    while block:
        following = list(islice(rows, least))
        if len(following) < least:
            block += following
            yield block, len(block) == size
            return
        yield block, True
        block = following + list(islice(rows, size - least))
