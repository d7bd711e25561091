"""Paths go in; the rows of each split come out, held in memory or streamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from lstm_readout.data.sources.csv_files import read_table, stream_table
from lstm_readout.data.sources.json_files import read_objects, stream_objects
from lstm_readout.data.sources.open_file import FORMATS, not_allowed
from lstm_readout.data.sources.parquet_files import read_parquet, stream_parquet
from lstm_readout.data.sources.row_stream import RowStream
from lstm_readout.data.sources.text_files import (
    read_document,
    read_lines,
    read_parallel,
    stream_lines,
    stream_parallel,
)
from lstm_readout.errors import UserError, did_you_mean

SPLITS = ("train", "validation", "test")
DATA_FOLDER = "LSTM_READOUT_DATA"


class _Format(NamedTuple):
    read: Callable[[Path], Dataset]
    stream: Callable[[Path], RowStream]


_JSON = _Format(read_objects, stream_objects)
_FORMATS = {
    ".csv": _Format(partial(read_table, separator=","), partial(stream_table, separator=",")),
    ".tsv": _Format(partial(read_table, separator="\t"), partial(stream_table, separator="\t")),
    ".json": _JSON,
    ".jsonl": _JSON,
    ".parquet": _Format(read_parquet, stream_parquet),
}
_LINES = _Format(read_lines, stream_lines)
_DOCUMENT = _Format(read_document, stream_lines)


def read_files(files: Mapping[str, Any], root: Path, *, whole: bool = False) -> dict[str, Dataset]:
    """Read the files of each split.

    Args:
        files: split -> a file's path, or {column: path} of parallel text files; None for a split without a file.
        root: the folder that relative paths start from.
        whole: a plain text file is one row, not one row per line.

    Raises:
        UserError: a file is missing, empty, not UTF-8, broken, or parallel files differ in length.
    """
    splits = {}
    for split, source in _below(root, files).items():
        if isinstance(source, Mapping):
            splits[split] = read_parallel(source)
        else:
            splits[split] = _format_of(source, _DOCUMENT if whole else _LINES).read(source)
        if not len(splits[split]):
            raise _no_rows(source)
    return splits


def stream_files(files: Mapping[str, Any], root: Path, *, whole: bool = False) -> dict[str, RowStream]:
    """Open the files of each split, to be read row by row without holding them in memory.

    Args:
        files: as for ``read_files``.
        root: as for ``read_files``.
        whole: refused: one row would be the whole file.

    Raises:
        UserError: as ``read_files`` does; for faults below the first rows, during iteration.
    """
    if whole:
        raise UserError(
            "data.whole=true: the whole file would be one row, which a stream cannot hold. "
            "Set data.whole=false (one row per line), or data.streaming=false."
        )
    splits = {}
    for split, source in _below(root, files).items():
        if isinstance(source, Mapping):
            splits[split] = stream_parallel(source)
        else:
            splits[split] = _format_of(source, _LINES).stream(source)
        if next(iter(splits[split]), None) is None:
            raise _no_rows(source)
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


def find_files(path: Path, alone: str = "train") -> dict[str, str]:
    """Return the files of ``data.path``: split -> file.

    Args:
        path: a file, or a folder that contains ``train.*``, ``validation.*``, ``test.*``.
        alone: the split of a lone file, and the one that a folder must contain if it has no ``train.*``.
    """
    try:
        return _found(path, alone)
    except PermissionError as error:
        raise not_allowed(path) from error


def _found(path: Path, alone: str) -> dict[str, str]:
    if not path.is_dir():
        if not path.exists() and not path.is_symlink():
            raise UserError(f"data.path: no such file: '{path}'. Give a {FORMATS} file, or a folder.")
        return {alone: str(path)}
    found = {split: [file for file in sorted(path.glob(f"{split}.*")) if not file.is_dir()] for split in SPLITS}
    for split, files in found.items():
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise UserError(
                f"data.path: '{path}' has {len(files)} files for {split} ({names}); name one in data.files."
            )
    if not found["train"] and not found[alone]:
        names = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
        raise UserError(
            f"data.path: '{path}' has no file {alone}.*; it contains {names}. Rename one, or name it in data.files."
        )
    return {split: str(files[0]) for split, files in found.items() if files}


def _below(root: Path, files: Mapping[str, Any]) -> dict[str, Any]:
    """Return split -> path, or {column: path}, without entries that are None."""
    below = {}
    for split, source in files.items():
        if split not in SPLITS:
            raise UserError(f"data.files: there is no split '{split}'. {did_you_mean(split, SPLITS)}")
        if isinstance(source, Mapping):
            below[split] = {name: root / Path(path).expanduser() for name, path in source.items() if path}
        elif source is not None:
            below[split] = root / Path(source).expanduser()
    return below


def _format_of(path: Path, plain: _Format) -> _Format:
    return _FORMATS.get(Path(path.name.lower().removesuffix(".gz")).suffix, plain)


def _no_rows(source: Any) -> UserError:
    paths = ", ".join(f"'{path}'" for path in (source.values() if isinstance(source, Mapping) else [source]))
    return UserError(f"data: {paths} has no rows. Give a {FORMATS} file with at least one.")
