"""The texts that ``predict`` reads, with the other columns of their table, go in; a table of results comes out.

A row of the output is a row of the input: its columns first, then the result's. A result whose name the input has
already gets ``predicted_`` before it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from lstm_readout.data.sources import Inputs
from lstm_readout.errors import UserError
from lstm_readout.report.json_writer import as_json

Columns = dict[str, Sequence[Any]]


class TextTable(NamedTuple):
    """Texts and the table that they are a column of."""

    texts: list[str]
    columns: Columns

    @classmethod
    def of_lines(cls, lines: list[str]) -> TextTable:
        """Return lines as a table of one column."""
        return cls(lines, {"text": lines})

    @classmethod
    def of(cls, inputs: Inputs) -> TextTable:
        """Return what was read of a file, with all its columns."""
        rows = inputs.rows
        return cls(list(inputs.texts), {name: rows[name][:] for name in rows.column_names})

    def with_results(self, results: Sequence[Mapping[str, Any]]) -> Columns:
        """Return the columns of the input and, after them, those of the results: one for each row."""
        names = list(dict.fromkeys(name for result in results for name in result))
        return self.columns | {self._free(name): [result.get(name) for result in results] for name in names}

    def _free(self, name: str) -> str:
        while name in self.columns:
            name = f"predicted_{name}"
        return name


def writer_of(path: Path) -> Callable[[Columns], bytes] | None:
    """Return what writes a table in the format of this name; None for a name that is no table: lines of text.

    Raises:
        UserError: it is a format that is not written.
    """
    suffix = path.suffix.lower()
    if suffix in _NOT_WRITTEN:
        raise UserError(f"output: cannot write {suffix}. Name a file that ends in {', '.join(_WRITERS)} or .txt.")
    return _WRITERS.get(suffix)


def _as_json_lines(columns: Columns) -> bytes:
    return "".join(f"{as_json(row)}\n" for row in _rows(columns)).encode()


def _as_json_array(columns: Columns) -> bytes:
    return (as_json(_rows(columns), indent=2) + "\n").encode()


def _as_cells(columns: Columns, delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _as_parquet(columns: Columns) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table({name: pa.array(list(values)) for name, values in columns.items()}), buffer)
    return buffer.getvalue()


def _rows(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, map(_plain, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _cell(value: Any) -> Any:
    return as_json(_plain(value)) if isinstance(value, (dict, list)) else value


def _plain(value: Any) -> Any:
    """Return what JSON can hold: dates, bytes and the like as text."""
    return json.loads(json.dumps(value, default=str)) if not isinstance(value, str) else value


_WRITERS: dict[str, Callable[[Columns], bytes]] = {
    ".jsonl": _as_json_lines,
    ".ndjson": _as_json_lines,
    ".json": _as_json_array,
    ".csv": _as_cells,
    ".tsv": lambda columns: _as_cells(columns, "\t"),
    ".parquet": _as_parquet,
}
_NOT_WRITTEN = (".gz", ".zip", ".bz2", ".xz", ".xlsx", ".xls", ".arrow", ".feather", ".pkl")
