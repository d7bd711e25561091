"""Measure what the documentation claims: python scripts/benchmark.py [--rows ID,ID] [--output benchmark.json].

Prints one table and writes one JSON file. Rows of named corpora need ``LSTM_READOUT_DATA``. Figures are ratios wherever
they can be, each the median of several measurements, beside their spread (half the distance from least to most, as a
share of the median): where that is large, the machine was too noisy to say.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

import torch
from benchmarks import data, start
from benchmarks.row import Row
from rich.console import Console
from rich.table import Table

from lstm_readout.report import write_json

ROWS: dict[str, Row] = {row.id: row for row in (*data.ROWS, *start.ROWS)}
NOISY = 0.25  # a spread above this says more of the machine than of the code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, by id; all if not given")
    parser.add_argument("--output", default="benchmark.json", type=Path)
    arguments = parser.parse_args()
    names = arguments.rows.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        sys.exit(f"error: no such row: {', '.join(unknown)}. Valid: {', '.join(ROWS)}.")
    if any(ROWS[name].corpus for name in names) and not os.environ.get("LSTM_READOUT_DATA"):
        sys.exit("error: LSTM_READOUT_DATA: name the folder with local copies of the corpora, or choose other --rows.")

    table = Table("id", "measured", "wanted", "spread", "unit")
    measured = {}
    for name in names:
        row = ROWS[name]
        result = row.measure()
        measured[name] = {"ratio": result.ratio, "spread": result.spread, "unit": row.unit, **result.more}
        noisy = " (too noisy to say)" if result.spread > NOISY else ""
        table.add_row(name, f"{result.ratio:.3g}", row.wanted, f"{100 * result.spread:.0f} %{noisy}", row.unit)
        print(f"{name}: {result.ratio:.3g} {row.unit}, wanted {row.wanted}", flush=True)
        write_json(arguments.output, {"rows": measured, "machine": machine()})
    Console().print(table)


def machine() -> dict[str, str | int]:
    """Say what it was measured on."""
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
