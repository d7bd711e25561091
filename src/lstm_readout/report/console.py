"""What a run prints on the console: metrics go in, a table comes out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from rich import get_console
from rich.table import Table

from lstm_readout.errors import printable


class PrintableFormatter(logging.Formatter):
    """Write control characters of labels and texts as escapes: a log is read in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return printable(super().format(record))


class ConsoleHandler(logging.Handler):
    """Log through rich's console, so that log lines and a progress bar do not overwrite each other."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line without wrapping it."""
        get_console().print(self.format(record), soft_wrap=True, markup=False, highlight=False)


def print_table(metrics: Mapping[str, Any]) -> None:
    """Print validation next to test, then baselines and their time, the ceiling, size and speed."""
    table = Table(box=None, pad_edge=False)
    for heading in ("metric", "validation", "test"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    numbers = {key: value for key, value in metrics.items() if not isinstance(value, str)}  # signatures: in the file
    names = [key.split("/", 1)[1] for key in numbers if key.startswith(("val/", "test/"))]
    for name in dict.fromkeys(names):
        table.add_row(name, _number(metrics.get(f"val/{name}")), _number(metrics.get(f"test/{name}")))
    held_out = "test" if any(key.startswith("test/") for key in metrics) else "validation"
    for key, value in numbers.items():
        if key == "ceiling" or (key.startswith("baseline/") and key.endswith(tuple(f"_{name}" for name in names))):
            cells = {"validation": "", "test": ""} | {held_out: _number(value)}
            name = key.replace("/", ": ") + _time(metrics.get(f"{key.rpartition('_')[0]}_seconds"))
            table.add_row(name, cells["validation"], cells["test"], style="dim")
    get_console().print(table)
    cost = f"{metrics['parameters']:,} parameters"
    if "train/seconds" in metrics:
        cost += f", {metrics['train/seconds']:.0f} s of training"
    if "train/tokens_per_second" in metrics:
        cost += f", {metrics['train/tokens_per_second']:,.0f} tokens/s"
    get_console().print(cost, highlight=False)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f", {seconds:.0f} s"
