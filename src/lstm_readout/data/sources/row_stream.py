"""A split that is read row by row: its columns, and how to start again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from lstm_readout.errors import UserError

TEXT_COLUMN = "text"  # the one column of a plain text file, as `datasets` names it


@dataclass(frozen=True)
class RowStream:
    """Rows of a split; each ``iter()`` opens its files again, so several iterators can run at once.

    It holds no open file: it can be pickled for another process, where it gives all rows.

    Attributes:
        open: names of columns -> an iterator of rows, each a ``dict`` with at least these columns.
        features: column -> its ``datasets`` feature; None if a value may be of any kind.
    """

    open: Callable[[Sequence[str]], Iterator[dict[str, Any]]]
    features: Mapping[str, Any]

    @property
    def column_names(self) -> list[str]:
        """Names of the columns that each row has."""
        return list(self.features)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.open(self.column_names)

    def only(self, names: Sequence[str]) -> RowStream:
        """Return the same rows with these columns, so that a columnar format need not read the others."""
        return RowStream(self.open, {name: self.features[name] for name in names})


def chained(streams: Sequence[RowStream]) -> RowStream:
    """Return the rows of several streams with the same columns, one after another."""
    return streams[0] if len(streams) == 1 else RowStream(partial(_chained_rows, streams), streams[0].features)


def _chained_rows(streams: Sequence[RowStream], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(stream.open(names) for stream in streams)


def refuse_twins(names: Sequence[str], path: Path, otherwise: str = "") -> None:
    """Raise ``UserError`` if two columns have the same name; ``otherwise`` ends its message."""
    twice = ", ".join(sorted({f"'{name}'" for name in names if list(names).count(name) > 1}))
    if twice:
        raise UserError(f"data: '{path}' has more than one column {twice}. Rename or remove one.{otherwise}")
