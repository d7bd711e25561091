"""How long a user waits for the first training step."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Callback

from benchmarks.data import CORPORA
from benchmarks.paired import Result, Row
from benchmarks.worker import environment

TRAIN = Path(__file__).parents[2] / "train.py"
REPEATS = 3


class LeaveAtFirstStep(Callback):
    """End the process when training begins."""

    def on_train_batch_start(self, *arguments: Any, **named: Any) -> None:
        os._exit(0)


def to_first_step(*overrides: str) -> float:
    """Return the seconds from the shell to the first step of ``python train.py OVERRIDES``."""
    with tempfile.TemporaryDirectory() as folder:
        callback = "+callbacks.leave._target_=benchmarks.start.LeaveAtFirstStep"
        return _seconds([str(TRAIN), *overrides, callback, f"hydra.run.dir={folder}/run"])


def imports() -> float:
    """Return the seconds that the imports of a process take."""
    return _seconds(["-c", "import lstm_readout.commands.train"])


def second_start(corpus: str) -> Result:
    """Return the seconds that a second run of a recipe takes until its first step, without the imports."""
    overrides = [f"experiment={corpus}"]
    to_first_step(*overrides)  # the first run encodes
    return Result.of([to_first_step(*overrides) - imports() for _ in range(REPEATS)])


def startup() -> Result:
    """Return the seconds from the shell to the first step on the sample."""
    return Result.of([to_first_step("task=classify") for _ in range(REPEATS)])


def _seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment())
    return time.perf_counter() - began


ROWS = [
    *(
        Row(
            id=f"second_start_{corpus}",
            measure=partial(second_start, corpus),
            wanted="at most 3",
            unit="seconds beyond the imports",
            corpora=(corpus,),
        )
        for corpus in CORPORA
    ),
    Row(id="startup_seconds", measure=startup, wanted="at most 8", unit="seconds"),
]
