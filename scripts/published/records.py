"""Runs and evaluations go in, one ``Record`` each comes out; those of a recipe are held to one corpus and setting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import RENAMED

METRICS, CARD = "metrics.json", "card.json"
MEASURES = {"classify": "accuracy", "translate": "bleu", "generate": "loss"}
NAMELESS = "no recipe"
# Settings that make no other recipe of it: chance, what follows from the rows, the machine, and where a file lies (its
# contents are hashed)
NO_RECIPE = (
    "seed",
    "doctor",
    "init_from",
    "ensemble",
    "data.path",
    "model.vocab_size",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.default_root_dir",
)


class Record(NamedTuple):
    """One run."""

    recipe: str  # the experiment and what else was changed on the command line: "imdb", "imdb model.hidden_size=64"
    metrics: dict[str, Any]
    card: dict[str, Any]
    where: str  # the file or folder, in messages

    @property
    def seed(self) -> int:
        """Return the seed of the run."""
        return self.card["seed"]

    @property
    def device(self) -> str:
        """Return ``cpu``, ``cuda``, ...: recipes are told apart by it."""
        return self.card["device"]["kind"]

    @property
    def measure(self) -> str:
        """Return the key of the metric that its task is judged by, on test where there is a test split."""
        name = MEASURES[self.card["task"]]
        return next((key for key in (f"test/{name}", f"val/{name}") if key in self.metrics), f"test/{name}")

    @property
    def split(self) -> str:
        """Return the split that ``measure`` is of."""
        return "test" if self.measure.startswith("test/") else "validation"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``docs/results``."""
        return {"recipe": self.recipe, "metrics": self.metrics, "card": self.card}


def read_all(paths: Sequence[Path]) -> list[Record]:
    """Read runs, sweeps of runs, and folders of records that were collected.

    Raises:
        UserError: a path holds none of these, a run has no card, or a file is no record.
    """
    found = [record for path in paths for record in _read(path)]
    return sorted(found, key=lambda record: (record.recipe, record.device, record.seed, record.where))


def by_recipe(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Group records by recipe and device, and hold each group together.

    Raises:
        UserError: two of them do not belong into one row, or are of the same seed.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.recipe, record.device), []).append(record)
    for group in groups.values():
        first = group[0]
        for number, other in enumerate(group[1:], start=1):
            hold_together(first, other, whole=True)
            twin = next((one for one in group[:number] if one.seed == other.seed), None)
            if twin is not None:
                raise UserError(
                    f"{twin.where} and {other.where} are both of {other.recipe}, seed {other.seed}. Give one of them."
                )
    return groups


def hold_together(first: Record, other: Record, *, whole: bool) -> None:
    """Refuse two scores that do not compare.

    Args:
        first, other: the two.
        whole: they are runs of one recipe, so all of the corpus and every setting must be the same; otherwise the
            scored rows, the unit and, for a loss of each token, the tokens.
    """
    per_token = "token" in str(first.card["units"].get(first.measure))
    if whole:
        _same(first, other, "the rows of the corpus", lambda record: record.card["corpus"]["sha256"])
    _same(first, other, f"the rows of the {first.split} split", _scored_rows)
    _same(first, other, "the unit", lambda record: record.card["units"].get(record.measure))
    _same(first, other, "the signatures", lambda record: record.card["signatures"])
    if whole or per_token:
        _same(first, other, "the kinds of tokenizer", _kinds)
    if whole:
        settings, others = (_settings(record) for record in (first, other))
        for key in sorted(settings.keys() & others.keys() - set(NO_RECIPE)):  # a later version may know more keys
            if settings[key] != others[key] and not key.endswith("path"):
                raise _apart(first, other, key, settings[key], others[key])


def recipe_of(overrides: Iterable[str]) -> str:
    """Return the name of a recipe: its experiment, then the other overrides that change what is learned."""
    changes = {}
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+")
        changes[RENAMED.get(key, key)] = value
    name = changes.pop("experiment", NAMELESS)
    return " ".join([name, *(f"{key}={value}" for key, value in sorted(changes.items()) if key not in NO_RECIPE)])


def collect(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Write one small file for each run into ``folder``, ``RECIPE_SEED.json``, and return them."""
    records = read_all(paths)
    by_recipe(records)
    for record in records:
        if record.recipe.startswith(NAMELESS):
            raise UserError(f"{record.where} is a run of no recipe. Collect what `train.py experiment=NAME` made.")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for record in records:
        device = "" if record.device == "cpu" else f"_{record.device}"
        name = re.sub(r"[^\w.=-]+", "+", record.recipe)
        path = folder / f"{name}{device}_{record.seed}.json"
        path.write_text(json.dumps(record.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def _read(path: Path) -> list[Record]:
    if (path / METRICS).is_file():
        return [_of_run(path)]
    below = sorted(path.glob(f"*/{METRICS}"))
    if below:
        return [_of_run(file.parent) for file in below]
    if path.with_suffix(".card.json").is_file():
        return [_of_evaluation(path)]
    records = sorted(path.glob("*.json")) if path.is_dir() else []
    if not records:
        raise UserError(
            f"'{path}' holds no {METRICS}, no runs and no collected results. Give run folders, the folder of a sweep, "
            "or one that --collect wrote."
        )
    return [_of_file(file) for file in records]


def _of_run(folder: Path) -> Record:
    if not (folder / CARD).is_file():
        raise UserError(
            f"'{folder}' has no {CARD}: an older version made it, and nobody can say what its score compares with. "
            "Train it again."
        )
    card = _json(folder / CARD)
    return Record(recipe_of(card["overrides"]), _json(folder / METRICS), card, str(folder))


def _of_evaluation(path: Path) -> Record:
    """Read what ``lstm-readout evaluate output=NAME.json`` wrote, named as ``collect`` names the file of a recipe."""
    return Record(path.stem.replace("+", " "), _json(path), _json(path.with_suffix(".card.json")), str(path))


def _of_file(path: Path) -> Record:
    values = _json(path)
    if not {"recipe", "metrics", "card"} <= set(values):
        raise UserError(f"'{path}' is no collected result. Write it with --collect RUN_FOLDER.")
    return Record(values["recipe"], values["metrics"], values["card"], str(path))


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read: {error}. Collect it anew.") from error
    if not isinstance(values, dict):
        raise UserError(f"'{path}' is no collected result. Write it with --collect RUN_FOLDER.")
    return values


def _scored_rows(record: Record) -> str | None:
    return record.card["corpus"]["splits"].get(record.split, {}).get("sha256")


def _settings(record: Record) -> dict[str, Any]:
    return {RENAMED.get(key, key): value for key, value in _flat(record.card["config"])}


def _kinds(record: Record) -> dict[str, str]:
    return {role: tokenizer["kind"] for role, tokenizer in record.card["tokenizers"].items()}


def _same(first: Record, other: Record, what: str, value: Any) -> None:
    one, two = value(first), value(other)
    if one != two:
        raise _apart(first, other, what, one, two)


def _apart(first: Record, other: Record, what: str, one: Any, two: Any) -> UserError:
    return UserError(
        f"{first.where} and {other.where} cannot stand in one row: {what} differ ({_short(one)}; {_short(two)}). "
        "Train both in the same way, or give one of them."
    )


def _short(value: Any) -> str:
    text = value[:12] if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _flat(values: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
