"""What an ablation measured goes in; its rows with intervals, and the Markdown of them, come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from published.numbers import digits_of, t_interval, table

WHOLE = "the whole recipe"


def rows_of(scores: Mapping[str, Mapping[int, float | None]]) -> list[dict[str, Any]]:
    """Return one row for each variant.

    Args:
        scores: variant -> seed -> score, None of a run that failed; one of them is ``WHOLE``.

    Returns:
        Name, scores, mean and 95 % interval, and the mean of the differences to the whole recipe with its interval:
        paired, over the seeds that both have.
    """
    rows = []
    for name, by_seed in scores.items():
        values = [score for score in by_seed.values() if score is not None]
        both = [
            score - whole
            for seed, score in by_seed.items()
            if name != WHOLE and score is not None and (whole := scores[WHOLE].get(seed)) is not None
        ]
        rows.append(
            {
                "name": name,
                "scores": {str(seed): score for seed, score in by_seed.items()},
                "mean": sum(values) / len(values) if values else None,
                "interval": t_interval(values),
                "difference": sum(both) / len(both) if both else None,
                "difference_interval": t_interval(both),
                "failed": [seed for seed, score in by_seed.items() if score is None],
            }
        )
    return rows


def ablation_section(about: Mapping[str, Any]) -> list[str]:
    """Return the Markdown of one corpus."""
    seeds = ", ".join(map(str, about["seeds"]))
    better = "higher" if about["mode"] == "max" else "lower"
    lines = [
        f"### {about['corpus']}",
        "",
        f"`python train.py {about['command']}`, {about['threads']} thread a run, {' and '.join(about['precision'])}, "
        f"seeds {seeds}: {about['metric']} ({better} is better), mean and 95 % interval by Student's t. Each line "
        "leaves out one option of the recipe and trains anew, at the same budget, the schedule ending with it; the "
        "difference is paired over seeds.",
        "",
    ]
    heads = ["without", "score", "by seed", "difference", "seconds", "overrides"]
    return [*lines, *table(heads, [_cells(row, about["metric"]) for row in about["variants"]]), ""]


def _cells(row: Mapping[str, Any], metric: str) -> list[str]:
    digits = digits_of(metric)
    failed = ", ".join(f"seed {seed} failed" for seed in row["failed"])
    by_seed = " ".join("-" if score is None else f"{score:.{digits}f}" for score in row["scores"].values())
    score = _with_interval(row["mean"], row["interval"], f".{digits}f")
    told = ", ".join(part for part in (score, failed) if part)
    difference = _with_interval(row["difference"], row["difference_interval"], f"+.{digits}f")
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
    name = "(nothing)" if row["name"] == WHOLE else row["name"]
    return [name, told, by_seed, difference, seconds, " ".join(f"`{one}`" for one in row["overrides"])]


def _with_interval(mean: float | None, interval: Sequence[float] | None, form: str) -> str:
    if mean is None:
        return ""
    return f"{mean:{form}}" + ("" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]")
