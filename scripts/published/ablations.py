"""The record of an ablation goes in, its section of the page comes out.

These records come from an earlier runner. It scored the metric that chooses the checkpoint, with Student's t over
seeds. Today ``lstm-readout compare variants=ablation/NAME`` trains ablations and writes its own page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_readout.compare.markdown_table import markdown_table
from published.recipes import digits_of


def ablation_section(record: Mapping[str, Any]) -> list[str]:
    """Return the Markdown of one corpus."""
    seeds = ", ".join(map(str, record["seeds"]))
    better = "higher" if record["mode"] == "max" else "lower"
    lines = [
        f"### {record['ablation']}",
        "",
        f"`python train.py {record['command']}`, {record['threads']} thread per run, "
        f"{' and '.join(record['precision'])}, seeds {seeds}: {record['metric']} ({better} is better), mean and 95 % "
        "interval by Student's t. Each line leaves out one option of the recipe and trains again with the same budget, "
        "at which the schedule ends; the differences are paired over seeds.",
        "",
    ]
    heads = ["without", "score", "by seed", "difference", "seconds", "overrides"]
    return [*lines, *markdown_table(heads, [_cells(row, record["metric"]) for row in record["variants"]]), ""]


def _cells(row: Mapping[str, Any], metric: str) -> list[str]:
    digits = digits_of(metric)
    score = _with_interval(row["mean"], row["interval"], f".{digits}f")
    by_seed = " ".join(f"{score:.{digits}f}" for score in row["scores"].values())
    whole = row["difference"] is None
    difference = "" if whole else _with_interval(row["difference"], row["difference_interval"], f"+.{digits}f")
    overrides = " ".join(f"`{one}`" for one in row["overrides"])
    name = "(nothing)" if whole else row["name"]
    return [name, score, by_seed, difference, f"{row['seconds']:.0f}", overrides]


def _with_interval(mean: float, interval: Sequence[float], form: str) -> str:
    return f"{mean:{form}} [{interval[0]:{form}}, {interval[1]:{form}}]"
