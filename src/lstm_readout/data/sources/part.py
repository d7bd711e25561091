"""One file of a split, as it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from datasets import Dataset

from lstm_readout.data.sources.row_stream import RowStream

Rows = TypeVar("Rows", Dataset, RowStream)


@dataclass(frozen=True)
class Part(Generic[Rows]):
    """Rows of a file, and how they were found in it.

    Attributes:
        rows: in memory, or streamed.
        file: its name.
        dialect: how a table of text is written; empty for other formats.
        dropped: what a line was instead of a row -> how many.
        is_plain: whether the file is plain text, whose rows are its lines.
        head: cells of the first lines, which a message about missing columns shows.
    """

    rows: Rows
    file: str
    dialect: Mapping[str, Any] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    head: Sequence[Sequence[str]] = ()
    is_plain: bool = False

    def describe(self) -> dict[str, Any]:
        """Return plain values for the data report."""
        number = len(self.rows) if isinstance(self.rows, Dataset) else None
        return {"file": self.file, "rows": number, **self.dialect, "dropped": dict(self.dropped)}
