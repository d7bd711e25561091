"""Records of one recipe go in; its scores, its baselines and the line at the top of its YAML file come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from published.records import MEASURES, Record, by_recipe

NAMES = {"accuracy": "accuracy", "bleu": "BLEU", "loss": "loss"}
WORDS = {"bleu": "BLEU", "bleu_lowercase": "lower-cased BLEU", "chrf": "chrF", "macro_f1": "macro-F1"}
BESIDE = {  # metrics shown next to the one that a task is judged by
    "classify": ["macro_f1"],
    "translate": ["bleu_lowercase", "chrf"],
    "generate": ["perplexity", "bits_per_character", "bits_per_byte"],
}
BASELINES = {
    "copy source": "untranslated source",
    "nearest source": "nearest training source",
    "ngram": "word n-grams",
    "kneser ney": "Kneser-Ney n-grams",
}
CORES = {1: "one CPU core", 2: "two CPU cores"}
DIGITS = {"accuracy": 3, "macro_f1": 3, "bleu": 1, "bleu_lowercase": 1, "chrf": 1, "loss": 3, "perplexity": 2}
OTHER_DIGITS = 3  # bits per something


class Scores(NamedTuple):
    """A metric over seeds."""

    name: str  # test/accuracy
    values: list[float]

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation over seeds; None for a single seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def __str__(self) -> str:
        digits = digits_of(self.name)
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


class Recipe(NamedTuple):
    """All runs of one recipe on one kind of device."""

    name: str
    device: str
    records: list[Record]

    @property
    def first(self) -> Record:
        """Return any run: what it says about data, units and settings holds for all."""
        return self.records[0]

    @property
    def seeds(self) -> str:
        """Return ``one seed`` or ``3 seeds``."""
        return "one seed" if len(self.records) == 1 else f"{len(self.records)} seeds"

    def scores(self, metric: str | None = None) -> Scores:
        """Return a metric over the seeds; by default the one that the task is judged by."""
        metric = metric or self.first.measure
        return Scores(metric, [record.metrics[metric] for record in self.records])

    def lower_cased(self, scores: Scores) -> Scores | None:
        """Return the lower-cased BLEU beside a cased one; None for other metrics, and where it was not measured."""
        name = f"{scores.name}_lowercase"
        return self.scores(name) if all(name in record.metrics for record in self.records) else None

    def standard_error(self) -> str:
        """Return ``sqrt(p (1 - p) / n)`` of an accuracy p on the n rows of its split; empty for other metrics."""
        if not self.first.measure.endswith("accuracy"):
            return ""
        share, rows = self.scores().mean, self.first.card["corpus"]["splits"][self.first.split]["rows"]
        return f"{np.sqrt(share * (1 - share) / rows):.3f}"

    def beside(self) -> str:
        """Return the other metrics of that split in a few words."""
        stage = self.first.measure.split("/")[0]
        names = [f"{stage}/{name}" for name in BESIDE[self.first.card["task"]]]
        names += [name for name in self.first.metrics if name.startswith(f"{stage}/loss_")]  # other protocols
        shown = [name for name in names if all(name in record.metrics for record in self.records)]
        return ", ".join(f"{readable(name)} {self.scores(name)}" for name in shown)

    def baselines(self) -> str:
        """Return the baselines without an LSTM, by the same metric."""
        end = f"_{MEASURES[self.first.card['task']]}"
        parts = []
        for key in self.first.metrics:
            name = key.removeprefix("baseline/").removesuffix(end).replace("_", " ")
            if key.startswith("baseline/") and key.endswith(end):
                mean = np.mean([record.metrics[key] for record in self.records])
                parts.append(f"{BASELINES.get(name, name)} {mean:.{digits_of(key)}f}")
        return ", ".join(parts)

    @property
    def timed(self) -> list[Record]:
        """Return the runs on the most threads; those of other seeds, side by side on fewer, take longer."""
        threads = [record.card["device"]["threads"] for record in self.records]
        return [record for record, own in zip(self.records, threads, strict=True) if own == max(threads)]

    @property
    def seconds(self) -> float | None:
        """Return the mean time of the whole command; None if a run was resumed, and so not timed as a whole."""
        seconds = [record.card["seconds"] for record in self.timed]
        return None if any(one is None for one in seconds) else float(np.mean(seconds))

    def time(self) -> str:
        """Return it in words; empty if it is unknown."""
        return "" if self.seconds is None else minutes(self.seconds)

    def on(self) -> str:
        """Return what computed, in words."""
        device: dict[str, Any] = self.timed[0].card["device"]
        if device["kind"] == "cpu":
            cores = CORES.get(device["threads"], f"{device['threads']} CPU cores")
            return f"{cores} with bf16" if device["precision"].startswith("bf16") else cores
        return f"one {device['name']}" if device["processes"] == 1 else f"{device['processes']} {device['name']}"

    def header(self) -> str:
        """Return the line required at the top of the recipe's YAML file."""
        record, scores = self.first, self.scores()
        stage, name = scores.name.split("/")
        unit = f" {unit_of_one(record)}" if name == "loss" else ""
        seeds = f", {self.seeds}" if len(self.records) == 1 else f" over {self.seeds}"
        cost = f"{self.time()} on {self.on()}" if self.time() else f"on {self.on()}"
        baselines = f" ({self.baselines()})" if self.baselines() else ""
        split = "validation" if stage == "val" else stage
        return f"{split} {NAMES[name]} {scores}{unit}{seeds}, {cost}{baselines}"


def recipes_of(records: list[Record]) -> list[Recipe]:
    """Group records into recipes; ``by_recipe`` says what is refused."""
    return [Recipe(*key, group) for key, group in by_recipe(records).items()]


def digits_of(metric: str) -> int:
    """Return how many digits after the decimal point the page shows for a metric."""
    return next((number for name, number in DIGITS.items() if metric.endswith(name)), OTHER_DIGITS)


def minutes(seconds: float) -> str:
    """Write a time: ``64 seconds``, ``7.8 minutes``, ``14 minutes``."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 600 else f"{seconds / 60:.0f} minutes"


def readable(metric: str) -> str:
    """Return a metric's name in words: ``val/bits_per_byte`` -> ``bits per byte``."""
    name = metric.split("/")[-1]
    return WORDS.get(name, name.replace("_", " "))


def unit_of_one(record: Record) -> str:
    """Return the unit of the loss; a token of a character tokenizer is a character."""
    unit = str(record.card["units"].get(record.measure, "nats"))
    kinds = {tokenizer["kind"] for tokenizer in record.card["tokenizers"].values()}
    return unit.replace("token", "character") if kinds == {"char"} else unit


def header_of(path: Path) -> str:
    """Return the comment at the top of a YAML file as one line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    return " ".join(lines)
