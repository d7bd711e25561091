"""Tables of text (csv, tsv): a line is a row of cells; a quoted cell may span several lines.

Python's ``csv`` cuts the cells. No line is lost without a number: blank lines and the like are counted, and any other
line that is no row is an error.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from datasets import Dataset, Value

from lstm_readout.data.sources.dialect import Dialect, Format, dialect_of
from lstm_readout.data.sources.part import Part
from lstm_readout.data.sources.row_stream import RowStream, refuse_twins
from lstm_readout.data.sources.text_blocks import LONGEST_LINE, text_blocks
from lstm_readout.errors import UserError

_LONGEST_CELL = 1 << 25  # characters: a whole book fits, and an unclosed quote does not fill the memory
_FIRST_LINES = 500  # they show how a table is written
_FIRST_ROWS = 2000  # of a stream, which show whether its quotes are quotes
_END_OF_FILE = ["\x1a"]  # as DOS wrote it
_REPAIR = (
    "Put quotes around a cell that contains separators, line breaks or quotes, and double the quotes inside; "
    "or, if quotes are ordinary characters here, set data.format.quoting=none."
)


_ABOVE = (
    "Is there a line above the header? Then data.format.skip_rows={rows}. Does another character separate the cells? "
    "Then data.format.delimiter=..."
)


class _Uneven(csv.Error):
    """A row with more or fewer cells than the first."""


class _Unclear(UserError):
    """A row that cannot be read with quotes, or perhaps should not be."""

    joins = False  # whether a quote joins lines that may be rows


class _Lines:
    """The lines of a file; ``taken`` are those that were read since it was cleared."""

    def __init__(self, table: _Table) -> None:
        blocks = text_blocks(table.path, table.longest, table.encoding)
        self.lines = chain.from_iterable(io.StringIO(text, newline="\n") for _, text in blocks)
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.taken.append(line)
            yield line


@dataclass(frozen=True)
class _Table:
    """A file and how it is written."""

    path: Path
    dialect: Dialect
    encoding: str
    longest: int | None  # maximum bytes per line

    def cells(self, dropped: Counter[str]) -> Iterator[list[str]]:
        """Yield the names of the columns, then the cells of each row, unchanged: "007" stays "007", "NA" is a word.

        Args:
            dropped: what a line was instead of a row -> how many lines; counted here.

        Raises:
            UserError: a row cannot be read, or has more or fewer cells than the header; names the line where it begins.
        """
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))  # one limit for the whole process
        lines = _Lines(self)
        rest = iter(lines)
        for _ in range(self.dialect.skip_rows):
            next(rest, None)
        lines.taken.clear()
        header, names, line = [], [], self.dialect.skip_rows + 1
        try:
            for row in self.dialect.reader(rest):
                if row and not names:
                    header = row if self.dialect.header else []
                    names = _names(header) or [str(i) for i in range(len(row))]
                    refuse_twins(
                        names, self.path, " If they are data, the file has no header: data.format.header=false."
                    )
                    yield names
                if reason := _no_row(row, header, len(names)):
                    dropped[reason] += len(lines.taken)
                elif row is not header:
                    self._check(row, len(names), lines.taken, line)
                    yield row
                line += len(lines.taken)
                lines.taken.clear()
        except csv.Error as error:
            raise _Unclear(
                f"data: could not read '{self.path}', line {line:,}: {self._reason(error, len(names), lines.taken)}"
            ) from error

    def rows(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield each row with all columns, as ``RowStream`` opens it."""
        rows = self.cells(Counter())
        columns = next(rows, [])
        for row in rows:
            yield dict(zip(columns, row, strict=True))

    def head(self) -> list[list[str]]:
        """Return the first lines as cells."""
        lines = islice(iter(_Lines(self)), self.dialect.skip_rows, self.dialect.skip_rows + 5)
        try:
            return list(self.dialect.reader(lines))
        except csv.Error:
            return []

    def fits(self, limit: int | None) -> bool:
        """Return whether the first ``limit`` rows can be read."""
        try:
            for _ in islice(self.cells(Counter()), limit):
                pass
        except UserError:
            return False
        return True

    def settled(self, fault: _Unclear, limit: int | None = None) -> _Table:
        """Return how to read a file that is unclear with quotes; whether each line is a row decides.

        Only tables with tabs are usually written without quotes.

        Raises:
            UserError: the fault itself, if that decides nothing.
        """
        if self.dialect.sure:
            raise fault
        plain = replace(self, dialect=replace(self.dialect, quoting="none", sure=True))
        fits = plain.fits(limit)
        if fits and self.dialect.delimiter == "\t":
            return plain
        if fits or not fault.joins:
            raise fault
        return replace(self, dialect=replace(self.dialect, sure=True))

    def _check(self, row: Sequence[str], width: int, lines: Sequence[str], line: int) -> None:
        if len(row) != width:
            raise _Uneven(f"{len(row)} cell(s), but {'the header' if self.dialect.header else 'line 1'} has {width}.")
        if len(lines) > 1 and not self.dialect.sure and self._are_rows(lines, width):
            raise _joined(self.path, line, len(lines), width)

    def _are_rows(self, lines: Sequence[str], width: int) -> bool:
        """Return whether each of the lines that a quote joins would be a row."""
        try:
            return all(len(row) == width for row in replace(self.dialect, quoting="none").reader(lines))
        except csv.Error:
            return False

    def _reason(self, error: csv.Error, width: int, lines: Sequence[str]) -> str:
        """Return what is wrong with a row, and what to do."""
        text = str(error).rstrip(".")
        if "field limit" in text:
            text = f"a cell of more than {_LONGEST_CELL:,} characters: a quote that is never closed, or a whole corpus"
        elif "new-line character" in text:
            text = "a carriage return inside a cell, which is no line end in this file"
        if width == 1 and isinstance(error, _Uneven):
            return f"{text}. {_ABOVE.format(rows=self.dialect.skip_rows + 1)}"
        if "expected after" in text and any('\\"' in line for line in lines):
            return f"{text}. If a backslash is before a quote inside a cell: data.format.quoting=backslash."
        return f"{text}. {_REPAIR}" if self.dialect.quoting == "minimal" else f"{text}."


