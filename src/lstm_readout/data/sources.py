"""Where text comes from: a description goes in, ``{split: datasets.Dataset}`` with string columns comes out.

csv, tsv, json(l) and parquet files and hub ids are read by ``datasets``. Lines of plain text are read here, because
parallel files must be cut at ``\\n`` alone (a lone ``\\r`` inside a sentence would shift every pair after it). Any file
may be gzip'd (``.gz``).
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pandas
from datasets import Dataset, Features, Value

from lstm_readout.errors import UserError

SPLITS = ("train", "validation", "test")
DATA_FOLDER = "LSTM_READOUT_DATA"
TABLES = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
TEXT_COLUMN = "text"  # the one column of a plain text file, as `datasets` names it


def read_files(files: Mapping[str, Any], root: Path, *, whole: bool = False) -> dict[str, Dataset]:
    """Read the files of each split.

    Args:
        files: split -> a file's path, or {column: path} of parallel text files; None for a split without a file.
        root: the folder that relative paths start from.
        whole: a plain text file is one row, not one row a line.

    Raises:
        UserError: a file is missing, empty, not UTF-8, broken, or parallel files differ in length.
    """
    splits = {}
    for split, given in files.items():
        if given is None:
            continue
        if isinstance(given, Mapping):
            splits[split] = _read_parallel({name: root / path for name, path in given.items()})
        else:
            splits[split] = _read_file(root / given, whole)
    return splits


def read_hub(
    path: str, revision: str, *, joined: bool = False, rename: Mapping[str, str] | None = None
) -> dict[str, Dataset]:
    """Load a script-free hub repository at a pinned revision.

    Args:
        path: the repository's id.
        revision: the commit.
        joined: the texts of all splits, one after another, are one document, to be split anew.
        rename: the hub's name of a column -> the local copy's.
    """
    try:
        loaded = datasets.load_dataset(path, revision=revision)
    except Exception as error:
        raise UserError(
            f"data: could not load '{path}' from the hub ({_reason(error)}). Without a network, set {DATA_FOLDER} "
            "to a folder with a local copy, or use data=files data.path=YOUR_FILE."
        ) from error
    splits = {str(split): part.rename_columns(dict(rename or {})) for split, part in loaded.items()}
    if joined:
        text = "".join(text for split in SPLITS for text in splits[split][TEXT_COLUMN])
        return {"train": Dataset.from_dict({TEXT_COLUMN: [text]})}
    return splits


def local_folder(name: str) -> Path | None:
    """Return the local copy of a named corpus below the folder that ``LSTM_READOUT_DATA`` names, if there is one."""
    root = os.environ.get(DATA_FOLDER)
    if not root:
        return None
    if not Path(root).is_dir():
        raise UserError(f"{DATA_FOLDER}: wanted a folder, got '{root}'. Unset it, or name the folder of your copies.")
    folder = Path(root).resolve() / name
    return folder if folder.is_dir() else None


def find_files(path: Path) -> dict[str, str]:
    """Name the files of ``data.path``: one file is the training split, a folder holds ``train.*``, ``test.*`` ..."""
    if path.is_file():
        return {"train": str(path)}
    if not path.is_dir():
        raise UserError(f"data.path: no such file: '{path}'. Give a csv, json(l), parquet or txt file, or a folder.")
    found = {split: sorted(path.glob(f"{split}.*")) for split in SPLITS}
    for split, files in found.items():
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise UserError(
                f"data.path: '{path}' has {len(files)} files for {split} ({names}); name one in data.files."
            )
    if not found["train"]:
        names = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
        raise UserError(f"data.path: '{path}' has no file train.*; it holds {names}. Or name them in data.files.")
    return {split: str(files[0]) for split, files in found.items() if files}


def select_roles(rows: Dataset, roles: Mapping[str, str], columns: Mapping[str, str], where: str) -> Dataset:
    """Keep the columns that the task reads, renamed to their roles, as strings.

    Raises:
        UserError: a role's column is missing (lists those there are), or a label is empty.
    """
    texts = {}
    for role, kind in roles.items():
        column = columns.get(role) or role
        if column not in rows.column_names:
            have = ", ".join(rows.column_names)
            raise UserError(
                f"data.columns.{role}: {where} has no column '{column}'; it has: {have}. "
                f"Say which one is the {role}: data.columns.{role}=NAME."
            )
        feature, values = rows.features[column], rows[column]
        if isinstance(feature, datasets.ClassLabel):
            values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
        if kind == "label" and any(value is None or value == "" for value in values):
            row = next(i for i, value in enumerate(values) if value is None or value == "")
            raise UserError(
                f"data: row {row + 1} of {where} has no label in column '{column}'. Fill it or drop the row."
            )
        texts[role] = ["" if value is None else str(value) for value in values]
    return Dataset.from_dict(texts, features=Features({role: Value("string") for role in texts}))


def _read_file(path: Path, whole: bool) -> Dataset:
    _check_there(path)
    suffix = _suffix(path)
    if suffix not in TABLES:
        lines = [_read_text(path)] if whole else _lines(path)
        return Dataset.from_dict({TEXT_COLUMN: lines})
    options: dict[str, Any] = {}
    try:
        if TABLES[suffix] == "csv":
            separator = "\t" if suffix == ".tsv" else ","
            header = pandas.read_csv(path, nrows=0, sep=separator).columns
            # Everything is text: "007" stays "007", and the word "NA" is a word
            features = Features({name: Value("string") for name in header})
            options = {"features": features, "keep_default_na": False, "sep": separator}
        loaded = datasets.load_dataset(TABLES[suffix], data_files=str(path), split="train", **options)
    except Exception as error:
        raise UserError(f"data: could not read '{path}' as {TABLES[suffix]}: {_reason(error)}") from error
    assert isinstance(loaded, Dataset)
    if not len(loaded):
        raise UserError(f"data: '{path}' holds no rows.")
    return loaded


def _read_parallel(paths: Mapping[str, Path]) -> Dataset:
    columns = {}
    for name, path in paths.items():
        _check_there(path)
        columns[name] = _lines(path)
    counts = {len(lines) for lines in columns.values()}
    if len(counts) > 1:
        told = ", ".join(f"'{paths[name]}' has {len(lines):,}" for name, lines in columns.items())
        raise UserError(f"data: parallel files must have the same number of lines: {told}.")
    return Dataset.from_dict(columns)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"data: no such file: '{path}'.")
    if not path.stat().st_size:
        raise UserError(f"data: '{path}' is empty (0 bytes).")


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _read_text(path: Path) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"data: '{path}' is not UTF-8 (line {line}, byte 0x{raw[error.start]:02x}). "
            "Convert it first, for example: iconv -f latin1 -t utf-8."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"data: could not decompress '{path}': {_reason(error)}") from error


def _lines(path: Path) -> list[str]:
    return [line.removesuffix("\n") for line in io.StringIO(_read_text(path), newline="\n")]


def _reason(error: BaseException) -> str:
    """Return the innermost cause in one line: ``datasets`` wraps what a user needs to know."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
