"""Texts for a trained model: a file goes in; the text of each row comes out, and the row with all its columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from lstm_readout.data.sources.dialect import Format
from lstm_readout.data.sources.files import read_part
from lstm_readout.data.sources.roles import select_roles
from lstm_readout.data.sources.row_stream import TEXT_COLUMN


class Inputs(NamedTuple):
    """Row i of a file, twice.

    Attributes:
        texts: what the model reads.
        rows: all columns, in the order of the file; a file of plain text has the column ``text`` alone.
    """

    texts: list[str]
    rows: Dataset


def read_inputs(path: Path, role: str, column: Any, given: Format) -> Inputs:
    """Read a table (csv, tsv, json(l), parquet) or the lines of a plain text.

    Args:
        path: the file.
        role: what the model reads, ``text`` or ``source``.
        column: the column of a table that has it, or its position in a table without a header.
        given: how a table is written, as far as the user says it.

    Raises:
        UserError: the file cannot be read, has no rows, or lacks the column.
    """
    part = read_part(path, given)
    if part.is_plain:
        return Inputs(part.rows[TEXT_COLUMN][:], part.rows)
    return Inputs(select_roles(part.rows, {role: "text"}, {role: column}, f"'{path}'", part.head)[role][:], part.rows)