def read_cells(path: Path, given: Format, usual: str) -> Part[Dataset]:
    """Return all rows of a table; ``usual`` is the delimiter that its name promises."""
    table, dropped = _table(path, given, usual), Counter()
    try:
        names, *rows = list(table.cells(dropped)) or [[]]
    except _Unclear as fault:
        table = table.settled(fault)
        dropped.clear()
        names, *rows = list(table.cells(dropped)) or [[]]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return Part(Dataset.from_dict(columns), path.name, table.dialect.describe(), dropped, table.head())


def stream_cells(path: Path, given: Format, usual: str) -> Part[RowStream]:
    """Return rows that are read one by one; the first show how the table is written."""
    table = _table(path, given, usual, LONGEST_LINE)
    try:
        for _ in islice(table.cells(Counter()), _FIRST_ROWS):
            pass
    except _Unclear as fault:
        table = table.settled(fault, _FIRST_ROWS)
    stream = RowStream(table.rows, dict.fromkeys(next(table.cells(Counter()), []), Value("string")))
    return Part(stream, path.name, table.dialect.describe(), head=table.head())


def _table(path: Path, given: Format, usual: str, longest: int | None = None) -> _Table:
    table = _Table(path, Dialect(usual), given.encoding, longest)
    lines = list(islice(iter(_Lines(table)), _FIRST_LINES))
    return replace(table, dialect=dialect_of(lines, given, usual))


def _names(header: Sequence[str]) -> list[str]:
    """Return the names of the columns; several without one, which a spreadsheet adds, are named by their position."""
    blank = [not name.strip() for name in header]
    return [str(i) if blank[i] and sum(blank) > 1 else name for i, name in enumerate(header)]


def _no_row(row: Sequence[str], header: Sequence[str], width: int) -> str | None:
    """Return what a line is that is no row."""
    if not row:
        return "blank"
    if row == _END_OF_FILE and width > 1:
        return "end of file"
    return "header again" if row == header and row is not header and width > 1 else None


def _joined(path: Path, line: int, number: int, width: int) -> _Unclear:
    fault = _Unclear(
        f"data: '{path}', line {line:,}: a quote joins {number} lines, each of {width} cells, which may be rows. "
        "If quotes are ordinary characters here: data.format.quoting=none. If this cell has line breaks: "
        "data.format.quoting=minimal."
    )
    fault.joins = True
    return fault
