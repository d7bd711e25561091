"""Which rows make a batch: lengths go in, lists of row numbers (or windows of a stream) come out.

Rows of similar length share a batch, so that the LSTM runs at dense speed on ragged text; the order is new in every
epoch and follows from the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.distributed import get_rank, get_world_size, is_available, is_initialized
from torch.utils.data import Sampler

from lstm_readout.errors import UserError

POOL = 500  # batches drawn together: enough to fill them evenly (0.98 on Multi30k and IMDB), and each epoch differs


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


def ranks() -> tuple[int, int]:
    """Return this process's number and how many there are."""
    return (get_rank(), get_world_size()) if is_available() and is_initialized() else (0, 1)
