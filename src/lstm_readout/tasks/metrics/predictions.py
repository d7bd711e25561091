"""Which token is predicted after which: an encoded column goes in, inputs and targets come out, token by token.

Every way to score a split (one long pass, reset states, dynamic evaluation, n-gram counts) predicts exactly these
tokens, so that their losses are comparable.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstm_readout.data.windows import join_stream
from lstm_readout.tokenizer import BOS
from lstm_readout.tokenizer.ragged import Ragged


class ScoredRows(NamedTuple):
    """Row i reads ``inputs[offsets[i]:offsets[i + 1]]`` and predicts the targets at the same places."""

    inputs: np.ndarray  # (tokens,) the token before each target
    targets: np.ndarray  # (tokens,)
    offsets: np.ndarray  # (rows + 1,) int64

    @classmethod
    def of(cls, column: Ragged, stream: bool) -> ScoredRows:
        """Return the predictions of a column.

        Args:
            column: its rows end in ``<eos>``.
            stream: all rows form one; the ``<eos>`` between rows is predicted, the last is not. Otherwise each row is a
                separate document that starts after ``<bos>``, and its ``<eos>`` is predicted.
        """
        if stream:
            tokens = join_stream(column)
            return cls(tokens[:-1], tokens[1:], np.array([0, len(tokens) - 1]))
        inputs = np.empty_like(column.values)
        inputs[1:] = column.values[:-1]
        inputs[column.offsets[:-1]] = BOS
        return cls(inputs, column.values, column.offsets)

    def cut(self, length: int) -> ScoredRows:
        """Return the same predictions in rows of ``length`` tokens; the last part of each old row may be shorter."""
        sizes = np.diff(self.offsets)
        parts = -(-sizes // length)  # (rows,)
        place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        starts = np.repeat(self.offsets[:-1], parts) + place * length
        return self._replace(offsets=np.append(starts, self.offsets[-1]))

    def split(self, place: int) -> tuple[ScoredRows, ScoredRows]:
        """Return the first ``place`` predictions and the others; a row cut in two goes on from its last token."""
        first = np.append(self.offsets[self.offsets < place], place)
        second = np.concatenate([[place], self.offsets[self.offsets > place]]) - place
        return (
            ScoredRows(self.inputs[:place], self.targets[:place], first),
            ScoredRows(self.inputs[place:], self.targets[place:], second),
        )

    def spread(self, number: int, length: int) -> ScoredRows:
        """Return up to ``number`` parts of at most ``length`` tokens, evenly distributed over all rows."""
        parts = self.cut(length)
        chosen = np.unique(np.linspace(0, len(parts.offsets) - 2, number).astype(np.int64))
        starts, sizes = parts.offsets[chosen], np.diff(parts.offsets)[chosen]
        index = np.concatenate([np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)])
        return ScoredRows(self.inputs[index], self.targets[index], np.append(0, np.cumsum(sizes)))
