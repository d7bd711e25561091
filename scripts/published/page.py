"""Recipes and ablations go in; the Markdown of ``docs/results.md`` comes out, the same for the same runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lstm_readout.compare.markdown_table import markdown_table
from published.ablations import ablation_section
from published.recipes import Recipe, digits_of, readable
from published.records import check_comparable

FIGURES = Path(__file__).with_name("figures.yaml")
COLUMNS = {"": ("cpu", 15), "_hour": ("cpu", 60), "_gpu": ("cuda", 30)}  # ending of a recipe's name -> device, minutes
HEADS = ["recipe", "unit", "CPU, within 15 min", "CPU, within 60 min", "GPU, within 30 min", "to beat"]

INTRODUCTION = """\
# What the recipes reach

Made by `python scripts/results.py docs/results` from the runs' own files, which are in `docs/results/`.
Settings were chosen on validation data; the test split was scored once, at the end of each run. ± is the standard
deviation over seeds; a score without it is of one seed. A score in bold is better than every figure beside it. Times
are from the first row read to the last score, of the runs on the most cores. `together` is the mean of several models'
probabilities ([how](do/transfer.md#ensembles)).
"""


def page(recipes: Sequence[Recipe], ablations: Sequence[Mapping[str, Any]] = (), figures: Path = FIGURES) -> str:
    """Return the page.

    Raises:
        UserError: a row would hold scores that do not compare.
    """
    lines = [INTRODUCTION, *_overview(recipes, figures)]
    heads = ["recipe", "metric", "score", "seeds", "beside", "needs no LSTM", "time", "on", "parameters"]
    lines += ["## Every recipe", "", *markdown_table(heads, [_row(recipe) for recipe in recipes]), ""]
    if ablations:
        lines += ["## What each option is worth", ""]
        lines += [line for ablation in ablations for line in ablation_section(ablation)]
    lines += ["## Comparability cards", "", CARDS, ""]
    corpora: dict[tuple[str, ...], list[Recipe]] = {}
    for recipe in recipes:
        corpus = recipe.first.card["corpus"]
        key = (
            corpus["name"],
            *(f"{role}={column}" for role, column in corpus["columns"].items() if role != column),
            corpus["sha256"],
        )
        corpora.setdefault(key, []).append(recipe)
    for key, group in sorted(corpora.items()):
        lines += _card(f"{key[0]} ({', '.join(key[1:-1])})" if key[1:-1] else key[0], group)
    return "\n".join(lines).rstrip("\n") + "\n"


CARDS = """\
Whoever scores the same rows, in the same unit, may put a number beside these. A split's hash is the SHA-256 of its
rows as read, in order: of each cell the number of its UTF-8 bytes (8 bytes, little-endian), then these bytes. That of
all rows is the SHA-256 of the sorted SHA-256 of every row, which does not change with the rows that a seed holds out.
Shown are the first 16 digits."""


def _overview(recipes: Sequence[Recipe], figures: Path) -> list[str]:
    rows, sources, notes = [], {}, []
    known: list[dict[str, Any]] = yaml.safe_load(figures.read_text(encoding="utf-8"))
    for figure in known:
        rows.append([figure["title"], figure["unit"], *_cells(figure, recipes), _to_beat(figure, sources)])
        notes += [f"{figure['title']}: {figure['note']}", ""] if "note" in figure else []
    numbered = [f"{number}. {source}" for source, number in sources.items()]
    return [*markdown_table(HEADS, rows), "", "Sources of the figures to beat:", "", *numbered, "", *notes]


def _to_beat(figure: Mapping[str, Any], sources: dict[str, int]) -> str:
    parts = []
    for other in figure.get("beat", ()):
        source = other["source"] + (" (quoted second-hand)" if other.get("second_hand") else "")
        number = sources.setdefault(source, len(sources) + 1)
        parts.append(f"{other['figure']} {other['what']} [{number}]")
    return "; ".join(parts)


def _cells(figure: Mapping[str, Any], recipes: Sequence[Recipe]) -> list[str]:
    """Return the three scores of a row; empty where the recipe was not measured."""
    cells, shown = [], []
    for ending, (device, limit) in COLUMNS.items():
        name = " ".join([figure["recipe"] + ending, *([figure["changes"]] if "changes" in figure else [])])
        recipe = next((one for one in recipes if (one.name, one.device) == (name, device)), None)
        if recipe is None or not all(figure["metric"] in record.metrics for record in recipe.records):
            cells.append("")
            continue
        for other in shown:
            check_comparable(other.first, recipe.first, whole=False)
        shown.append(recipe)
        cells.append(_cell(recipe, figure, limit))
    return cells


def _cell(recipe: Recipe, figure: Mapping[str, Any], limit: int) -> str:
    scores = recipe.scores(figure["metric"])
    lower = not scores.name.endswith(("accuracy", "macro_f1", "bleu", "chrf"))
    others = [other["figure"] for other in figure.get("beat", ())]
    shown = round(scores.mean, digits_of(scores.name))  # what rounds to a published figure is not above it
    best = bool(others) and all(shown < one if lower else shown > one for one in others)
    score = f"**{scores}**" if best else str(scores)
    late = " (over)" if recipe.seconds is not None and recipe.seconds > 60 * limit else ""
    return ", ".join([score, recipe.seeds, *([recipe.time() + late] if recipe.time() else [])])


def _row(recipe: Recipe) -> list[str]:
    scores = recipe.scores()
    metric = f"{recipe.first.split} {readable(scores.name)}"
    parameters = f"{recipe.first.card['parameters']:,}"
    cells = [f"`{recipe.name}`", metric, str(scores), " ".join(str(record.seed) for record in recipe.records)]
    return [*cells, recipe.beside(), recipe.baselines(), recipe.time(), recipe.on(), parameters]


def _card(title: str, recipes: Sequence[Recipe]) -> list[str]:
    records = [record for recipe in recipes for record in recipe.records]
    corpus = records[0].card["corpus"]
    rows = []
    for split in corpus["splits"]:
        of_runs = [record.card["corpus"]["splits"].get(split, {}) for record in records]
        numbers = _all(f"{one.get('rows', 0):,}" for one in of_runs)
        rows.append([split, numbers, _all(one.get("sha256", "")[:16] for one in of_runs)])
    lines = [
        f"### {title}",
        "",
        *markdown_table(["split", "rows", "SHA-256"], [*rows, ["all", "", corpus["sha256"][:16]]]),
        "",
    ]
    for recipe in recipes:
        lines.append(f"- `{recipe.name}`: {_settings(recipe)}")
    signatures = {f"{name}: `{value}`" for record in records for name, value in record.card["signatures"].items()}
    shown = [pair for record in records for pair in record.card["units"].items() if not pair[0].startswith("baseline/")]
    units = {f"{readable(key)}: {unit}" for key, unit in shown}
    lines += [f"- {one}" for one in sorted(signatures)]
    return [*lines, f"- units: {'; '.join(sorted(units))}", ""]


def _settings(recipe: Recipe) -> str:
    """Return tokenizers, versions and the device of a recipe."""
    parts = []
    for role in recipe.first.card["tokenizers"]:
        own = [record.card["tokenizers"][role] for record in recipe.records]
        ids, sha256 = _all(f"{one['ids']:,}" for one in own), _all(one["sha256"][:16] for one in own)
        parts.append(f"{role} by `{own[0]['kind']}`, {ids} ids, {sha256}")
    names = {f"{name} {value}" for record in recipe.records for name, value in record.card["versions"].items()}
    device = recipe.first.card["device"]
    precision = _all(record.card["device"]["precision"] for record in recipe.records)
    return "; ".join([*parts, ", ".join(sorted(names)), f"{device['kind']} ({device['name']}), {precision}"])


def _all(values: Iterable[str]) -> str:
    """Return the one value of all, or say that there are several."""
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else "differ by seed" if different else ""
