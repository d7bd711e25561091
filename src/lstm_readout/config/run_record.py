"""The data and the configuration of a run go in; its record, ``run.json``, comes out, which a resumed run is held to.

Where the record and a resumed run differ, the difference is used, or it is refused because it would be another run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig

from lstm_readout.config.settings import is_open
from lstm_readout.config.values import leaves, plain_values
from lstm_readout.config.words import key_of
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.row_hashes import described_rows
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import RENAMED

FILE = "run.json"
FORMAT = 1
_KEPT = {  # what would be another run -> its name in a message
    "task": "task",
    "seed": "seed",
    "model": "model",
    "vectors": "word vectors",
    "tokenizer": "tokenizer",
    "optimizer": "optimizer",
    "scheduler": "schedule",
    "init_from": "initial weights",
    "init_into": "initial weights",
    "init_tokenizer": "tokenizer",
    "init_from_counts": "initial weights",
    "callbacks.weight_averaging": "average of weights",
    **{f"data.{key}": "batches" for key in ("batch_size", "max_tokens", "pool", "carry_state", "window", "streaming")},
    "data.shuffle_buffer": "batches",
}  # the rows of the data are compared themselves, whatever they are called
_MAY_CHANGE = ("optimizer.lr",)
_OF_THE_RUN = "<of the run>"  # in place of a value that only a running job knows, such as its folder
_NO_PART = ("resume", "settings", "hydra")


class Difference(NamedTuple):
    """A value of the configuration that is not the run's."""

    key: str
    value: Any
    had: Any

    def __str__(self) -> str:
        """Say it in a line of the log."""
        return f"{self.key}={_shown(self.value)}, the run had {_shown(self.had)}"


class Record(NamedTuple):
    """What a run was made of."""

    config: dict[str, Any]  # dotted key -> value
    data: dict[str, dict[str, Any]]  # split -> see ``described_rows``; empty for a run of an earlier version


def record_of(config: Mapping[str, Any], folder: Path, data: TextDataModule) -> Record:
    """Return the record of a run in a folder."""
    return Record(comparable(config, folder), {split: described_rows(rows) for split, rows in data.texts.items()})


def comparable(config: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return dotted key -> value of a configuration without the places that are in the run's folder."""
    inside = None if folder is None else str(folder.absolute())
    values = dict(leaves({key: value for key, value in config.items() if key not in _NO_PART}))
    return {key: _OF_THE_RUN if inside and inside in str(value) else value for key, value in values.items()}


def readable_values(config: DictConfig) -> dict[str, Any]:
    """Return the plain values of a configuration; those that only a running job knows are marked."""
    return plain_values(DictConfig(_masked(plain_values(config, resolve=False))))


def write_record(record: Record, folder: Path) -> None:
    """Write the record into a run folder, whole or not at all."""
    partial = folder / f"{FILE}.partial"
    content = {"format": FORMAT, **record._asdict()}
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)


def read_record(folder: Path) -> Record:
    """Return the record of a run; of an earlier version's, what its saved configuration says.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return _of_earlier_version(folder)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Record(dict(values["config"]), {split: dict(found) for split, found in values["data"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"resume: '{path}' is damaged. Delete it to resume without comparing.") from error


def differences(values: Mapping[str, Any], record: Record, given: Sequence[str]) -> list[Difference]:
    """Return in what a configuration departs from that of a run.

    A version of the project may add or take away keys: a key that only one of them has counts if it is given.

    Args:
        values: what ``comparable`` returns; those that are still open are the run's.
        record: of the run.
        given: the words of the command line.
    """
    new = {key: value for key, value in values.items() if not is_open(key, value)}
    keys = [*new, *(key for key in record.config if key not in new)]
    shared, named = new.keys() & record.config.keys(), [key_of(word).partition("@")[0] for word in given]
    compared = (key for key in keys if key in shared or any(_is_below(key, one) for one in named))
    found = (Difference(key, new.get(key), record.config.get(key)) for key in compared)
    return [one for one in found if one.value not in (one.had, _OF_THE_RUN)]


def refuse_another_run(found: Sequence[Difference], given: Sequence[str]) -> None:
    """Raise ``UserError`` if what a command line asks for is another run.

    Args:
        found: the differences.
        given: the words of the command line.
    """
    refused = [one for one in found if one.key not in _MAY_CHANGE and _kept(one.key)]
    if not refused:
        return
    words = {one: word for one in refused for word in given if _is_below(one.key, key_of(word).partition("@")[0])}
    first = next((one for one in refused if one in words), refused[0])  # task=... changes the model as well
    asked = ", ".join(dict.fromkeys(words.values())) or str(first).partition(",")[0]
    raise UserError(
        f"resume: {asked}: the run has {first.key}={_shown(first.had)}, and a resumed run keeps its "
        f"{_kept(first.key)}. Leave it out, or train a new run: leave out resume=."
    )


def refuse_other_rows(data: TextDataModule, record: Record) -> None:
    """Raise ``UserError`` if the rows are not those of the run; an unrecorded split is not compared."""
    rows = {split: texts for split, texts in data.texts.items() if split in record.data}
    changes = [*(f"{split} is gone" for split in record.data if split not in rows)]
    for split, texts in rows.items():
        changes += _changes(split, described_rows(texts), record.data[split])
    if changes:
        raise UserError(
            f"resume: the data has changed: {'; '.join(changes)}. A resumed run needs the rows it began with: "
            "name them with data.path=..., or train a new run: leave out resume=."
        )


def _changes(split: str, new: Mapping[str, Any], had: Mapping[str, Any]) -> Iterator[str]:
    if new["rows"] != had.get("rows", new["rows"]):
        yield f"{split} has {new['rows']:,} rows, not {had['rows']:,}"
    elif new["sha256"] != had["sha256"]:
        columns = [role for role, found in new["columns"].items() if found != had.get("columns", {}).get(role)]
        same = new["in_any_order"] == had.get("in_any_order")
        yield f"the order of the rows of {split}" if same else f"{' and '.join(columns)} of {split}"


def _of_earlier_version(folder: Path) -> Record:
    path = folder / ".hydra" / "config.yaml"
    if not path.is_file():
        return Record({}, {})
    saved = comparable(readable_values(DictConfig(yaml.safe_load(path.read_text(encoding="utf-8")))))
    return Record({RENAMED.get(key, key): value for key, value in saved.items()}, {})


def _masked(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _masked(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_masked(child) for child in node]
    return _OF_THE_RUN if isinstance(node, str) and "${hydra:" in node else node


def _kept(key: str) -> str | None:
    return next((name for where, name in _KEPT.items() if _is_below(key, where)), None)


def _is_below(key: str, node: str) -> bool:
    return f"{key}.".startswith(f"{node}.")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
