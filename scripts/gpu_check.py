"""What this project does on a GPU, in one command: python scripts/gpu_check.py [--output gpu_check.json].

Prints one table and writes one JSON file, in less than eight minutes. It runs the tests that need CUDA and measures:
the device's own speed of products and copies; the training steps of four recipes beside plain loops of cuDNN's
``nn.LSTM``, with their share of the bounds, their memory, and how often the host waits for the GPU; decoding; and the
score that each recipe reaches in half a minute. Nothing is downloaded: without LSTM_READOUT_DATA the corpora are
generated, and the table says so.

    python scripts/gpu_check.py --rehearse    # every part on the processor, in tiny sizes: does it run?

It ends with 1 where there is no GPU, or where a part failed.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from gpu_checks.corpora import write_corpora
from gpu_checks.decoding import measure_decoding
from gpu_checks.device import Device
from gpu_checks.parts import Part, run_parts
from gpu_checks.rates import largest_rates
from gpu_checks.recipes import first_minutes
from gpu_checks.setting import RECIPES, Setting
from gpu_checks.steps import measure_steps
from gpu_checks.suite import run_cuda_tests
from gpu_checks.table import as_table
from rich.console import Console

from lstm_readout.report.json_writer import write_json

BUDGET = 450.0  # seconds of all parts together
PATIENCE = 600.0  # seconds of a part of a rehearsal, which ends after a number of steps
SQUARE = 8192  # rows and columns of the largest products
CORPORA = ("imdb", "multi30k", "tinyshakespeare")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print and write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="gpu_check.json", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="run every part on the processor, in tiny sizes")
    parser.add_argument("--budget", default=BUDGET, type=float, help="seconds of all parts together")
    given = parser.parse_args(arguments)
    if not given.rehearse and not torch.cuda.is_available():
        print("error: no GPU here that torch can use. To try the script on the processor: --rehearse", file=sys.stderr)
        return 1
    device = Device("cpu" if given.rehearse else "cuda")
    with corpora(rehearsal=given.rehearse) as generated:
        setting = Setting(device, rehearsal=given.rehearse, generated=generated)
        report = {"device": device.describe(), "rehearsal": given.rehearse}
        report |= {"data": "generated" if generated else "real", "parts": {}}
        for name, found in run_parts(all_parts(setting), math.inf if given.rehearse else given.budget):
            report["parts"][name] = found
            print(f"{name}: {found['status']}", found.get("reason") or found.get("error") or "", flush=True)
            write_json(given.output, report)
    Console().print(as_table(report))
    return int(any(part["status"] == "failed" for part in report["parts"].values()))


def all_parts(setting: Setting) -> Mapping[str, Part]:
    """Return the parts in the order of what must not be missing; their shares fit into the budget."""
    square = 64 if setting.rehearsal else SQUARE
    return {
        "rates": Part(5, lambda _: largest_rates(setting.device, square, setting.moment)),
        **{f"steps {recipe}": Part(30, lambda _, of=recipe: measure_steps(of, setting)) for recipe in RECIPES},
        "tests": Part(90, lambda seconds: run_cuda_tests(PATIENCE if setting.rehearsal else seconds)),
        "decoding": Part(20, lambda _: measure_decoding(setting)),
        **{f"run {recipe}": Part(50, partial(_run, recipe, setting)) for recipe in RECIPES},
    }


def _run(recipe: str, setting: Setting, seconds: float) -> dict[str, Any]:
    """Train for a part's seconds, without those of reading and validation."""
    return first_minutes(recipe, setting, PATIENCE if setting.rehearsal else 0.6 * seconds)


@contextlib.contextmanager
def corpora(*, rehearsal: bool) -> Iterator[bool]:
    """Make sure that the corpora are there, and say whether they are generated."""
    folder = os.environ.get("LSTM_READOUT_DATA")
    if folder and not rehearsal and all((Path(folder) / name).is_dir() for name in CORPORA):
        yield False
        return
    with tempfile.TemporaryDirectory() as written:
        write_corpora(Path(written), tiny=rehearsal)
        with patch.dict(os.environ, LSTM_READOUT_DATA=written):
            yield True


if __name__ == "__main__":
    sys.exit(main())
