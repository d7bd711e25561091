"""Which rows make a batch: lengths go in, lists of row numbers (or windows of a stream) come out.

Rows of similar length share a batch, so that the LSTM runs at dense speed on ragged text; the order is new in every
epoch and follows from the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.distributed import get_rank, get_world_size, is_available, is_initialized
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset, Sampler

from lstm_readout.data.batches import Columns, GenerateBatch

POOL = 200  # batches sorted together: enough to fill them evenly (0.97 on IMDB), few enough to keep epochs different

# Validation and test of a stream. On tinyshakespeare's characters the mean loss is that of one pass to 1e-7 nats (each
# character's to 1e-5) in half of its time; a warm-up of 64 would leave some characters 0.1 off
EVAL_TARGETS = 4096  # of a column at least, so that reading the past costs an eighth at most
EVAL_COLUMNS = 64
EVAL_WINDOW = 256
WARM_UP = 512


class EpochSampler(Sampler):
    """An order that follows from the epoch alone, and that a resumed run can enter in the middle.

    Lightning calls ``set_epoch`` on a loader's ``sampler``, or on its batch sampler's.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.resume_at = (0, 0)  # (epoch, batches of it that were done already)

    @property
    def sampler(self) -> EpochSampler:
        """Itself, where Lightning looks for the sampler of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def done(self) -> int:
        """Return how many batches of this epoch an earlier process has done."""
        epoch, batches = self.resume_at
        return batches if epoch == self.epoch else 0


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

    Args:
        lengths: (rows,) or (rows, k): tokens of each row, the most significant length first.
        batch_size: rows of a batch.
        max_tokens: if given, a batch holds as many rows as this many tokens allow, but one at least.
        pool: this many batches' rows are drawn at random and sorted together; 1 gives batches of random lengths.
        shuffle: a new order each epoch; otherwise batches go from the shortest rows to the longest.
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
        self._batches: tuple[int, list[np.ndarray]] | None = None

    def __len__(self) -> int:
        # An epoch's order moves the borders of batches cut by tokens, and with them their number
        return -(-len(self.batches()) // ranks()[1])

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = ranks()
        batches = self.batches()
        padded = (batches * world)[: len(self) * world]  # every process makes the same number of steps
        for rows in padded[rank::world][self.done() :]:
            yield rows.tolist()

    def batches(self) -> list[np.ndarray]:
        """Return this epoch's batches of all processes."""
        if self._batches is None or self._batches[0] != self.epoch:
            self._batches = (self.epoch, self._draw())
        return self._batches[1]

    def _draw(self) -> list[np.ndarray]:
        if not self.shuffle:
            return self._cut(np.lexsort(self.lengths.T[::-1]))
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.lengths))
        pool = self.pool * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            batches += self._cut(rows[np.lexsort(self.lengths[rows].T[::-1])])
        return [batches[i] for i in random.permutation(len(batches))]

    def _cut(self, rows: np.ndarray) -> list[np.ndarray]:
        """Cut rows sorted by length into batches."""
        if self.max_tokens is None:
            return [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        borders, tokens = [], 0
        for i, length in enumerate(self.lengths[rows].sum(1).tolist()):
            if tokens and tokens + length > self.max_tokens:
                borders.append(i)
                tokens = 0
            tokens += length
        return np.split(rows, borders)


class RowDataset(Dataset):
    """All rows of one encoded split; a list of row numbers gives a finished batch."""

    def __init__(self, columns: Columns, batch_type: type) -> None:
        self.columns = columns
        self.batch_type = batch_type

    def __getitems__(self, rows: list[int]) -> Any:
        """Collate all rows at once: torch's loader calls this with what the batch sampler gave."""
        return self.batch_type.collate(self.columns, np.asarray(rows))


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
