"""Runs, evaluations and saved records go in; one ``Record`` each comes out, and those of a recipe are checked.

The published records are one file of JSON lines, sorted: those of runs, then those of ablations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstm_readout.config.values import leaves
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import RENAMED

RECORDS = "records.jsonl"
METRICS, CARD = "metrics.json", "card.json"
MEASURES = {"classify": "accuracy", "translate": "bleu", "generate": "loss"}
NAMELESS = "no recipe"
# Settings that do not change the recipe: random state, what follows from the rows, the machine, and where a file
# is (its contents are hashed)
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
        """Return ``cpu``, ``cuda``, ...: recipes are distinguished by it."""
        return self.card["device"]["kind"]

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what identifies and orders records."""
        return self.recipe, self.device, self.seed

    @property
    def measure(self) -> str:
        """Return the key of the metric that its task is judged by, on the test split if there is one."""
        name = MEASURES[self.card["task"]]
        return next((key for key in (f"test/{name}", f"val/{name}") if key in self.metrics), f"test/{name}")

    @property
    def split(self) -> str:
        """Return the split of ``measure``."""
        return "test" if self.measure.startswith("test/") else "validation"

    def line(self) -> str:
        """Return its line in the file."""
        return json.dumps({"recipe": self.recipe, "metrics": self.metrics, "card": self.card}, ensure_ascii=False)


def read_all(paths: Sequence[Path], recipe: str | None = None) -> list[Record]:
    """Read runs, sweeps of runs, evaluations, and the file or folder of the published records.

    Args:
        paths: of these.
        recipe: the name of an evaluation's recipe.

    Raises:
        UserError: a path holds none of these, a run has no card, or a line is not a record.
    """
    records = [record for path in paths for record in _read(path, recipe)]
    return sorted(records, key=lambda record: (*record.key, record.where))


