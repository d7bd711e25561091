"""Which rows train, validate and test: the description of a corpus goes in, rows of role columns come out.

Nothing is tokenized here. ``contents`` identifies the rows, so that an encoded copy can be found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset

from lstm_readout.data.sources import (
    SPLITS,
    RowStream,
    find_files,
    local_folder,
    read_files,
    read_hub,
    select_roles,
    select_roles_of,
    stream_files,
    stream_hub,
)
from lstm_readout.data.synthetic import sample
from lstm_readout.errors import UserError, did_you_mean

Role = Literal["text", "label", "labels"]  # labels: one per word of the text, separated by spaces


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The data of a run; for the fields see ``TextDataModule``.

    Args:
        train: whether a training split is required; a lone file is then the training split, otherwise the test split.
    """

    roles: Mapping[str, Role]
    name: str
    path: str | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    hub: Mapping[str, Any] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    validation: float = 0.1
    test: float = 0.1
    holdout: Literal["random", "last"] = "random"
    max_rows: int | None = None
    seed: int = 0
    train: bool = True

    def __post_init__(self) -> None:
        if self.holdout not in ("random", "last"):
            raise UserError(
                f"data.holdout: there is no '{self.holdout}'. {did_you_mean(self.holdout, ('random', 'last'))}"
            )
        if self.max_rows is not None and self.max_rows < 1:
            raise UserError(f"data.max_rows: wanted 1 or more, got {self.max_rows}.")
        for split, share in self.shares.items():
            if not 0 <= share < 1:
                raise UserError(f"data.{split}: wanted a share between 0 and 1, got {share}.")

    @property
    def shares(self) -> dict[str, float]:
        """Split -> share of the training rows that is held out if the corpus has no such split."""
        return {"validation": self.validation, "test": self.test}

    @property
    def generated(self) -> bool:
        """Whether it is the bundled sample, which has a known ceiling."""
        return self.name == "sample" and self.path is None

    def read(self) -> tuple[dict[str, Dataset], dict[str, float]]:
        """Return the rows of each split, one string column per role, and what a perfect model reaches, if known.

        Raises:
            UserError: nothing can be read, a role has no column, or a split has no rows.
        """
        ceiling: dict[str, float] = {}
        if self.generated:
            made = sample(tuple(self.roles), self.seed)
            ceiling = made.ceiling
            read = {split: Dataset.from_dict(columns) for split, columns in made.splits.items()}
        elif (located := self.locate()) is not None:
            read = read_files(*located, whole=self.whole)
        else:
            assert self.hub is not None
            read = read_hub(**self.hub)
        splits = {
            split: select_roles(rows, self.roles, self.columns, f"{self.name} ({split})")
            for split, rows in read.items()
            if split in SPLITS
        }
        self.check(splits)
        splits = self._hold_out(splits)
        splits = {split: splits[split] for split in SPLITS if split in splits}
        if self.max_rows is not None:
            splits = {split: rows.select(range(min(self.max_rows, len(rows)))) for split, rows in splits.items()}
        for split, rows in splits.items():
            if not len(rows):
                raise UserError(f"data: the {split} split of {self.name} has no rows. Give it more data.")
        return splits, ceiling

    def open(self) -> dict[str, RowStream]:
        """Return the rows of each split as streams of role -> text, for a corpus larger than memory.

        Raises:
            UserError: there is nothing to stream, or no training split.
        """
        if self.generated:
            raise UserError("data.streaming=true: data=sample is generated in memory. Set data.streaming=false.")
        if (located := self.locate()) is not None:
            streams = stream_files(*located, whole=self.whole)
        else:
            assert self.hub is not None
            streams = stream_hub(**self.hub)
        self.check(streams)
        return {
            split: select_roles_of(rows, self.roles, self.columns, f"{self.name} ({split})")
            for split, rows in streams.items()
            if split in SPLITS
        }

    def contents(self) -> dict[str, Any]:
        """Return plain values that change whenever the rows do; a file is represented by the hash of its bytes."""
        chosen = ("name", "roles", "columns", "whole", "shares", "holdout", "max_rows", "seed", "train")
        values: dict[str, Any] = {name: getattr(self, name) for name in chosen}
        if self.generated:
            return values
        located = self.locate()
        if located is None:
            return values | {"hub": dict(self.hub or {})}
        files, root = located
        return values | {"files": {split: _hashes(given, root) for split, given in files.items()}}

    def locate(self) -> tuple[dict[str, Any], Path] | None:
        """Return the files of each split and the folder they are relative to, or None for a corpus from the hub."""
        folder = local_folder(self.name) if self.path is None else Path(self.path).expanduser()
        files = {split: file for split, file in self.files.items() if file is not None}
        if folder is not None:
            return (files, folder) if files else (find_files(folder, "train" if self.train else "test"), Path())
        if self.hub is not None:
            return None
        if files:
            return files, Path()
        raise UserError(
            "data.path: no file given. For example: data=files data.path=reviews.csv (or data.files.train=...)."
        )

    def check(self, splits: Mapping[str, Any]) -> None:
        """Raise ``UserError`` if a training split is required and missing."""
        if self.train and "train" not in splits:
            have = ", ".join(splits) or "nothing"
            raise UserError(
                f"data: {self.name} has no training split; it has: {have}. Name its file: data.files.train=..."
            )

    def _hold_out(self, splits: dict[str, Dataset]) -> dict[str, Dataset]:
        """Cut the missing splits from the training split."""
        if "train" not in splits:
            return splits
        for split, share in self.shares.items():
            if split in splits or not share:
                continue
            rows = splits["train"]
            if len(rows) == 1 and list(self.roles.values()) == ["text"]:
                splits["train"], splits[split] = _cut_document(rows, split, share)
                continue
            number = max(1, round(share * len(rows)))
            if number >= len(rows):
                raise UserError(
                    f"data: {self.name} has {len(rows)} row(s), too few to hold out a {split} split. "
                    f"Give it more rows, or set data.{split}=0."
                )
            order = np.arange(len(rows))
            if self.holdout == "random":
                order = np.random.default_rng(self.seed).permutation(len(rows))
            splits["train"] = rows.select(np.sort(order[:-number]))
            splits[split] = rows.select(np.sort(order[-number:]))
        return splits


def _cut_document(rows: Dataset, split: str, share: float) -> tuple[Dataset, Dataset]:
    """Cut one long text: its last characters are held out."""
    (role,) = rows.column_names
    text: str = rows[role][0]
    border = len(text) - round(share * len(text))
    if not 0 < border < len(text):
        raise UserError(
            f"data: one text of {len(text)} character(s) is too short to hold out a {split} split. "
            f"Give it more text, or set data.{split}=0."
        )
    return Dataset.from_dict({role: [text[:border]]}), Dataset.from_dict({role: [text[border:]]})


def _hashes(given: Any, root: Path) -> Any:
    """Return the hash of a file, or of each parallel file; None for one that cannot be read."""
    if isinstance(given, Mapping):
        return {column: _hashes(path, root) for column, path in given.items() if path}
    path = root / Path(given).expanduser()
    try:
        return [path.name, hash_of_file(path)] if path.is_file() else None  # a pipe would block
    except OSError:
        return None


def hash_of_file(path: Path) -> str:
    """Return the BLAKE2b hash of a file's bytes: size and time alone would not notice an edited file."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
