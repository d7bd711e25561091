"""Encoded corpora on disk: what they are made from goes in, a memory-mapped ``Encoded`` comes out.

A folder is named by the hash of everything that its contents follow from: the bytes of the corpus's files, how they are
split, the tokenizer's settings, and this package's own code for both. Whatever changes, an old folder is not found.
``LSTM_READOUT_CACHE`` names the place; else it is ``$XDG_CACHE_HOME/lstm-readout``. Any folder in it may be deleted.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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

CACHE_FOLDER = "LSTM_READOUT_CACHE"
ABOUT = "about.json"  # everything but the rows


def cache_root() -> Path:
    """Return the folder of all encoded corpora."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(CACHE_FOLDER) or f"{home}/lstm-readout").expanduser()


def fingerprint(contents: Mapping[str, Any], learned: Any) -> str | None:
    """Name what an encoding follows from.

    Args:
        contents: what the rows follow from (``Corpus.contents``).
        learned: a ``Vocabulary``, or what fits one: a function of a module with plain keyword arguments.

    Returns:
        A hash, or None where ``learned`` is code that cannot be named: a lambda, or an argument that is no plain value.
    """
    if isinstance(learned, Vocabulary):
        named: Any = learned.to_dict()
    else:
        function, keywords = learned, {}
        if isinstance(learned, functools.partial):
            function, keywords = learned.func, dict(learned.keywords)
            if learned.args:
                return None
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '<')}"
        if "<" in name:
            return None
        files = {key: hash_of_file(Path(value).expanduser()) for key, value in keywords.items() if _is_file(value)}
        named = [name, keywords, files]
    try:
        told = json.dumps(
            [contents, named, _code(), tokenizers.__version__, versions()], sort_keys=True, default=_plain
        )
    except TypeError:
        return None
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def cached(name: str | None, make: Callable[[], Encoded]) -> Encoded:
    """Return the encoding of that name from the disk; what is not there is made, written and read back.

    Several processes may do so at once: the first to finish is read by all. A folder that cannot be read is made anew,
    and a disk that cannot be written to costs the time of the next run only.
    """
    if name is None:
        return make()
    folder = cache_root() / name
    if folder.is_dir():
        try:
            return _read(folder)
        except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
            log.warning("the cached corpus in %s cannot be read (%s); it is made anew", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
    made = make()
    try:
        _write(made, folder)
        return _read(folder)
    except OSError as error:
        log.warning("the encoded corpus is not cached: %s", error)
        return made


def _write(made: Encoded, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))  # beside it: a rename is atomic
    try:
        for split, rows in made.splits.items():
            table = rows.data.table
            file = str(partial / f"{split}.arrow")
            with pyarrow.OSFile(file, "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        about = {
            "splits": list(made.splits),
            "vocabulary": made.vocabulary.to_dict(),
            "report": made.report,
            "ceiling": made.ceiling,
        }
        (partial / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first: its encoding serves as well
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read(folder: Path) -> Encoded:
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    splits = {split: Dataset.from_file(str(folder / f"{split}.arrow")) for split in about["splits"]}
    return Encoded(splits, Vocabulary.from_dict(about["vocabulary"]), about["report"], about["ceiling"])


@functools.cache
def _code() -> str:
    """Return a hash of this package's code that reads and encodes."""
    found = hashlib.blake2b(digest_size=16)
    for package in (lstm_readout.data, lstm_readout.tokenizer):
        root = Path(package.__file__ or "").parent
        for path in sorted(root.rglob("*.py")):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 4096 and Path(value).expanduser().is_file()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is no plain value")
