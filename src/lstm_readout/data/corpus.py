"""Which rows train, validate and test: the description of a corpus goes in, rows of role columns come out.

Nothing is tokenized here. ``contents`` identifies the rows, so that an encoded copy can be found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from datasets import Dataset, concatenate_datasets

from lstm_readout.data.holdout import HOLDOUTS, Holdout
from lstm_readout.data.labels import stream_with_plain_labels, with_plain_labels
from lstm_readout.data.sources import (
    SPLITS,
    Format,
    Part,
    RowStream,
    chained,
    find_files,
    listed,
    local_folder,
    read_files,
    read_hub,
    select_roles,
    select_roles_of,
    stream_files,
    stream_hub,
    unread_files,
)
from lstm_readout.data.synthetic import sample
from lstm_readout.errors import UserError, did_you_mean

Role = Literal["text", "label", "labels"]  # labels: one per word of the text, separated by spaces


class Read(NamedTuple):
    """A corpus that was read.

    Attributes:
        splits: split -> rows, one string column per role.
        ceiling: what a perfect model reaches, if known.
        sources: for the data report: ``files`` (split -> see ``Part.describe``), ``held_out`` (split -> see
            ``Holdout``), ``labels`` (spelling -> the label that it counts as).
    """

    splits: dict[str, Dataset]
    ceiling: dict[str, float]
    sources: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The data of a run; for the fields see ``TextDataModule``.

    Args:
        train: whether a training split is required; a lone file is then the training split, otherwise the test split.
        labels: of an earlier run, whose spelling is kept.
    """

    roles: Mapping[str, Role]
    name: str
    path: str | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    hub: Mapping[str, Any] | None = None
    columns: Mapping[str, str | int] = field(default_factory=dict)
    format: Mapping[str, Any] | None = field(default_factory=dict)
    whole: bool = False
    validation: float = 0.1
    test: float = 0.1
    holdout: Literal["stratified", "random", "last"] = "stratified"
    max_rows: int | None = None
    seed: int = 0
    train: bool = True
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        Format.of(self.format)  # refuses what it does not know
        if self.holdout not in HOLDOUTS:
            raise UserError(f"data.holdout: there is no '{self.holdout}'. {did_you_mean(self.holdout, HOLDOUTS)}")
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

    @property
    def label(self) -> str | None:
        """The role of kind ``label``, if the task has one."""
        return next((role for role, kind in self.roles.items() if kind == "label"), None)

    def read(self) -> Read:
        """Return the rows of each split.

        Raises:
            UserError: nothing can be read, a role has no column, or a split has no rows.
        """
        ceiling: dict[str, float] = {}
        if self.generated:
            made = sample(tuple(self.roles), self.seed)
            ceiling = made.ceiling
            parts = {split: [Part(Dataset.from_dict(columns), "generated")] for split, columns in made.splits.items()}
        elif (located := self.locate()) is not None:
            parts = read_files(*located, whole=self.whole, given=Format.of(self.format))
        else:
            parts = {split: [Part(rows, self._hub_path)] for split, rows in read_hub(**self.hub or {}).items()}
        splits = {
            split: concatenate_datasets([self._selected(part, split, len(some) > 1) for part in some])
            for split, some in parts.items()
            if split in SPLITS
        }
        self.check(splits)
        sources = self._sources({split: parts[split] for split in splits})
        if self.label is not None:
            splits, sources["labels"] = with_plain_labels(splits, self.label, self.labels)
        holdout = Holdout(self.shares, self.holdout, self.seed, self.label, self.name)
        splits, sources["held_out"] = holdout.apply(splits)
        splits = {split: splits[split] for split in SPLITS if split in splits}
        if self.max_rows is not None:
            splits = {split: rows.select(range(min(self.max_rows, len(rows)))) for split, rows in splits.items()}
        for split, rows in splits.items():
            if not len(rows):
                raise UserError(f"data: the {split} split of {self.name} has no rows. Give it more data.")
        return Read(splits, ceiling, sources)

    def column_of(self, role: str) -> str:
        """Return the column of a role."""
        return str(role if self.columns.get(role) is None else self.columns[role])

    @property
    def by_label(self) -> bool:
        """Whether rows are held out by label."""
        return self.holdout == "stratified" and self.label is not None

    def open(self) -> tuple[dict[str, RowStream], dict[str, Any]]:
        """Return the rows of each split as streams of role -> text, for a corpus larger than memory; and its sources.

        Raises:
            UserError: there is nothing to stream, or no training split.
        """
        if self.generated:
            raise UserError("data.streaming=true: data=sample is generated in memory. Set data.streaming=false.")
        if (located := self.locate()) is not None:
            parts = stream_files(*located, whole=self.whole, given=Format.of(self.format))
        else:
            parts = {split: [Part(rows, self._hub_path)] for split, rows in stream_hub(**self.hub or {}).items()}
        self.check(parts)
        streams = {
            split: chained([self._selected_of(part, split, len(some) > 1) for part in some])
            for split, some in parts.items()
            if split in SPLITS
        }
        return streams, self._sources({split: parts[split] for split in streams})

    def _sources(self, parts: Mapping[str, Sequence[Part]]) -> dict[str, Any]:
        """Return which files were read, and what in the same folder was not."""
        sources: dict[str, Any] = {"files": {split: [one.describe() for one in some] for split, some in parts.items()}}
        if self.path is not None and not any(self.files.values()):
            sources["unread"] = unread_files(Path(self.path).expanduser(), self._found(self.path))
        return sources

    def _selected(self, part: Part[Dataset], split: str, several: bool) -> Dataset:
        return select_roles(part.rows, self.roles, self.columns, self._where(part, split, several), part.head)

    def _selected_of(self, part: Part[RowStream], split: str, several: bool) -> RowStream:
        where = self._where(part, split, several)
        rows = select_roles_of(part.rows, self.roles, self.columns, where, part.head)
        return rows if self.label is None else stream_with_plain_labels(rows, self.label, self.labels)

    def _where(self, part: Part, split: str, several: bool) -> str:
        return f"{self.name} ({split}, {part.file})" if several else f"{self.name} ({split})"

    @property
    def _hub_path(self) -> str:
        return str((self.hub or {}).get("path"))

    def contents(self) -> dict[str, Any]:
        """Return plain values that change whenever the rows do; a file is represented by the hash of its bytes."""
        chosen = ("name", "roles", "columns", "format", "whole", "shares", "holdout", "max_rows", "seed", "train")
        values: dict[str, Any] = {name: getattr(self, name) for name in chosen}
        values["labels"] = list(self.labels)
        if self.generated:
            return values
        located = self.locate()
        if located is None:
            return values | {"hub": dict(self.hub or {})}
        files, root = located
        return values | {"files": {split: _hashes(given, root) for split, given in files.items()}}

    def locate(self) -> tuple[dict[str, Any], Path] | None:
        """Return the files of each split and the folder they are relative to, or None for a corpus from the hub."""
        files = {split: file for split, file in self.files.items() if file is not None}
        path = self.path if self.path is not None else local_folder(self.name)
        if path is not None:
            return (files, Path(path).expanduser()) if files else (self._found(path), Path())
        if self.hub is not None:
            return None
        if files:
            return files, Path()
        raise UserError(
            "data.path: no file given. For example: data=files data.path=reviews.csv (or data.files.train=...)."
        )

    def _found(self, path: str | Path) -> dict[str, Any]:
        return find_files(path, "train" if self.train else "test", exact=self.format is None)

    def check(self, splits: Mapping[str, Any]) -> None:
        """Raise ``UserError`` if a training split is required and missing."""
        if self.train and "train" not in splits:
            have = ", ".join(splits) or "nothing"
            raise UserError(
                f"data: {self.name} has no training split; it has: {have}. Name its file: data.files.train=..."
            )


def _hashes(given: Any, root: Path) -> Any:
    """Return the hash of each file, or of each parallel file; None for one that cannot be read."""
    if isinstance(given, Mapping):
        return {column: _hashes(path, root) for column, path in given.items() if path}
    try:
        return [
            [path.relative_to(one.parent).as_posix(), hash_of_file(path)]
            for one in listed(given, root)
            for path in _files(one)
        ]
    except OSError:
        return None


def _files(path: Path) -> list[Path]:
    """Return a file, or the files of a folder.

    Raises:
        OSError: there is none; a pipe would block.
    """
    if not path.is_file() and not path.is_dir():
        raise FileNotFoundError(path)
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def hash_of_file(path: Path) -> str:
    """Return the BLAKE2b hash of a file's bytes: size and time alone would not notice an edited file."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
