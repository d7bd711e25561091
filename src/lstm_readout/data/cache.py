"""Encoded corpora on disk: what they are made from goes in, a memory-mapped ``Encoded`` comes out.

Each folder is named by the hash of everything that determines its contents: the bytes of the corpus's files, how they
are split, the tokenizer's settings, and the code for both, including a user's own tokenizer. If any of these changes,
the old folder is not found. ``LSTM_READOUT_CACHE`` sets the location (default: ``$XDG_CACHE_HOME/lstm-readout``). Any
folder in it may be deleted.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import tokenizers
from datasets import Dataset

import lstm_readout.data
import lstm_readout.tokenizer
from lstm_readout.data.corpus import hash_of_file
from lstm_readout.data.encoding import Encoded
from lstm_readout.tokenizer import Vocabulary
from lstm_readout.tokenizer.word_rules import versions

log = logging.getLogger(__name__)

_CACHE_FOLDER = "LSTM_READOUT_CACHE"
_ABOUT = "about.json"  # everything but the rows
_CHECKSUMS = "checksums.json"  # file -> the hash of its bytes: Arrow has none, and a flipped bit trains on other ids
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException)
_INSTALLED = {"site-packages", "dist-packages"}  # folders of other people's code


def cache_root() -> Path:
    """Return the folder of all encoded corpora."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(_CACHE_FOLDER) or f"{home}/lstm-readout").expanduser()


def fingerprint(contents: Mapping[str, Any], learned: Any) -> str | None:
    """Return a hash of everything that determines an encoding.

    Args:
        contents: what determines the rows (``Corpus.contents``).
        learned: a ``Vocabulary``, or what fits one: a module-level function or class, with plain keyword arguments.

    Returns:
        The hash, or None if ``learned`` cannot be named: it is a lambda, or an argument is not a plain value.
    """
    if isinstance(learned, Vocabulary):
        named: Any = learned.to_dict()
    else:
        function, keywords = learned, {}
        if isinstance(learned, functools.partial):
            function, keywords = learned.func, dict(learned.keywords)
            if learned.args:
                return None
        owner = getattr(function, "__self__", None)  # of a class method, which a subclass may have inherited
        names = [_name(one) for one in (owner, function) if one is not None]
        code = _code_beside(function if owner is None else owner)
        if code is None or any("<" in name for name in names):
            return None
        files = {key: hash_of_file(Path(value).expanduser()) for key, value in keywords.items() if _is_file(value)}
        named = [names, keywords, files, code]
    try:
        text = json.dumps([contents, named, _code(), _libraries()], sort_keys=True, default=_plain)
    except TypeError:
        return None
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def cached(name: str | None, make: Callable[[], Encoded]) -> Encoded:
    """Return the encoding of this name from disk; if it is missing, make it, write it and read it back.

    Several processes may do this at once: all read the first that is finished. A folder that cannot be read, or whose
    checksums differ, is rebuilt; if the folder cannot be written, the next run encodes again.
    """
    if name is None:
        return make()
    folder = cache_root() / name
    if folder.is_dir():
        try:
            return _read(folder)
        except _UNREADABLE as error:
            log.warning("the cached corpus in %s cannot be read (%s); rebuilding it", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
    made = make()
    try:
        _write(made, folder)
        return _read(folder)
    except _UNREADABLE as error:
        log.warning("could not cache the encoded corpus: %s", error)
        return made


def _write(made: Encoded, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))  # beside it: renaming is atomic
    try:
        for split, rows in made.splits.items():
            table = rows.data.table
            file = str(partial / f"{split}.arrow")
            with pyarrow.OSFile(file, "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        metadata = {
            "splits": list(made.splits),
            "vocabulary": made.vocabulary.to_dict(),
            "report": made.report,
            "ceiling": made.ceiling,
        }
        (partial / _ABOUT).write_text(json.dumps(metadata, ensure_ascii=False), encoding="utf-8")
        (partial / _CHECKSUMS).write_text(json.dumps(_checksums(partial)), encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process finished first; its encoding is the same
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: hash_of_file(file) for file in sorted(folder.iterdir()) if file.name != _CHECKSUMS}


def _read(folder: Path) -> Encoded:
    wanted = json.loads((folder / _CHECKSUMS).read_text(encoding="utf-8"))
    if wanted != _checksums(folder):
        raise ValueError("its checksums differ: it is damaged")
    metadata = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    splits = {split: Dataset.from_file(str(folder / f"{split}.arrow")) for split in metadata["splits"]}
    return Encoded(splits, Vocabulary.from_dict(metadata["vocabulary"]), metadata["report"], metadata["ceiling"])


@functools.cache
def _code() -> str:
    """Return a hash of this package's code that reads and encodes."""
    found = hashlib.blake2b(digest_size=16)
    for package in (lstm_readout.data, lstm_readout.tokenizer):
        root = Path(package.__file__ or "").parent
        for path in sorted(root.rglob("*.py")):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def _libraries() -> dict[str, str | None]:
    """Return the versions of what reads and splits text."""
    own = (datasets, pyarrow, tokenizers)
    return versions() | {module.__name__: module.__version__ for module in own}


def _name(item: Any) -> str:
    return f"{getattr(item, '__module__', '')}.{getattr(item, '__qualname__', '<')}"


def _code_beside(item: Any) -> dict[str, str] | None:
    """Return the hashes of the code that fits a tokenizer: its module, and all loaded modules beside or below it.

    ``_code`` covers this package's own tokenizers. None if there is no file: in a notebook, or with ``python -c``.
    """
    module = str(getattr(item, "__module__", ""))
    if module.startswith((f"{lstm_readout.data.__name__}.", f"{lstm_readout.tokenizer.__name__}.")):
        return {}
    source = getattr(sys.modules.get(module), "__file__", None)
    if source is None:
        return None
    folder = Path(source).parent
    loaded = {Path(source), *_files_of_modules()} if folder.name not in _INSTALLED else {Path(source)}
    own = (path.relative_to(folder) for path in loaded if folder in path.parents)
    return {path.as_posix(): hash_of_file(folder / path) for path in own if not _INSTALLED & set(path.parts)}


def _files_of_modules() -> set[Path]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {Path(file) for file in files if file is not None and file.endswith(".py") and Path(file).is_file()}


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 4096 and Path(value).expanduser().is_file()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is not a plain value")
