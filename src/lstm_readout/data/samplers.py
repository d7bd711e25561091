"""Which rows make a batch: lengths go in, lists of row numbers come out.

Rows of similar length share a batch, so that the LSTM runs at dense speed on ragged text; the order is new in every
epoch and depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.distributed import get_rank, get_world_size, is_available, is_initialized
from torch.utils.data import Sampler

from lstm_readout.errors import UserError

POOL = 500  # batches of rows that are grouped together: little padding (fill 0.98 on Multi30k and IMDB)


class Position(NamedTuple):
    """Where training resumes."""

    epoch: int = 0
    batches: int = 0  # already done in this epoch


START = Position()


class EpochSampler(Sampler):
    """An order that depends only on the epoch, and that a resumed run can enter in the middle.

    Lightning calls ``set_epoch`` on a loader's ``sampler``, or on that of its batch sampler. The first call comes after
    an iterator has started, and in a resumed run that iterator must already be in the epoch to resume.

    Args:
        resume_at: where to begin.
    """

    def __init__(self, resume_at: Position) -> None:
        self.resume_at = resume_at
        self.epoch: int | None = None  # not set yet

    @property
    def sampler(self) -> EpochSampler:
        """This sampler: here Lightning looks for the sampler of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def served(self) -> int:
        """Return the epoch of an iterator started now."""
        return self.resume_at.epoch if self.epoch is None else self.epoch

    def done(self) -> int:
        """Return how many batches of this epoch an earlier process has done."""
        return self.resume_at.batches if self.resume_at.epoch == self.served() else 0


class LengthBatchSampler(EpochSampler):
    """Batches of rows of similar length, by number of rows or by a budget of tokens.

    With several processes, each makes the same number of steps and each row is in one batch of one process: if the
    batches of an epoch cannot be divided evenly, the largest are halved.

    Args:
        lengths: (rows,) or (rows, k): tokens of each row; with k > 1 (source and target), rows are similar in all k.
        batch_size: maximum number of rows per batch.
        max_tokens: if given, a batch has as many rows as this many tokens allow, and at least one.
        pool: this many batches of rows are drawn at random, then grouped by length; 1 gives batches of random lengths.
        shuffle: a new order in every epoch; otherwise from the shortest rows to the longest.
        seed: (seed, e) decides the order of epoch e.
        resume_at: where to begin.
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
        resume_at: Position = START,
    ) -> None:
        super().__init__(resume_at)
        self.lengths = lengths.reshape(len(lengths), -1)
        self.batch_size, self.max_tokens, self.pool = batch_size, max_tokens, pool
        self.shuffle, self.seed = shuffle, seed
        self._batches: tuple[tuple[int, int], list[np.ndarray]] | None = None

    def __len__(self) -> int:
        # With max_tokens the number of batches depends on the epoch. Before one is set, count those of the first: a
        # resumed run computes its steps as it did at its start
        return len(self.batches(self.epoch or 0)) // ranks()[1]

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = ranks()
        for rows in self.batches(self.served())[rank::world][self.done() :]:
            yield rows.tolist()

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch for all processes, which take turns."""
        drawn_for = (epoch, ranks()[1])
        if self._batches is None or self._batches[0] != drawn_for:
            self._batches = (drawn_for, _share_evenly(self._draw(epoch), ranks()[1]))
        return self._batches[1]

    def fill(self) -> float:
        """Return the share of real tokens if each batch of an epoch were padded to its longest row."""
        batches = self.batches(self.served())
        padded = sum(int(self.lengths[rows].max(0).sum()) * len(rows) for rows in batches)
        return float(self.lengths.sum() / padded)

    def _draw(self, epoch: int) -> list[np.ndarray]:
        options = (self.batch_size, self.max_tokens)
        if not self.shuffle:
            return _group_by_length(np.arange(len(self.lengths)), self.lengths, *options)
        random = np.random.default_rng((self.seed, epoch))
        return draw_batches(self.lengths, random, *options, self.pool)


def draw_batches(
    lengths: np.ndarray, random: np.random.Generator, batch_size: int, max_tokens: int | None, pool: int
) -> list[np.ndarray]:
    """Return batches of all rows in random order; see ``LengthBatchSampler``."""
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), pool * batch_size):
        batches += _group_by_length(order[start : start + pool * batch_size], lengths, batch_size, max_tokens)
    return [batches[i] for i in random.permutation(len(batches))]


def _group_by_length(
    rows: np.ndarray, lengths: np.ndarray, batch_size: int, max_tokens: int | None
) -> list[np.ndarray]:
    """Group rows into batches of similar lengths, from short to long."""
    if max_tokens is None:
        rows = _order_by_length(rows, lengths, batch_size)
        return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    rows = _order_by_length(rows, lengths, 8)
    borders, tokens = [], 0
    for i, length in enumerate(lengths[rows].sum(1).tolist()):
        if tokens and tokens + length > max_tokens:
            borders.append(i)
            tokens = 0
        tokens += length
    return np.split(rows, borders)


def _order_by_length(rows: np.ndarray, lengths: np.ndarray, group: int) -> np.ndarray:
    """Order rows so that each ``group`` of neighbours has similar lengths; with one length per row this is a sort.

    The rows are halved recursively, each time along the length in which padding would cost most (a k-d tree, Bentley
    1975): a sort by source, then target would leave groups that are ragged in the target.

    Args:
        rows: (n,) which rows; those of equal lengths keep their order.
        lengths: (all rows, k).
        group: rows that will share a batch.
    """
    if len(rows) <= group:
        return rows
    own = lengths[rows]
    widest = int((own.max(0) - own.mean(0)).argmax())
    rows = rows[np.lexsort((*np.delete(own, widest, axis=1).T, own[:, widest]))]  # the last key counts most
    border = -(-len(rows) // group) // 2 * group
    halves = (_order_by_length(half, lengths, group) for half in (rows[:border], rows[border:]))
    return np.concatenate(list(halves))


def _share_evenly(batches: list[np.ndarray], processes: int) -> list[np.ndarray]:
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
