"""Tables of text (csv, tsv): a header, then one row per line; a quoted cell may span several."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset, Value

from lstm_readout.data.sources.row_stream import RowStream, refuse_twins
from lstm_readout.data.sources.text_blocks import LONGEST_LINE, text_blocks
from lstm_readout.errors import UserError

_LONGEST_CELL = 1 << 25  # characters: a whole book fits, and an unclosed quote does not fill the memory


def cells(path: Path, separator: str, longest: int | None = None) -> Iterator[list[str]]:
    """Yield the header, then the cells of each row, unchanged: "007" stays "007", and "NA" is a word.

    Raises:
        UserError: a row cannot be read, or has more or fewer cells than the header; names the line where it begins.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))  # one limit for the whole process
    blocks = (io.StringIO(text, newline="\n") for _, text in text_blocks(path, longest))
    reader = csv.reader(chain.from_iterable(blocks), delimiter=separator, strict=True)
    width, line = 0, 1
    try:
        for row in reader:
            if not width:
                refuse_twins(row, path)
                width = len(row)
            elif row and len(row) != width:
                raise csv.Error(f"{len(row)} cell(s), but the header has {width}")
            if row:
                yield row
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"data: could not read '{path}', line {line:,}: {error}. "
            "Put quotes around a cell that contains separators, line breaks or quotes, and double the quotes inside."
        ) from error


def read_table(path: Path, separator: str) -> Dataset:
    """Return all rows."""
    header, *rows = list(cells(path, separator)) or [[]]
    return Dataset.from_dict({name: [row[i] for row in rows] for i, name in enumerate(header)})


def stream_table(path: Path, separator: str) -> RowStream:
    """Return rows that are read one by one."""
    header = next(cells(path, separator, LONGEST_LINE), [])
    return RowStream(partial(_table_rows, path, separator), {name: Value("string") for name in header})


def _table_rows(path: Path, separator: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    rows = cells(path, separator, LONGEST_LINE)
    header = next(rows, [])
    for row in rows:
        yield dict(zip(header, row, strict=True))
