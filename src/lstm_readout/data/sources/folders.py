"""Folders that are read as one table: classes of text files, and what ``Dataset.save_to_disk`` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, Value

from lstm_readout.data.sources.dialect import Format
from lstm_readout.data.sources.layouts import UNLABELLED, classes_of
from lstm_readout.data.sources.open_file import reason
from lstm_readout.data.sources.part import Part
from lstm_readout.data.sources.row_stream import TEXT_COLUMN, RowStream
from lstm_readout.data.sources.text_blocks import text_blocks
from lstm_readout.errors import UserError

_LABEL = "label"


def read_classes(path: Path, given: Format) -> Part[Dataset]:
    """Return one row per text file, whose label is the name of its folder."""
    rows = list(_class_rows(path, given.encoding, (TEXT_COLUMN, _LABEL)))
    table = {name: [row[name] for row in rows] for name in (TEXT_COLUMN, _LABEL)}
    return Part(Dataset.from_dict(table), f"{path.name}/", dropped=_unlabelled(path))


def stream_classes(path: Path, given: Format) -> Part[RowStream]:
    """Return the rows of ``read_classes``, one by one: one class after another."""
    stream = RowStream(
        partial(_class_rows, path, given.encoding), dict.fromkeys((TEXT_COLUMN, _LABEL), Value("string"))
    )
    return Part(stream, f"{path.name}/", dropped=_unlabelled(path))


def read_saved(path: Path, given: Format) -> Part[Dataset]:
    """Return the rows that ``Dataset.save_to_disk`` wrote."""
    try:
        return Part(Dataset.load_from_disk(str(path)), f"{path.name}/")
    except Exception as error:  # broken files raise nearly every kind of exception
        raise UserError(
            f"data: could not read '{path}' as a saved dataset ({reason(error)}). Save it again with datasets "
            f"{datasets.__version__} or earlier."
        ) from error


def stream_saved(path: Path, given: Format) -> Part[RowStream]:
    """Return the rows of ``read_saved``, one by one; the files are mapped into memory."""
    part = read_saved(path, given)
    return Part(RowStream(partial(_saved_rows, path, given), part.rows.features), part.file)


def _class_rows(path: Path, encoding: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for label, files in classes_of(path).items():
        for file in files:
            text = ""
            if file.stat().st_size:
                text = "".join(text for _, text in text_blocks(file, None, encoding)).replace("\r\n", "\n")
            yield {TEXT_COLUMN: text.removesuffix("\n"), _LABEL: label}


def _saved_rows(path: Path, given: Format, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in read_saved(path, given).rows.select_columns(list(names)):
        yield dict(row)


def _unlabelled(path: Path) -> dict[str, int]:
    folder = path / UNLABELLED
    return {f"{UNLABELLED}/": sum(1 for _ in folder.iterdir())} if folder.is_dir() else {}
