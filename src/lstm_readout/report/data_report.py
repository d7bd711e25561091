"""The data report before training: the values of ``describe`` go in; tables, warnings and files come out."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lstm_readout.data.duplicates import shortened
from lstm_readout.report.data_warnings import warnings_of
from lstm_readout.report.json_writer import write_json
from lstm_readout.report.sources_report import sentences

log = logging.getLogger(__name__)

WIDTH = 80  # the same in a terminal, a pipe and the log file
_MOST_LABELS = 8  # of the label table


def print_report(report: Mapping[str, Any]) -> None:
    """Log the tables as one record, in the terminal and in the run's log file, then the warnings."""
    log.info("the data:\n%s", "\n".join(_text(report)))
    for warning in warnings_of(report):
        log.warning("%s", warning)


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``data.json`` and, unless every split is streamed, ``lengths.png``."""
    write_json(folder / "data.json", report)
    if any(report["splits"].values()):
        from lstm_readout.report.plots import plot_lengths  # matplotlib takes half a second to import

        plot_lengths(report, folder)


def _text(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield from sentences(report.get("sources", {}) if not report["generated"] else {})
    splits = report["splits"]
    known = {split: part for split, part in splits.items() if part is not None}
    table = _table("", "rows", "tokens", "p50", "p95", "longest", "unknown", "cut", "empty", "twice")
    for split, part in splits.items():
        if part is None:
            table.add_row(split, "streamed")
        else:
            for role, numbers in part["roles"].items():
                cells = (numbers["truncated"], numbers["empty"], numbers["duplicates"])
                length = (numbers["length"][key] for key in ("p50", "p95", "max"))
                unknown = f"{100 * numbers['unknown_rate']:.1f} %"
                counted = (part["rows"], numbers["tokens"], *length)
                table.add_row(f"{split} {role}", *map(_count, counted), unknown, *map(_count, cells))
    yield from _lines(table)
    for split, rows in report.get("streamed", {}).items():
        yield f"{split} is streamed: the report covers its first {rows:,} rows"
    if "batches" in report:
        number, fill = report["batches"]["number"], report["batches"]["fill"]
        yield f"{number:,} batches per epoch; padding would add {100 * (1 / fill - 1):.1f} % more tokens"
    for role in {role: None for part in known.values() for role in part["roles"]}:
        split, part = next(iter(known.items()))
        numbers = part["roles"][role]
        yield f"{role}: {numbers['distinct_tokens']:,} of {numbers['vocabulary_size']:,} token ids occur in {split}"
    for split, part in known.items():
        if part["leaks"]:
            found = ", ".join(f"{leak['rows']:,} in {earlier}" for earlier, leak in part["leaks"].items())
            yield f"rows of {split} that also occur in an earlier split: {found}"
    labelled = {split: part["labels"] for split, part in known.items() if part["labels"] is not None}
    if labelled:
        yield from _lines(_label_table(labelled))


def _label_table(labelled: Mapping[str, Any]) -> Table:
    """Return rows of the most frequent labels, with their count and share in each split."""
    first = next(iter(labelled.values()))["counts"]
    names = sorted(first, key=lambda name: -first[name])
    shown = names if len(names) <= _MOST_LABELS else names[: _MOST_LABELS - 1]
    table = _table("label", *labelled)
    for name in shown:
        table.add_row(shortened(name), *(_of_all(labels["counts"], [name]) for labels in labelled.values()))
    if len(shown) < len(names):
        others = names[len(shown) :]
        table.add_row(f"{len(others):,} others", *(_of_all(labels["counts"], others) for labels in labelled.values()))
    return table


def _of_all(counts: Mapping[str, int], names: list[str]) -> str:
    number = sum(counts[name] for name in names)
    return f"{_count(number)} ({100 * number / sum(counts.values()):.1f} %)"


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _lines(table: Table) -> list[str]:
    """Render without colours."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def _count(number: int | None) -> str:
    """Write a count in at most six characters."""
    if number is None:
        return "?"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= max(0.9995 * size, 1e5):
            return f"{number / size:.3g}{unit}"
    return f"{number:,}"
