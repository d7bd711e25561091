"""A gzip'd file goes in, its bytes come out; a bomb, which unpacks to far more than any text, is refused."""

from __future__ import annotations

import gzip
from typing import BinaryIO

from lstm_readout.errors import UserError

_MOST_GROWTH, _HARMLESS = 200, 1 << 26  # text grows about threefold, a bomb up to a thousandfold


class Unpacked(gzip.GzipFile):
    """The unpacked bytes of a gzip'd file.

    Args:
        packed: the open file.
        name: how messages begin, such as ``data: 'a.csv.gz'``.

    Raises:
        UserError: while reading, if it unpacks to far more than a text.
    """

    def __init__(self, packed: BinaryIO, name: str) -> None:
        super().__init__(fileobj=packed)
        self._packed, self._shown = packed, name

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes."""
        return self._checked(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, those of one read."""
        return self._checked(super().read1(size))

    def _checked(self, found: bytes) -> bytes:
        done = self.tell()
        if done > _HARMLESS and done > _MOST_GROWTH * self._packed.tell():
            raise UserError(
                f"{self._shown} unpacks to more than {_MOST_GROWTH} times its size, as no text does. "
                "If it is what you want, unpack it first: gzip -dc."
            )
        return found
