"""A comparison goes in, its Markdown page comes out."""

from __future__ import annotations

from typing import Any

from lstm_readout.compare.markdown_table import markdown_table
from lstm_readout.compare.statistics import DRAWS
from lstm_readout.compare.table import HEADS, Comparison, Row


def comparison_page(comparison: Comparison, probes: dict[str, Any], command: str, pictures: list[str]) -> str:
    """Return a page that a paper or a report can include unchanged."""
    lines = [
        f"# Which output? {comparison.task}",
        "",
        f"`{command}`",
        "",
        _method(comparison),
        "",
        *markdown_table(HEADS, [_cells(row, comparison.metric.digits) for row in comparison.rows]),
        "",
        *_failures(comparison),
        "![comparison](compare.svg)",
        "",
        "What each variant changes in the configuration:",
        "",
        *(f"- {row.variant.name}: {_changes(row)}" for row in comparison.rows),
        "",
    ]
    for name, probe in probes.items():
        for title, (heads, rows) in probe.get("tables", {}).items():
            lines += [f"## {title}", "", f"Model: {name}.", "", *markdown_table(heads, rows), ""]
    lines += [line for picture in pictures for line in (f"![{picture}]({picture})", "")]
    return "\n".join(lines)


def _method(comparison: Comparison) -> str:
    unit, seeds = comparison.unit, ", ".join(map(str, comparison.seeds))
    return (
        f"{comparison.metric.name} on {comparison.scored:,} {unit} of the {comparison.split} split "
        f"({comparison.metric.better} is better), mean over seeds {seeds}, 95 % interval in brackets. Each variant is "
        f"compared with the one named beside it, on the same {unit} and seeds: paired bootstrap over {unit} and seeds, "
        f"{DRAWS:,} draws, two-sided p, not corrected for the number of comparisons. A negative difference is worse; "
        "mistakes are in *italics*."
    )


def _cells(row: Row, digits: int) -> list[str]:
    name, *others = row.cells(digits)
    return [f"*{name}*" if row.variant.wrong else name, *others]


def _failures(comparison: Comparison) -> list[str]:
    if not comparison.failures:
        return []
    lines = [f"- {name}, seed {seed}: {error}" for name, seed, error in comparison.failures]
    return ["Failed, so not in the scores:", "", *lines, ""]


def _changes(row: Row) -> str:
    return ", ".join(f"`{one}`" for one in row.variant.overrides) or "nothing"
