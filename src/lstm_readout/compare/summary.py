"""A comparison goes in; the terminal's table, ``compare.json``, ``compare.md`` and the pictures come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from rich import box, get_console
from rich.markup import escape
from rich.table import Table

from lstm_readout.compare.figures import draw_comparison, draw_probes
from lstm_readout.compare.statistics import DRAWS
from lstm_readout.compare.table import Comparison, Row
from lstm_readout.report.json_writer import write_json


def write_report(folder: Path, comparison: Comparison, probes: dict[str, Any], command: str) -> None:
    """Write everything into the folder and print the table."""
    about = {
        "command": command,
        "task": comparison.task,
        "split": comparison.split,
        "metric": comparison.metric.name,
        "seeds": comparison.seeds,
        "scored": comparison.scored,
        "versions": {"torch": torch.__version__, "lightning": lightning.__version__},
        "variants": [row.to_dict() for row in comparison.rows],
        "probes": probes,
    }
    write_json(folder / "compare.json", about)
    draw_comparison(comparison, folder)
    pictures = draw_probes(probes, folder)
    (folder / "compare.md").write_text(markdown(comparison, probes, command, pictures), encoding="utf-8")
    console = get_console()
    console.print(_table(comparison), "")
    for name, found in probes.items():
        for title, (heads, lines) in found.get("tables", {}).items():
            console.print(_plain_table(f"{title}: {name}", heads, lines), "")
    for row in comparison.failed():
        console.print(f"not as expected: {row.variant.name} did not lose ({row.verdict})", markup=False)


def markdown(comparison: Comparison, probes: dict[str, Any], command: str, pictures: list[str]) -> str:
    """Return a page that can stand in a paper or a report as it is."""
    seeds = ", ".join(map(str, comparison.seeds))
    better = comparison.metric.better
    unit = "windows" if comparison.task == "generate" else "rows"
    lines = [
        f"# Which output? {comparison.task}",
        "",
        f"`{command}`",
        "",
        f"{comparison.metric.name} on {comparison.scored:,} {unit} of the {comparison.split} split ({better} is "
        f"better), mean over seeds {seeds}, 95 % interval in brackets. Each variant is measured by the right one named "
        f"beside it, on the same {unit} and seeds: paired bootstrap over {unit} and seeds, {DRAWS:,} draws, two-sided "
        "p, not corrected for the number of comparisons. A negative difference is worse; mistakes stand in *italics*.",
        "",
        *_markdown_table(
            _HEADS, [_cells(row, comparison) for row in comparison.rows], [r.variant.wrong for r in comparison.rows]
        ),
        "",
        "![comparison](compare.svg)",
        "",
        "What each variant changes in the configuration:",
        "",
        *(f"- {row.variant.name}: {_changes(row)}" for row in comparison.rows),
        "",
    ]
    for name, found in probes.items():
        for title, (heads, rows) in found.get("tables", {}).items():
            lines += [f"## {title}", "", f"Model: {name}.", "", *_markdown_table(heads, rows), ""]
    lines += [line for picture in pictures for line in (f"![{picture}]({picture})", "")]
    return "\n".join(lines)


_HEADS = ["variant", "score", "by seed", "measured by", "difference", "p", ""]


def _cells(row: Row, comparison: Comparison) -> list[str]:
    digits = 2 if comparison.task == "translate" else 3
    own = f"{row.mean:.{digits}f} [{row.interval[0]:.{digits}f}, {row.interval[1]:.{digits}f}]"
    by_seed = " ".join(f"{score:.{digits}f}" for score in row.scores)
    if row.difference is None or row.difference_interval is None or row.p is None:
        return [row.variant.name, own, by_seed, "", "", "", ""]
    low, high = row.difference_interval
    difference = f"{row.difference:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    p = "< 0.001" if row.p <= 1 / DRAWS else f"{row.p:.3f}"
    return [row.variant.name, own, by_seed, row.against or "", difference, p, row.verdict]


def _changes(row: Row) -> str:
    return ", ".join(f"`{one}`" for one in row.variant.overrides) or "nothing"


def _markdown_table(heads: list[str], rows: list[list[str]], wrong: list[bool] | None = None) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for index, row in enumerate(rows):
        first = f"*{row[0]}*" if wrong and wrong[index] else row[0]
        lines.append("| " + " | ".join([first.replace("|", "\\|"), *row[1:]]) + " |")
    return lines


def _table(comparison: Comparison) -> Table:
    """Return the table for 80 columns: the seeds' scores stand in the files."""
    table = _empty_table(f"{comparison.metric.name}, {comparison.split} split, {len(comparison.seeds)} seed(s)")
    table.caption = "\u2717 a mistake, expected to lose. Each is measured by the one above it that is not indented."
    table.add_column("variant", min_width=26)
    for heading in ("score", "difference", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in comparison.rows:
        name, own, _, against, difference, p, verdict = _cells(row, comparison)
        mark = "\u2717 " if row.variant.wrong else "  " if against else ""
        cells = (mark + name, own.replace(" [", "\n["), difference.replace(" [", "\n["), p, verdict)
        table.add_row(*map(escape, cells), style=None if against else "bold")
    return table


def _plain_table(title: str, heads: list[str], rows: list[list[str]]) -> Table:
    table = _empty_table(escape(title))
    for index, heading in enumerate(heads):
        table.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _empty_table(title: str) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=title,
        title_justify="left",
        caption_justify="left",
    )
