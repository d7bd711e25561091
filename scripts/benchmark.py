"""Measure what the documentation claims: python scripts/benchmark.py [--rows ID,ID] [--output benchmark.json].

Prints one table and writes one JSON file; with --plots FOLDER also a picture of how cost grows with work. Rows of named
corpora need ``LSTM_READOUT_DATA``. Most figures are ratios of two sides that took turns: the median of several
measurements, beside their spread (half the interquartile range, as a share of the median). Where the spread is large,
the machine was too noisy to tell. "Both" is the ratio where both sides have the allocator's setting
(``lstm_readout.training.allocator``).
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

import torch
from benchmarks import data, decoding, engine, grid, growth, overhead, start, steps
from benchmarks.growth import plot_growth
from benchmarks.paired import Row
from rich.console import Console
from rich.table import Table

from lstm_readout.report.json_writer import write_json

THEMES = (engine, grid, steps, overhead, decoding, growth, data, start)
ROWS: dict[str, Row] = {row.id: row for theme in THEMES for row in theme.ROWS}
NOISY = 0.1  # a spread above this says more about the machine than about the code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, by id; all if not given")
    parser.add_argument("--output", default="benchmark.json", type=Path)
    parser.add_argument("--plots", type=Path, help="folder for growth.svg, drawn from the growth_* rows")
    arguments = parser.parse_args()
    names = arguments.rows.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        sys.exit(f"error: no such row: {', '.join(unknown)}. Valid: {', '.join(ROWS)}.")
    check_corpora(names)

    table = Table("id", "measured", "wanted", "both", "spread", "unit", "")
    measured = {}
    for name in names:
        row = ROWS[name]
        result = row.measure()
        measured[name] = {"ratio": result.ratio, "spread": result.spread, "unit": row.unit, **result.more}
        noisy = "too noisy to say" if result.spread > NOISY else ""
        if noisy:
            measured[name]["note"] = noisy
        both = f"{result.more['allocator_both']:.3g}" if "allocator_both" in result.more else ""
        table.add_row(name, f"{result.ratio:.3g}", row.wanted, both, f"{100 * result.spread:.0f} %", row.unit, noisy)
        print(f"{name}: {result.ratio:.3g} {row.unit}, wanted {row.wanted}", flush=True)
        write_json(arguments.output, {"rows": measured, "machine": machine()})
    Console().print(table)
    if arguments.plots:
        plot_growth(measured, arguments.plots)


def check_corpora(names: list[str]) -> None:
    """Exit if a row's corpus has no local copy."""
    wanted = {corpus: name for name in names for corpus in ROWS[name].corpora}
    folder = os.environ.get("LSTM_READOUT_DATA")
    if wanted and not folder:
        sys.exit("error: LSTM_READOUT_DATA: name the folder with local copies of the corpora, or choose other --rows.")
    for corpus, name in wanted.items():
        if not (Path(folder or "") / corpus).is_dir():
            sys.exit(
                f"error: LSTM_READOUT_DATA={folder}: {name} needs {corpus}/ there. Copy it, or choose other --rows."
            )


def machine() -> dict[str, str | int]:
    """Return what it was measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
