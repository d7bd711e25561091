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
from lstm_readout.compare.page import comparison_page
from lstm_readout.compare.table import Comparison
from lstm_readout.errors import printable
from lstm_readout.report.json_writer import write_json


def write_report(folder: Path, comparison: Comparison, probes: dict[str, Any], command: str) -> None:
    """Write all files into the folder and print the tables."""
    write_json(folder / "compare.json", _values(comparison, probes, command))
    draw_comparison(comparison, folder)
    pictures = draw_probes(probes, folder)
    (folder / "compare.md").write_text(comparison_page(comparison, probes, command, pictures), encoding="utf-8")
    console = get_console()
    console.print(_table(comparison), "")
    for name, probe in probes.items():
        for title, (heads, lines) in probe.get("tables", {}).items():
            console.print(_plain_table(f"{title}: {name}", heads, lines), "")
    for row in comparison.unexpected():
        verdict = row.difference.verdict if row.difference else "not compared"
        console.print(f"not as expected: {row.variant.name} did not lose ({verdict})", markup=False)
    for name, seed, error in comparison.failures:
        console.print(printable(f"failed, so not in the scores: {name}, seed {seed}: {error}"), markup=False)


def _values(comparison: Comparison, probes: dict[str, Any], command: str) -> dict[str, Any]:
    values = {
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
    failures = [failure._asdict() for failure in comparison.failures]
    return values | ({"failures": failures} if failures else {})


def _table(comparison: Comparison) -> Table:
    """Return the table for 80 columns; the scores of each seed are in the files."""
    table = _empty_table(f"{comparison.metric.name}, {comparison.split} split, {len(comparison.seeds)} seed(s)")
    wrong = any(row.variant.wrong for row in comparison.rows)
    table.caption = ("\u2717 a mistake, expected to lose. " if wrong else "") + (
        "Each indented variant is compared with the one above it that is not indented."
    )
    table.add_column("variant", min_width=26)
    for heading in ("score", "difference", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in comparison.rows:
        name, own, _, against, difference, p, verdict = row.cells(comparison.metric.digits)
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
