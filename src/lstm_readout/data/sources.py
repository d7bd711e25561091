"""Where text comes from: a description goes in, ``{split: datasets.Dataset}`` comes out.

Files are read here and at once, not through the cache of ``datasets``: that one knows a file by size and time, so an
edited file can come back as it was, and it hides line numbers. Text is split at ``\\n`` alone: a lone ``\\r`` inside a
sentence would shift every pair of parallel files after it. Any file may be gzip'd (``.gz``). Hub ids are loaded by
``datasets``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow
from datasets import ClassLabel, Dataset, Features, Value
from datasets.table import InMemoryTable
from pyarrow import parquet

from lstm_readout.errors import UserError, did_you_mean

datasets.disable_progress_bars()  # a split is read in seconds; the log tells its size

SPLITS = ("train", "validation", "test")
DATA_FOLDER = "LSTM_READOUT_DATA"
FORMATS = "csv, tsv, json(l), parquet or txt"  # a file of any other kind is read as txt
SEPARATORS = {".csv": ",", ".tsv": "\t"}
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
        if split not in SPLITS:
            raise UserError(f"data.files: there is no split '{split}'. {did_you_mean(split, SPLITS)}")
        if isinstance(given, Mapping):
            splits[split] = _read_parallel({name: _below(root, path) for name, path in given.items() if path})
        elif given is not None:
            splits[split] = _read_file(_below(root, given), whole)
    return splits


def read_hub(
    path: str | None = None,
    revision: str | None = None,
    *,
    name: str | None = None,
    joined: bool = False,
    rename: Mapping[str, str] | None = None,
) -> dict[str, Dataset]:
    """Load a script-free hub repository at a pinned revision.

    Args:
        path: the repository's id.
        revision: the commit.
        name: which of its configurations, where it has several.
        joined: the texts of all splits, one after another, are one document, to be split anew.
        rename: the hub's name of a column -> the local copy's.
    """
    if path is None or revision is None:
        raise UserError(
            f"data.hub: wanted path and revision (a commit, so that the rows stay), got {path}, {revision}."
        )
    try:
        loaded = datasets.load_dataset(path, name, revision=revision)
        splits = {str(split): part.rename_columns(dict(rename or {})) for split, part in loaded.items()}
    except Exception as error:
        raise UserError(
            f"data: could not load '{path}' from the hub ({_reason(error)}). Without a network, set {DATA_FOLDER} "
            "to a folder with a local copy, or use data=files data.path=YOUR_FILE."
        ) from error
    if joined:
        texts = [text for split in SPLITS if split in splits for text in splits[split][TEXT_COLUMN]]
        return {"train": Dataset.from_dict({TEXT_COLUMN: ["".join(texts)]})}
    return splits


def local_folder(name: str) -> Path | None:
    """Return the local copy of a named corpus below the folder that ``LSTM_READOUT_DATA`` names, if there is one."""
    root = os.environ.get(DATA_FOLDER)
    if not root:
        return None
    if not Path(root).expanduser().is_dir():
        raise UserError(f"{DATA_FOLDER}: wanted a folder, got '{root}'. Unset it, or name the folder of your copies.")
    folder = Path(root).expanduser().resolve() / name
    return folder if folder.is_dir() else None


def find_files(path: Path, alone: str = "train") -> dict[str, str]:
    """Name the files of ``data.path``.

    Args:
        path: a file, or a folder that holds ``train.*``, ``validation.*``, ``test.*``.
        alone: the split that a lone file is, and that a folder must hold if it has no ``train.*``.
    """
    if path.is_file():
        return {alone: str(path)}
    if not path.is_dir():
        raise UserError(f"data.path: no such file: '{path}'. Give a {FORMATS} file, or a folder.")
    found = {split: sorted(path.glob(f"{split}.*")) for split in SPLITS}
    for split, files in found.items():
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise UserError(
                f"data.path: '{path}' has {len(files)} files for {split} ({names}); name one in data.files."
            )
    if not found["train"] and not found[alone]:
        names = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
        raise UserError(f"data.path: '{path}' has no file {alone}.*; it holds {names}. Or name them in data.files.")
    return {split: str(files[0]) for split, files in found.items() if files}


def select_roles(rows: Dataset, roles: Mapping[str, str], columns: Mapping[str, str], where: str) -> Dataset:
    """Keep the columns that the task reads, renamed to their roles, as strings; a null is an empty text.

    Raises:
        UserError: a role's column is missing (lists those there are) or holds no text, or a label is empty.
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
        feature, values = rows.features[column], rows[column][:]
        if not isinstance(feature, (Value, ClassLabel)) or "binary" in feature.dtype:
            raise UserError(
                f"data.columns.{role}: column '{column}' of {where} holds lists, objects or bytes; wanted text or "
                f"numbers. Write it as text, or name another column: data.columns.{role}=NAME."
            )
        if isinstance(feature, ClassLabel):
            values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
        texts[role] = ["" if value is None else str(value) for value in values]
        if kind == "label" and not all(map(str.strip, texts[role])):
            row = next(number for number, label in enumerate(texts[role], 1) if not label.strip())
            raise UserError(f"data: row {row} of {where} has no label in column '{column}'. Fill it or drop the row.")
    return Dataset.from_dict(texts, features=Features({role: Value("string") for role in texts}))


