"""One continuous text goes in; windows of parallel columns come out, for a model that carries its state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset

from lstm_readout.data.batches import Column, GenerateBatch
from lstm_readout.data.samplers import EpochSampler, Position, ranks
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged

# Validation and test of a stream. On tinyshakespeare's characters the mean loss equals that of one pass to 1e-7 nats
# (each character's to 1e-5) in half the time; with a warm-up of 64 some characters would be off by 0.1
EVAL_TARGETS = 4096  # per column at least, so that reading the past costs at most an eighth
EVAL_COLUMNS = 64
EVAL_WINDOW = 256
WARM_UP = 512


class StreamDataset(Dataset):
    """One continuous stream of tokens, cut into columns that are read window after window.

    In item i, a ``GenerateBatch``, row k continues row k of item i - 1: carry ``(h_n, c_n)`` over. No token is dropped:
    if the stream does not divide evenly, the first columns are one token longer; the last window is short.

    Args:
        tokens: (N + 1,) the stream; N tokens are predicted, each from the one before it.
        columns: parallel columns, the rows of each batch.
        window: steps per batch.
        warm_up: a column first reads this many tokens before its own, or as many as there are. Their next tokens are
            not among the targets: each of the N is predicted once, in its own column.
    """

    def __init__(self, tokens: np.ndarray, *, columns: int, window: int, warm_up: int = 0) -> None:
        self.tokens = tokens.astype(np.int64)
        self.window = window
        targets = len(tokens) - 1
        columns = min(columns, targets)
        lengths = targets // columns + (np.arange(columns) < targets % columns)  # (columns,)
        starts = np.cumsum(lengths) - lengths
        warm = np.minimum(warm_up, starts)
        order = np.argsort(-(lengths + warm), kind="stable")  # longest first, as PackedSequence requires
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
        places = torch.from_numpy(scored.nonzero()[0])  # never empty: a column scores before the previous one has ended
        return GenerateBatch(inputs, torch.from_numpy(targets[scored]), continues=item > 0, scored=places)


def join_stream(column: Column) -> np.ndarray:
    """Return ``<bos>`` and all rows as one stream, ``<eos>`` between them and none at the end."""
    if not isinstance(column, Ragged) or column.values[-1] != EOS:
        raise TypeError(f"wanted a column of texts that end in <eos>, got {type(column).__name__}")
    return np.concatenate(([BOS], column.values[:-1]))


def checked_stream(column: Column, where: str, resamples: bool) -> np.ndarray:
    """Return the stream of a split for ``StreamDataset``: (N + 1,).

    Args:
        column: the ids of its rows.
        where: the split in messages.
        resamples: whether its tokenizer draws a new segmentation in every epoch.

    Raises:
        UserError: the tokenizer resamples, several processes read the stream, or it is empty.
    """
    if resamples:
        raise UserError(
            "tokenizer.dropout with data.carry_state=true: the stream is cut once, so its segmentation is fixed. "
            "Set data.carry_state=false, or tokenizer.dropout=0."
        )
    if ranks()[1] > 1:
        raise UserError("data.carry_state=true: one stream is read by one process. Set trainer.devices=1.")
    stream = join_stream(column)
    if len(stream) < 2:
        raise UserError(f"data: {where} has no token to predict. Give it more text.")
    return stream


class StreamSampler(EpochSampler):
    """The windows of a stream, one after another.

    Args:
        windows: how many there are.
        resume_at: where to begin.
    """

    def __init__(self, windows: int, resume_at: Position) -> None:
        super().__init__(resume_at)
        self.windows = windows

    def __len__(self) -> int:
        return self.windows

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.done(), self.windows))


def evaluation_stream(tokens: np.ndarray, window: int = EVAL_WINDOW) -> StreamDataset:
    """Cut a stream for validation and test by its length alone: no training setting changes the perplexity.

    A column begins with ``WARM_UP`` tokens of its past, so the loss is nearly that of one pass over the whole stream,
    and exactly that if the stream is too short for two columns.

    Args:
        tokens: (N + 1,) the stream.
        window: steps per batch; the state is carried, so it affects only speed.
    """
    columns = min(max((len(tokens) - 1) // EVAL_TARGETS, 1), EVAL_COLUMNS)
    return StreamDataset(tokens, columns=columns, window=window, warm_up=WARM_UP)