def read_ablations(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the ablations in the published records."""
    files = [file for path in paths for file in (path, path / RECORDS) if file.suffix == ".jsonl" and file.is_file()]
    return [values for file in files for _, values in _lines(file) if "ablation" in values]


def collect(paths: Sequence[Path], file: Path, recipe: str | None = None) -> list[Record]:
    """Add runs to the published records and return them; an earlier record of the same key is replaced."""
    added = read_all(paths, recipe)
    by_recipe(added)
    for record in added:
        if record.recipe.startswith(NAMELESS):
            raise UserError(f"{record.where} belongs to no recipe. Collect a run of `train.py experiment=NAME`.")
    earlier = _read(file, None) if file.is_file() else []
    records = sorted({record.key: record for record in [*earlier, *added]}.values(), key=lambda record: record.key)
    ablations = [json.dumps(values, ensure_ascii=False) for values in read_ablations([file])]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in [*(r.line() for r in records), *ablations]), encoding="utf-8")
    return added


def by_recipe(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Group records by recipe and device, and check that each group belongs together.

    Raises:
        UserError: two of them do not belong in one row, or have the same seed.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.recipe, record.device), []).append(record)
    for group in groups.values():
        first = group[0]
        for number, other in enumerate(group[1:], start=1):
            check_comparable(first, other, whole=True)
            twin = next((one for one in group[:number] if one.seed == other.seed), None)
            if twin is not None:
                raise UserError(
                    f"{twin.where} and {other.where} are both {other.recipe}, seed {other.seed}. Give one of them."
                )
    return groups


def check_comparable(first: Record, other: Record, *, whole: bool) -> None:
    """Refuse two scores that do not compare.

    Args:
        first, other: the two.
        whole: they are runs of one recipe, so the whole corpus and every setting must be the same; otherwise the
            scored rows, the unit and, for a loss per token, the tokens.
    """
    checks: dict[str, Callable[[Record], Any]] = {
        f"the rows of the {first.split} split": _scored_rows,
        "the unit": lambda record: record.card["units"].get(record.measure),
        "the signatures": lambda record: record.card["signatures"],
    }
    if whole:
        checks = {"the rows of the corpus": lambda record: record.card["corpus"]["sha256"]} | checks
    if whole or "token" in str(first.card["units"].get(first.measure)):
        checks["the kinds of tokenizer"] = _kinds
    for name, value in checks.items():
        _require_same(first, other, name, value(first), value(other))
    if whole:
        settings, others = (_settings(record) for record in (first, other))
        for key in sorted(settings.keys() & others.keys() - set(NO_RECIPE)):  # a later version may have more keys
            if not key.endswith("path"):
                _require_same(first, other, key, settings[key], others[key])


def _require_same(first: Record, other: Record, name: str, one: Any, two: Any) -> None:
    if one != two:
        raise UserError(
            f"{first.where} and {other.where} cannot share a row: {name} differ ({_short(one)}; {_short(two)}). "
            "Train both in the same way, or give one of them."
        )


def recipe_of(overrides: Iterable[str]) -> str:
    """Return the name of a recipe: its experiment, then the other overrides that change what is learned."""
    changes = {}
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+")
        changes[RENAMED.get(key, key)] = value
    name = changes.pop("experiment", NAMELESS)
    return " ".join([name, *(f"{key}={value}" for key, value in sorted(changes.items()) if key not in NO_RECIPE)])


def _read(path: Path, recipe: str | None) -> list[Record]:
    if (path / METRICS).is_file():
        return [_of_run(path)]
    below = sorted(path.glob(f"*/{METRICS}"))
    if below:
        return [_of_run(file.parent) for file in below]
    if path.with_suffix(".card.json").is_file():
        return [_of_evaluation(path, recipe)]
    file = path / RECORDS if path.is_dir() else path
    if file.suffix != ".jsonl" or not file.is_file():
        raise UserError(
            f"'{path}' holds no {METRICS}, no runs and no {RECORDS}. Give run folders, the folder of a sweep, an "
            "evaluation, or what --collect wrote."
        )
    return [_of_line(where, values) for where, values in _lines(file) if "ablation" not in values]


def _of_run(folder: Path) -> Record:
    if not (folder / CARD).is_file():
        raise UserError(
            f"'{folder}' has no {CARD}: an older version wrote it, so it is unknown what its score compares with. "
            "Train it again."
        )
    card = _json(folder / CARD)
    return Record(recipe_of(card["overrides"]), _json(folder / METRICS), card, str(folder))


def _of_evaluation(path: Path, recipe: str | None) -> Record:
    """Read what ``lstm-readout evaluate output=FILE.json`` wrote."""
    if recipe is None:
        raise UserError(f"'{path}' is an evaluation: name its recipe, for example --recipe 'trec ensemble'.")
    return Record(recipe, _json(path), _json(path.with_suffix(".card.json")), str(path))


def _of_line(where: str, values: dict[str, Any]) -> Record:
    if not {"recipe", "metrics", "card"} <= set(values):
        raise UserError(f"{where} is not a record. Write it with --collect RUN_FOLDER.")
    return Record(values["recipe"], values["metrics"], values["card"], where)


def _lines(file: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").rstrip("\n").split("\n"), start=1):
        where = f"{file}:{number}"
        yield where, _parsed(line, where)


def _json(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text(encoding="utf-8"), f"'{path}'")
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error}.") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where} cannot be read: {error}. Collect it again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{where} is not a record. Write it with --collect RUN_FOLDER.")
    return values


def _scored_rows(record: Record) -> str | None:
    return record.card["corpus"]["splits"].get(record.split, {}).get("sha256")


def _settings(record: Record) -> dict[str, Any]:
    return {RENAMED.get(key, key): value for key, value in leaves(record.card["config"])}


def _kinds(record: Record) -> dict[str, str]:
    return {role: tokenizer["kind"] for role, tokenizer in record.card["tokenizers"].items()}


def _short(value: Any) -> str:
    text = value[:12] if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
