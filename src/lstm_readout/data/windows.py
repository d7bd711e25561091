"""One continuous text goes in; windows of parallel columns, whose state is carried, come out."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset

from lstm_readout.data.batches import Column, GenerateBatch
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged

# Validation and test of a stream. On tinyshakespeare's characters the mean loss is that of one pass to 1e-7 nats (each
# character's to 1e-5) in half of its time; a warm-up of 64 would leave some characters 0.1 off
EVAL_TARGETS = 4096  # of a column at least, so that reading the past costs an eighth at most


EVAL_COLUMNS = 64


EVAL_WINDOW = 256


WARM_UP = 512


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
