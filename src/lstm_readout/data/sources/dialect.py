"""How a table of text is written: what a user says and what its first lines show go in; a ``Dialect`` comes out."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lstm_readout.errors import UserError, did_you_mean

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|"}
_QUOTING: dict[str, dict[str, Any]] = {  # arguments of csv.reader
    "minimal": {},
    "backslash": {"escapechar": "\\", "doublequote": False},
    "none": {"quoting": csv.QUOTE_NONE},
}
_ROLES = {"text", "label", "labels", "source", "target"}  # a first line with one of these cells names the columns
_LINE_OF_EXCEL = re.compile(r'"?sep=(.)"?\s*')
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u00ad"))  # byte order marks, zero-width space, soft hyphen


@dataclass(frozen=True, kw_only=True)
class Format:
    """What a user says about tables of text (``data.format``); ``auto``: what the file shows.

    Args:
        delimiter: ``comma``, ``tab``, ``semicolon``, ``pipe``, or one character. If given, a file of any name but those
            of json and parquet is a table.
        quoting: ``minimal``: a cell may be in quotes, which are doubled inside of it; ``backslash``: a backslash is
            before them instead; ``none``: a quote is an ordinary character, and each line is a row.
        header: whether the first line names the columns. Without a header their names are 0, 1, 2, ...
        skip_rows: number of lines above the header, or above the first row.
        encoding: such as ``cp1252``; ``auto``: UTF-8, or what a byte order mark says.

    Raises:
        UserError: a value is none of these.
    """

    delimiter: str = "auto"
    quoting: str = "auto"
    header: str | bool = "auto"
    skip_rows: int = 0
    encoding: str = "auto"

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Format:
        """Return ``data.format`` as given; None: as earlier versions read, a header and cells in quotes."""
        given = {"quoting": "minimal", "header": True} if given is None else given
        for key in given:
            if key not in (valid := [field.name for field in fields(cls)]):
                raise UserError(f"data.format: there is no '{key}'. {did_you_mean(key, valid)}")
        return cls(**given)

    def __post_init__(self) -> None:
        if self.delimiter not in ("auto", *DELIMITERS) and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UserError(
                f"data.format.delimiter: wanted one character or a name, got '{self.delimiter}'. "
                f"{did_you_mean(self.delimiter, ('auto', *DELIMITERS))}"
            )
        for key, value, valid in (
            ("quoting", self.quoting, ("auto", *_QUOTING)),
            ("header", str(self.header).lower(), ("auto", "true", "false")),
        ):
            if value not in valid:
                raise UserError(f"data.format.{key}: there is no '{value}'. {did_you_mean(value, valid)}")
        if isinstance(self.skip_rows, bool) or not isinstance(self.skip_rows, int) or self.skip_rows < 0:
            raise UserError(f"data.format.skip_rows: wanted a number of lines, got {self.skip_rows}.")
        try:
            "a".encode("utf-8" if self.encoding == "auto" else self.encoding)
        except (LookupError, UnicodeError) as error:
            raise UserError(
                f"data.format.encoding: there is no '{self.encoding}'. Name one of Python's, such as cp1252 or utf-16."
            ) from error


@dataclass(frozen=True)
class Dialect:
    """How to read one table.

    Attributes:
        sure: a user has said it, or the file shows it: a quoted cell may hold whole lines.
        spaced: a quote may follow a blank after the delimiter; such blanks are dropped.
    """

    delimiter: str
    quoting: str = "minimal"
    header: bool = True
    skip_rows: int = 0
    sure: bool = False
    spaced: bool = False

    def reader(self, lines: Any) -> Any:
        """Return a ``csv.reader``."""
        options = _QUOTING[self.quoting]
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.spaced, strict=True, **options)

    def describe(self) -> dict[str, Any]:
        """Return plain values for the data report."""
        names = {character: name for name, character in DELIMITERS.items()}
        delimiter = names.get(self.delimiter, self.delimiter)
        return {"delimiter": delimiter, "quoting": self.quoting, "header": self.header, "skip_rows": self.skip_rows}


def dialect_of(lines: Sequence[str], given: Format, usual: str) -> Dialect:
    """Find out how a table is written.

    Args:
        lines: its first lines, with their ends.
        given: what the user says, which is not questioned.
        usual: the delimiter that the file's name promises.
    """
    skip = given.skip_rows
    delimiter = DELIMITERS.get(given.delimiter, given.delimiter)
    excel = _LINE_OF_EXCEL.fullmatch(lines[skip]) if len(lines) > skip else None
    if excel is not None:  # Excel's own word for the delimiter
        skip, usual = skip + 1, excel[1]
    if delimiter == "auto":
        delimiter = usual if excel is not None else _delimiter(lines[skip:], usual)
    header = given.header
    if isinstance(header, str):
        header = _has_header(_rows(lines[skip:], delimiter)) if header == "auto" else header == "true"
    quoting = "minimal" if given.quoting == "auto" else given.quoting
    spaced = quoting == "minimal" and _is_spaced(lines[skip:], delimiter)
    return Dialect(delimiter, quoting, header, skip, sure=given.quoting != "auto", spaced=spaced)


def plain_name(name: str) -> str:
    """Return a name without what cannot be seen: blanks around it, byte order marks, the form of its accents."""
    return unicodedata.normalize("NFC", " ".join(name.translate(_INVISIBLE).split()))


def _rows(lines: Sequence[str], delimiter: str, spaced: bool = False) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced) if row]
    except csv.Error:
        return []


def _is_spaced(lines: Sequence[str], delimiter: str) -> bool:
    """Return whether rows are even only if a quote may follow a blank."""
    if not any(f'{delimiter} "' in line for line in lines):
        return False
    usual, spaced = (_rows(lines, delimiter, skips) for skips in (False, True))
    return len({len(row) for row in usual}) > 1 == len({len(row) for row in spaced})


def _delimiter(lines: Sequence[str], usual: str) -> str:
    """Return the first delimiter that cuts all rows, or at least the header, into several cells."""
    tables = {one: _rows(lines, one) for one in dict.fromkeys((usual, *DELIMITERS.values()))}
    cut = [one for one, rows in tables.items() if rows and len(rows[0]) > 1]
    even = [one for one in cut if len({len(row) for row in tables[one]}) == 1]
    return (even or cut or [usual])[0]


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns: no cell of it occurs again below, as a label would."""
    first = rows[0] if rows else []
    names = [name for name in first if name.strip()]
    numbered = names == [str(i) for i in range(len(names))]  # as pandas names columns
    if len(first) < 2 or numbered or any(plain_name(name).lower() in _ROLES for name in first):
        return True
    below = [row for row in rows if row != first and len(row) == len(first)]
    return not any(cell.strip() and any(row[i] == cell for row in below) for i, cell in enumerate(first))
