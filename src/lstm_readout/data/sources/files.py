"""Paths go in; the rows of each split come out, held in memory or streamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from lstm_readout.data.sources.csv_files import read_cells, stream_cells
from lstm_readout.data.sources.dialect import Format
from lstm_readout.data.sources.folders import read_classes, read_saved, stream_classes, stream_saved
from lstm_readout.data.sources.json_files import read_objects, stream_objects
from lstm_readout.data.sources.layouts import SPLITS, classes_of, is_saved, listed
from lstm_readout.data.sources.open_file import FORMATS
from lstm_readout.data.sources.parquet_files import read_parquet, stream_parquet
from lstm_readout.data.sources.part import Part, Rows
from lstm_readout.data.sources.row_stream import RowStream
from lstm_readout.data.sources.text_files import (
    read_document,
    read_lines,
    read_parallel,
    stream_lines,
    stream_parallel,
)
from lstm_readout.errors import UserError, did_you_mean

DATA_FOLDER = "LSTM_READOUT_DATA"


class _Reader(NamedTuple):
    read: Callable[[Path, Format], Part[Dataset]]
    stream: Callable[[Path, Format], Part[RowStream]]


def _cells(delimiter: str) -> _Reader:
    return _Reader(partial(read_cells, usual=delimiter), partial(stream_cells, usual=delimiter))


_JSON, _PARQUET = _Reader(read_objects, stream_objects), _Reader(read_parquet, stream_parquet)
_READERS = {
    ".csv": _cells(","),
    ".tsv": _cells("\t"),
    ".json": _JSON,
    ".jsonl": _JSON,
    ".ndjson": _JSON,
    ".parquet": _PARQUET,
}
_LINES = _Reader(read_lines, stream_lines)
_CLASSES, _SAVED = _Reader(read_classes, stream_classes), _Reader(read_saved, stream_saved)
_DOCUMENT = _Reader(read_document, stream_lines)


def read_part(path: Path, given: Format) -> Part[Dataset]:
    """Return the rows of one file with all its columns, in order; a line of plain text is a row of column ``text``.

    Args:
        path: a file of any format.
        given: how a table is written, as far as the user says it.

    Raises:
        UserError: it cannot be read, or has no rows.
    """
    part = _reader_of(path, given, _LINES).read(path, given)
    if not len(part.rows):
        raise _no_rows(path)
    return part


def read_files(
    files: Mapping[str, Any], root: Path, *, whole: bool = False, given: Format | None = None
) -> dict[str, list[Part[Dataset]]]:
    """Read the files of each split.

    Args:
        files: split -> the path of a file or folder, a pattern such as ``*.csv``, a list of these, or {column: path} of
            parallel text files; None for a split without a file.
        root: the folder that relative paths start from.
        whole: a plain text file is one row, not one row per line.
        given: how tables are written, as far as the user says it.

    Raises:
        UserError: a file is missing, empty, not text of its encoding, broken, or parallel files differ in length.
    """
    given, plain = given or Format(), _DOCUMENT if whole else _LINES

    def read(source: Any) -> Part[Dataset]:
        if isinstance(source, Mapping):
            return read_parallel(source, given)
        return _reader_of(source, given, plain).read(source, given)

    return _parts(files, root, read)


def stream_files(
    files: Mapping[str, Any], root: Path, *, whole: bool = False, given: Format | None = None
) -> dict[str, list[Part[RowStream]]]:
    """Open the files of each split, to be read row by row without holding them in memory.

    Args:
        files: as for ``read_files``.
        root: as for ``read_files``.
        whole: refused: one row would be the whole file.
        given: as for ``read_files``.

    Raises:
        UserError: as ``read_files`` does; for faults below the first rows, during iteration.
    """
    if whole:
        raise UserError(
            "data.whole=true: the whole file would be one row, which a stream cannot hold. "
            "Set data.whole=false (one row per line), or data.streaming=false."
        )
    given = given or Format()

    def stream(source: Any) -> Part[RowStream]:
        if isinstance(source, Mapping):
            return stream_parallel(source, given)
        return _reader_of(source, given, _LINES).stream(source, given)

    return _parts(files, root, stream)


def _parts(files: Mapping[str, Any], root: Path, read: Callable[[Any], Part[Rows]]) -> dict[str, list[Part[Rows]]]:
    """Read each file of each split; refuse one without rows."""
    splits = {}
    for split, sources in _below(root, files).items():
        splits[split] = []
        for source in sources:
            part = read(source)
            if next(iter(part.rows), None) is None:
                raise _no_rows(source)
            splits[split].append(part)
    return splits


def local_folder(name: str) -> Path | None:
    """Return the local copy of a named corpus in the folder that ``LSTM_READOUT_DATA`` names, if there is one."""
    root = os.environ.get(DATA_FOLDER)
    if not root:
        return None
    if not Path(root).expanduser().is_dir():
        raise UserError(f"{DATA_FOLDER}: wanted a folder, got '{root}'. Unset it, or name the folder with your copies.")
    folder = Path(root).expanduser().resolve() / name
    return folder if folder.is_dir() else None


def _below(root: Path, files: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return split -> paths, or {column: path}, without entries that are None."""
    below = {}
    for split, source in files.items():
        if split not in SPLITS:
            raise UserError(f"data.files: there is no split '{split}'. {did_you_mean(split, SPLITS)}")
        if isinstance(source, Mapping):
            below[split] = [{name: _one(path, root) for name, path in source.items() if path}]
        elif source is not None:
            below[split] = listed(source, root)
    return below


def _one(source: Any, root: Path) -> Path:
    """Return one of several parallel files."""
    found = listed(source, root)
    if len(found) != 1:
        raise UserError(
            f"data.files: parallel text has one file for each column, got {len(found)}. Join them first: cat."
        )
    return found[0]


def _reader_of(path: Path, given: Format, plain: _Reader) -> _Reader:
    if path.is_dir() and (is_saved(path) or classes_of(path)):
        return _SAVED if is_saved(path) else _CLASSES
    reader = _READERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    return reader or (plain if given.delimiter == "auto" else _cells(given.delimiter))


def _no_rows(source: Any) -> UserError:
    paths = ", ".join(f"'{path}'" for path in (source.values() if isinstance(source, Mapping) else [source]))
    return UserError(f"data: {paths} has no rows. Give a {FORMATS} file with at least one.")
