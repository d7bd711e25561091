"""Which rows make a batch: lengths go in, lists of row numbers (or windows of a stream) come out.

Rows of similar length share a batch, so that the LSTM runs at dense speed on ragged text; the order is new in every
epoch and follows from the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.distributed import get_rank, get_world_size, is_available, is_initialized
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset, Sampler

from lstm_readout.data.batches import Column, Columns, GenerateBatch
from lstm_readout.errors import UserError
from lstm_readout.ragged import Ragged
from lstm_readout.tokenizer import BOS, EOS

POOL = 500  # batches drawn together: enough to fill them evenly (0.98 on Multi30k and IMDB), and each epoch differs

# Validation and test of a stream. On tinyshakespeare's characters the mean loss is that of one pass to 1e-7 nats (each
# character's to 1e-5) in half of its time; a warm-up of 64 would leave some characters 0.1 off
EVAL_TARGETS = 4096  # of a column at least, so that reading the past costs an eighth at most
EVAL_COLUMNS = 64
EVAL_WINDOW = 256
WARM_UP = 512


class EpochSampler(Sampler):
    """An order that follows from the epoch alone, and that a resumed run can enter in the middle.

    Lightning calls ``set_epoch`` on a loader's ``sampler``, or on its batch sampler's: at first only after it has begun
    an iterator, which in a run that goes on must be that of the epoch it goes on in.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None  # none was set so far
        self.resume_at = (0, 0)  # (epoch, batches of it that were done already)

    @property
    def sampler(self) -> EpochSampler:
        """Itself, where Lightning looks for the sampler of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def served(self) -> int:
        """Return the epoch that an iterator begun now is for."""
        return self.resume_at[0] if self.epoch is None else self.epoch

    def done(self) -> int:
        """Return how many batches of this epoch an earlier process has done."""
        epoch, batches = self.resume_at
        return batches if epoch == self.served() else 0


class StreamSampler(EpochSampler):
    """The windows of a stream, one after another.

    Args:
        windows: how many there are.
    """

    def __init__(self, windows: int) -> None:
        super().__init__()
        self.windows = windows

    def __len__(self) -> int:
        return self.windows

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.done(), self.windows))


class LengthBatchSampler(EpochSampler):
    """Batches of rows of similar length, by number of rows or by a budget of tokens.

    With several processes, each makes the same number of steps and each row is in one batch of one process: where the
    batches of an epoch cannot be shared out evenly, the largest are halved.

    Args:
        lengths: (rows,) or (rows, k): tokens of each row; with k > 1 (source and target), batches are similar in all.
        batch_size: rows of a batch, at most.
        max_tokens: if given, a batch holds as many rows as this many tokens allow, but one at least.
        pool: this many batches' rows are drawn at random and parted by length; 1 gives batches of random lengths.
        shuffle: a new order in every epoch; else from the shortest rows to the longest.
        seed: the order of epoch e follows from (seed, e).
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int,
        max_tokens: int | None = None,
        pool: int = POOL,
        shuffle: bool,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.lengths = lengths.reshape(len(lengths), -1)
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.pool = pool
        self.shuffle = shuffle
        self.seed = seed
        self._batches: tuple[tuple[int, int], list[np.ndarray]] | None = None

    def __len__(self) -> int:
        # An epoch's order moves the borders of batches cut by tokens, and with them their number. Before one is set, it
        # is that of the first: a run that goes on reckons its steps as it did at its start
        return len(self.batches(self.epoch or 0)) // ranks()[1]

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = ranks()
        for rows in self.batches(self.served())[rank::world][self.done() :]:
            yield rows.tolist()

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return an epoch's batches of all processes, which take turns."""
        drawn_for = (epoch, ranks()[1])
        if self._batches is None or self._batches[0] != drawn_for:
            self._batches = (drawn_for, share_evenly(self._draw(epoch), ranks()[1]))
        return self._batches[1]

    def fill(self) -> float:
        """Return the share of real tokens in an epoch's batches, were each padded to its longest row."""
        batches = self.batches(self.served())
        padded = sum(int(self.lengths[rows].max(0).sum()) * len(rows) for rows in batches)
        return float(self.lengths.sum() / padded)

    def _draw(self, epoch: int) -> list[np.ndarray]:
        options = (self.batch_size, self.max_tokens)
        if not self.shuffle:
            return part_by_length(np.arange(len(self.lengths)), self.lengths, *options)
        random = np.random.default_rng((self.seed, epoch))
        return draw_batches(self.lengths, random, *options, self.pool)


