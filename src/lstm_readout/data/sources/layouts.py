"""Folders as people have them: a path goes in, the files of each split come out.

The names of splits are those of the Hugging Face hub: ``train.csv`` and ``dev.csv``, ``train-00000-of-00003.parquet``,
``train/`` with files, ``data/`` with any of these, and what ``datasets.save_to_disk`` writes. In a folder of classes
(``pos/``, ``neg/``) each text file is a row, and its folder is the label.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lstm_readout.data.sources.open_file import FORMATS, not_allowed
from lstm_readout.errors import UserError

SPLITS = ("train", "validation", "test")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
UNLABELLED = "unsup"  # of the Large Movie Review Dataset: texts without a label beside its classes
_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"(.+?)-(\d+)-of-(\d+)")


def find_files(path: str | Path, alone: str = "train", *, exact: bool = False) -> dict[str, Any]:
    """Return the files of ``data.path``: split -> path, pattern, or list of paths.

    Args:
        path: a file, a pattern, or a folder.
        alone: the split of a lone file, and the one that a folder must contain if it has no training split.
        exact: a folder contains ``train.*``, ``validation.*``, ``test.*``; other names of splits are ignored.

    Raises:
        UserError: there is no such file, or the folder has none, or several, for a split.
    """
    folder = Path(path).expanduser()
    if "://" in str(path) or (not folder.exists() and any(one in str(path) for one in "*?[")):
        return {alone: str(path)}
    if not folder.is_dir():
        if not folder.exists() and not folder.is_symlink():
            where = "" if folder.is_absolute() else f" in '{Path.cwd()}'"
            raise UserError(f"data.path: no such file: '{folder}'{where}. Give a {FORMATS} file, or a folder.")
        return {alone: str(folder)}
    try:
        return _splits_of(folder, alone, exact)
    except PermissionError as error:
        raise not_allowed(folder) from error


def unread_files(path: Path, found: Mapping[str, Any]) -> list[str]:
    """Return the names of tables (or of texts, if there are no tables) in a folder that belong to no split.

    Args:
        path: of the folder; a file has none beside it.
        found: as ``find_files`` returns it.
    """
    used = {str(file) for given in found.values() for file in (given if isinstance(given, list) else [given])}
    if not path.is_dir() or str(path) in used:
        return []
    return [file.name for file in _data_files(path) if str(file) not in used]


def listed(source: Any, root: Path) -> list[Path]:
    """Return the files of a path, a pattern, a folder or a list of them; a folder of classes is returned itself.

    Raises:
        UserError: no file fits a pattern, shards are missing, or a path is an address of the web.
    """
    if isinstance(source, (list, tuple)):
        return [path for one in source for path in listed(one, root)]
    if not isinstance(source, (str, Path)):
        raise UserError(f"data.files: wanted a path, a pattern or a list of these, got {source}. For example: a.csv.")
    if "://" in str(source):
        raise UserError(f"data: '{source}' is not on this machine. Download it first, for example: curl -LO {source}")
    path = root / Path(source).expanduser()
    if path.is_dir() and not is_saved(path):
        return _of_one_split(_data_files(path)) or [path]
    if path.exists() or not any(character in str(source) for character in "*?["):
        return [path]
    above = Path(path.anchor) if Path(source).expanduser().is_absolute() else root
    found = sorted(one for one in above.glob(str(path.relative_to(above))) if not one.name.startswith("."))
    if not found:
        raise UserError(f"data: no file fits '{path}'. Correct the pattern, or name the files: data.files.train=[a,b].")
    return found


def _of_one_split(files: list[Path]) -> list[Path]:
    """Return the files of a folder; raise ``UserError`` if they are several splits, which would be read as one."""
    found = {split for file in files for split in SPLITS if _name_of(file, False) in _NAMES[split]}
    if len(found) > 1:
        raise UserError(
            f"data: '{files[0].parent}' has files of several splits ({', '.join(sorted(found))}). Name the folder in "
            "data.path, or its files in data.files."
        )
    return files


def is_saved(path: Path) -> bool:
    """Return whether ``Dataset.save_to_disk`` wrote this folder."""
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def classes_of(path: Path) -> dict[str, list[Path]]:
    """Return class -> text files for a folder of classes; otherwise nothing."""
    found = {
        folder.name: _visible(folder) for folder in _visible(path) if folder.is_dir() and folder.name != UNLABELLED
    }
    texts = all(files and all(map(_is_text, files)) for files in found.values())
    return found if texts and len(found) > 1 and not _data_files(path) else {}


def _splits_of(folder: Path, alone: str, exact: bool) -> dict[str, Any]:
    names = {split: (split,) for split in SPLITS} if exact else _NAMES
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        return {split: str(folder / name) for split in SPLITS for name in splits if name in names[split]}
    if is_saved(folder):
        return {alone: str(folder)}
    found = {split: _of_split(folder, names[split], exact) for split in SPLITS}
    if not any(found.values()) and not exact and (folder / "data").is_dir():
        found = {split: _of_split(folder / "data", names[split], exact) for split in SPLITS}
    for split, files in found.items():
        if len(files) > 1 and not _are_shards(files):
            told = ", ".join(file.name for file in files)
            raise UserError(
                f"data.path: '{folder}' has {len(files)} files for {split} ({told}); name one in data.files."
            )
    if not found["train"] and not found[alone]:
        if not exact and not any(found.values()) and classes_of(folder):
            return {alone: str(folder)}
        raise _no_split(folder, alone)
    return {split: list(map(str, files)) for split, files in found.items() if files}


def _of_split(folder: Path, names: tuple[str, ...], exact: bool) -> list[Path]:
    """Return what belongs to a split: files of its name, shards of it, or a folder of it."""
    return [path for path in sorted(folder.iterdir()) if _name_of(path, exact) in names]


def _name_of(path: Path, exact: bool) -> str | None:
    name = path.name.partition(".")[0]
    if exact:
        return None if path.is_dir() else name
    if path.is_dir():
        return path.name if _data_files(path) or classes_of(path) or is_saved(path) else None
    shard = _SHARD.fullmatch(name)
    return shard[1] if shard else name


def _are_shards(files: list[Path]) -> bool:
    """Return whether files are the parts of one.

    Raises:
        UserError: some parts are missing.
    """
    shards = [_SHARD.fullmatch(file.name.partition(".")[0]) for file in files]
    if None in shards or len({(shard[1], shard[3]) for shard in shards if shard}) > 1:
        return False
    _check_complete(files)
    return True


def _check_complete(files: list[Path]) -> None:
    shards = [shard for file in files if (shard := _SHARD.fullmatch(file.name.partition(".")[0]))]
    for name, total in {(shard[1], int(shard[3])) for shard in shards}:
        have = {int(shard[2]) for shard in shards if (shard[1], int(shard[3])) == (name, total)}
        missing = sorted(set(range(total)) - have)
        if missing and have != set(range(1, total + 1)):
            raise UserError(
                f"data: '{files[0].parent}' has {len(have)} of {total} files of {name}; number {missing[0]:05} is "
                "missing. Copy all of them, or name those that you want: data.files.train=[...]."
            )


def _data_files(folder: Path) -> list[Path]:
    """Return the tables in a folder, or else its text files."""
    tables = [path for path in _visible(folder) if path.is_file() and _suffix(path) in TABLES]
    return tables or [path for path in _visible(folder) if path.is_file() and _suffix(path) == ".txt"]


def _visible(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_"))]


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _is_text(path: Path) -> bool:
    """Return whether a file of a class is a text: ``.txt``, or a name without an ending, such as ``37261``."""
    return path.is_file() and (_suffix(path) == ".txt" or not _suffix(path)[1:].isalpha())


def _shown(folder: Path) -> Iterator[str]:
    yield from sorted(file.name for file in folder.iterdir())[:10]


def _no_split(folder: Path, alone: str) -> UserError:
    names = ", ".join(_shown(folder)) or "nothing"
    tables = _data_files(folder)
    every = f" For all: data.path='{folder}/*{_suffix(tables[0])}'." if tables else ""
    return UserError(
        f"data.path: '{folder}' has no file {alone}.*; it contains {names}. Rename one, or name it in "
        f"data.files.{every}"
    )