def _read_file(path: Path, whole: bool) -> Dataset:
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix == ".parquet":
        rows = _parquet_rows(path)
    elif suffix in SEPARATORS:
        rows = _csv_rows(path, SEPARATORS[suffix])
    elif suffix in (".json", ".jsonl"):
        rows = _json_rows(path)
    else:
        return Dataset.from_dict({TEXT_COLUMN: [_read_text(path)] if whole else _lines(path)})
    if not len(rows):
        raise UserError(f"data: '{path}' holds no rows. Give a file with some.")
    return rows


def _read_parallel(paths: Mapping[str, Path]) -> Dataset:
    columns = {name: _lines(path) for name, path in paths.items()}
    if len({len(lines) for lines in columns.values()}) > 1:
        told = ", ".join(f"'{paths[name]}' has {len(lines):,}" for name, lines in columns.items())
        raise UserError(
            f"data: parallel files must have the same number of lines: {told}. "
            "Line i of one must translate line i of the other."
        )
    return Dataset.from_dict(columns)


def _parquet_rows(path: Path) -> Dataset:
    raw = _read_bytes(path)
    try:
        table = parquet.ParquetFile(io.BytesIO(raw)).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"data: could not read '{path}' as parquet: {_reason(error)}. Write it anew.") from error
    _refuse_twins(table.column_names, path)
    return Dataset(InMemoryTable(table))


def _csv_rows(path: Path, separator: str) -> Dataset:
    """Read cells as they are written: "007" stays "007", and the word "NA" is a word."""
    text = _read_text(path)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may hold a whole book
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, strict=True)
    rows, line = [], 1
    try:
        for row in reader:
            if rows and row and len(row) != len(rows[0]):
                raise csv.Error(f"{len(row)} cell(s), but the header has {len(rows[0])}")
            if row:
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"data: could not read '{path}', line {line}: {error}. "
            "Put quotes around a cell that holds separators, line breaks or quotes, and double a quote inside."
        ) from error
    header = rows[0] if rows else []
    _refuse_twins(header, path)
    return Dataset.from_dict({name: [row[i] for row in rows[1:]] for i, name in enumerate(header)})


def _json_rows(path: Path) -> Dataset:
    """Read one object a line, or one array of objects; numbers stay as they are written."""
    text, rows = _read_text(path), []
    parse = json.JSONDecoder(parse_int=str, parse_float=str).decode
    for line, one in enumerate([text] if text.lstrip().startswith("[") else text.split("\n"), 1):
        try:
            found = parse(one) if one.strip() else []
        except json.JSONDecodeError as error:
            raise UserError(
                f"data: could not read '{path}', line {line + error.lineno - 1}: {error.msg} (column {error.colno}). "
                "Wanted one object a line, or one array of objects."
            ) from error
        rows += found if isinstance(found, list) else [found]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"data: row {number} of '{path}' is no object, but {str(row)[:40]!r}. Name its values.")
    names = dict.fromkeys(name for row in rows for name in row)
    try:
        return Dataset.from_dict({name: _plain_column([row.get(name) for row in rows]) for name in names})
    except UnicodeEncodeError as error:  # half of a pair, as in "\ud83d" alone
        raise UserError(f"data: '{path}' holds an escape that is no character: {error}. Remove it.") from error


def _plain_column(values: list[Any]) -> list[Any]:
    """Return strings and nulls; lists, where a value is a list or an object: no text column, but no error either."""
    if any(isinstance(value, (list, dict)) for value in values):
        return [[json.dumps(value, ensure_ascii=False)] for value in values]
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


def _refuse_twins(names: list[str], path: Path) -> None:
    twice = ", ".join(sorted({f"'{name}'" for name in names if names.count(name) > 1}))
    if twice:
        raise UserError(f"data: '{path}' has more than one column {twice}. Rename or remove one.")


def _below(root: Path, path: str) -> Path:
    return root / Path(path).expanduser()


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"data: no such file: '{path}'. Give a {FORMATS} file.")
    try:
        raw = path.read_bytes()
        if raw and path.suffix.lower() == ".gz":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"data: could not read '{path}': {_reason(error)}. Is it whole, and of that kind?") from error
    if not raw:
        raise UserError(f"data: '{path}' is empty (0 bytes). Give a file with text.")
    return raw


def _read_text(path: Path) -> str:
    raw = _read_bytes(path)
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"data: '{path}' is not UTF-8 text (line {line}, byte 0x{raw[error.start]:02x}). "
            f"Wanted a {FORMATS} file; convert another encoding first, for example: iconv -f latin1 -t utf-8."
        ) from error


def _lines(path: Path) -> list[str]:
    return _read_text(path).removesuffix("\n").split("\n")


def _reason(error: BaseException) -> str:
    """Return the innermost cause in one line: ``datasets`` wraps what a user needs to know."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].rstrip('.')}" if text else type(error).__name__