def draw_batches(
    lengths: np.ndarray, random: np.random.Generator, batch_size: int, max_tokens: int | None, pool: int
) -> list[np.ndarray]:
    """Return batches of all rows in random order; see ``LengthBatchSampler``."""
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), pool * batch_size):
        batches += part_by_length(order[start : start + pool * batch_size], lengths, batch_size, max_tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def part_by_length(rows: np.ndarray, lengths: np.ndarray, batch_size: int, max_tokens: int | None) -> list[np.ndarray]:
    """Part rows into batches of similar lengths, from short to long."""
    if max_tokens is None:
        rows = order_by_length(rows, lengths, batch_size)
        return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    rows = order_by_length(rows, lengths, 8)
    borders, tokens = [], 0
    for i, length in enumerate(lengths[rows].sum(1).tolist()):
        if tokens and tokens + length > max_tokens:
            borders.append(i)
            tokens = 0
        tokens += length
    return np.split(rows, borders)


def order_by_length(rows: np.ndarray, lengths: np.ndarray, group: int) -> np.ndarray:
    """Order rows so that each ``group`` of neighbours has similar lengths; with one length a row this is a sort.

    The rows are halved again and again, each time across the length in which padding would cost most (a k-d tree,
    Bentley 1975): a sort by source, then target leaves groups that are ragged in the target.

    Args:
        rows: (n,) which rows; those of equal lengths stay in the order they come in.
        lengths: (all rows, k).
        group: rows that will share a batch.
    """
    if len(rows) <= group:
        return rows
    found = lengths[rows]
    widest = int((found.max(0) - found.mean(0)).argmax())
    rows = rows[np.lexsort((*np.delete(found, widest, axis=1).T, found[:, widest]))]  # the last key counts most
    border = -(-len(rows) // group) // 2 * group
    halves = (order_by_length(half, lengths, group) for half in (rows[:border], rows[border:]))
    return np.concatenate(list(halves))


def share_evenly(batches: list[np.ndarray], processes: int) -> list[np.ndarray]:
    """Halve the largest batches until each process gets the same number of them.

    Raises:
        UserError: there are fewer rows than processes.
    """
    batches = list(batches)
    while len(batches) % processes:
        largest = max(range(len(batches)), key=lambda i: len(batches[i]))
        rows = batches[largest]
        if len(rows) < 2:
            raise UserError(
                f"trainer.devices={processes}: wanted a row for each process, got {sum(map(len, batches))} row(s). "
                "Give more rows, or train with one process."
            )
        batches[largest : largest + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    return batches


class RowDataset(Dataset):
    """All rows of one encoded split; a list of row numbers gives a finished batch.

    Args:
        columns: see ``lstm_readout.data.batches``.
        batch_type: its ``collate`` makes the batch.
        encode: role -> texts in, role -> ids out: for training on segmentations that are drawn anew (BPE-dropout). The
            lengths that batches are made by stay those of the columns.
    """

    def __init__(
        self, columns: Columns, batch_type: Any, encode: Callable[[dict[str, list[str]]], Columns] | None = None
    ) -> None:
        self.columns = columns
        self.batch_type = batch_type
        self.encode = encode

    def __getitems__(self, rows: list[int]) -> Any:
        """Collate all rows at once: torch's loader calls this with what the batch sampler gave."""
        numbers = np.asarray(rows)
        if self.encode is None:
            return self.batch_type.collate(self.columns, numbers)
        chosen: dict[str, Any] = {}
        for name, column in self.columns.items():
            if not isinstance(column, Ragged):
                chosen[name] = column[numbers]
        texts = {role: chosen[f"{role}_text"].tolist() for role in self.columns.keys() - chosen.keys()}
        return self.batch_type.collate({**chosen, **self.encode(texts)}, np.arange(len(rows)))


class StreamDataset(Dataset):
    """One continuous stream of tokens, cut into columns that are read window after window.

    Item i is a ``GenerateBatch`` whose row k goes on where row k of item i - 1 ended: carry ``(h_n, c_n)`` over. No
    token is dropped: where the stream does not divide, the first columns are a token longer; the last window is short.

    Args:
        tokens: (N + 1,) the stream; N tokens are predicted, each from the one before it.
        columns: parallel columns, the rows of each batch.
        window: steps of each batch.
        warm_up: tokens that a column reads first, those before its own, or as many as there are. Their next tokens
            are not among the targets: each of the N is predicted once, in its own column.
    """

    def __init__(self, tokens: np.ndarray, *, columns: int, window: int, warm_up: int = 0) -> None:
        self.tokens = tokens.astype(np.int64)
        self.window = window
        targets = len(tokens) - 1
        columns = min(columns, targets)
        lengths = targets // columns + (np.arange(columns) < targets % columns)  # (columns,)
        starts = np.cumsum(lengths) - lengths
        warm = np.minimum(warm_up, starts)
        order = np.argsort(-(lengths + warm), kind="stable")  # longest first, as PackedSequence wants them
        self.lengths, self.starts, self.warm = (lengths + warm)[order], (starts - warm)[order], warm[order]

    def __len__(self) -> int:
        return -(-int(self.lengths[0]) // self.window)

    def __getitem__(self, item: int) -> GenerateBatch:
        if not 0 <= item < len(self):
            raise IndexError(item)
        begin = item * self.window
        steps = np.arange(begin, min(begin + self.window, self.lengths[0]))[:, None]  # (T, 1)
        alive = steps < self.lengths  # (T, columns)
        index = (self.starts + steps)[alive]  # (tokens,)
        inputs = PackedSequence(torch.from_numpy(self.tokens[index]), torch.from_numpy(alive.sum(1)))
        targets, scored = self.tokens[index + 1], (steps >= self.warm)[alive]
        if scored.all():
            return GenerateBatch(inputs, torch.from_numpy(targets), continues=item > 0)
        places = torch.from_numpy(scored.nonzero()[0])  # never none: a column scores before the one before it has ended
        return GenerateBatch(inputs, torch.from_numpy(targets[scored]), continues=item > 0, scored=places)


def join_stream(column: Column) -> np.ndarray:
    """Return ``<bos>`` and all rows as one stream, ``<eos>`` between them and none at the end."""
    assert isinstance(column, Ragged)
    assert column.values[-1] == EOS
    return np.concatenate(([BOS], column.values[:-1]))


def evaluation_stream(tokens: np.ndarray, window: int = EVAL_WINDOW) -> StreamDataset:
    """Cut a stream for validation and test, by its own length alone: no setting of training moves the perplexity.

    A column begins with ``WARM_UP`` tokens of its past, so the loss is nearly that of one pass over the whole stream,
    and exactly that where the stream is too short for two columns.

    Args:
        tokens: (N + 1,) the stream.
        window: steps of each batch; a carried state makes it a matter of speed alone.
    """
    columns = min(max((len(tokens) - 1) // EVAL_TARGETS, 1), EVAL_COLUMNS)
    return StreamDataset(tokens, columns=columns, window=window, warm_up=WARM_UP)


def ranks() -> tuple[int, int]:
    """Return this process's number and how many there are."""
    return (get_rank(), get_world_size()) if is_available() and is_initialized() else (0, 1)
