"""What the framework costs: a step of ``python train.py`` against the same step in a few lines of plain PyTorch.

Both sides alternate in one process. Inside one ``Trainer.fit`` a callback pauses after every ``SLICE`` steps, when the
next batch is handed over, runs the bare loop for the same number of steps, and continues. So a slice of the framework
is ``SLICE`` whole cycles from batch to batch: loading, hooks, loss, optimizer, schedule, clipping, metrics, loggers and
the progress bar, which draws as on a terminal. Start and end of the run, and validation and checkpoints at the end of
an epoch, count for neither side. The callback itself counts for the framework.

The bare loop has a model, an optimizer and a loader of its own, equal to the framework's, and reads the same batches in
the same order. Both keep freed memory, as a run does.

The step is that of a character language model on one continuous stream, as in the recipe for tinyshakespeare: 64
columns, windows of 64, 65 characters, drawn at random: the time of a step does not depend on them. What the framework
adds is the same for every model, so a smaller step shows more of it: ``hardest`` is the ratio with 32 columns and
windows of 35, about the smallest step that is worth training.
"""

from __future__ import annotations

import contextlib
import string
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from torch.nn.utils import clip_grad_norm_

from benchmarks.composed import run_configuration
from benchmarks.paired import Result, Row
from lstm_readout.config.build import build
from lstm_readout.config.build_trainer import build_trainer
from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.base import Task
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.trainer import quiet_lightning

SLICE, SLICES = 50, 7  # steps of a slice: one interval of logging; the first slice warms up
WORKLOAD = (
    "task=generate",
    "data=files",
    "data.carry_state=true",
    "data.batch_size=64",
    "data.window=64",
    "tokenizer=char",
    "tokenizer.byte_fallback=false",
)
HARDEST = ("data.batch_size=32", "data.window=35")
CHARACTERS = string.ascii_letters + " .,:;!?'-\n0"


class Alternate(Callback):
    """Take turns with the bare loop, and keep the seconds of both."""

    def __init__(self, bare: BareLoop, steps: int, slices: int) -> None:
        self.bare, self.steps, self.slices = bare, steps, slices
        self.seconds: list[tuple[float, float]] = []  # framework, bare
        self._began, self._left = 0.0, 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start a new slice: validation was in the last one."""
        self._left = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the slice if it is complete, and run the bare loop."""
        now = time.perf_counter()
        if self._left == 0:
            self._left = self.steps
        else:
            self._left -= 1
            if self._left:
                return
            self.seconds.append((now - self._began, self.bare.run(self.steps)))
            self._left = self.steps
            trainer.should_stop = len(self.seconds) == self.slices
        self._began = time.perf_counter()


class BareLoop:
    """A few lines of plain PyTorch that do the same step."""

    def __init__(self, task: Task, data: TextDataModule, clip: float) -> None:
        self.task, self.clip = task.train(), clip
        self.optimizer = task.optimizer(task.parameters())
        self.batches = self._epochs(data)

    def run(self, steps: int) -> float:
        """Return the seconds of some steps."""
        began = time.perf_counter()
        for _ in range(steps):
            loss, _ = self.task.loss(next(self.batches), "train")
            self.optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(self.task.parameters(), self.clip)
            self.optimizer.step()
        return time.perf_counter() - began

    @staticmethod
    def _epochs(data: TextDataModule) -> Iterator[Any]:
        while True:
            yield from data.train_dataloader()


def overhead(hidden_size: int, *overrides: str, steps: int = SLICE, slices: int = SLICES) -> Result:
    """Return the framework's time over the bare loop's, for one model."""
    sizes = (f"model.hidden_size={hidden_size}", f"model.embedding_size={hidden_size}")
    with tempfile.TemporaryDirectory() as folder:
        given = [*WORKLOAD, *sizes, f"data.path={folder}/text.txt", "data.cache=false", "data.validation=0.01"]
        with run_configuration(folder, *given, *overrides) as config:
            alternate = _run_both(folder, config, steps, slices)
    seconds = alternate.seconds[1:]
    bare_ms = 1000 * float(np.median([bare for _, bare in seconds])) / steps
    return Result.of([framework / bare for framework, bare in seconds], bare_ms=bare_ms)


def _run_both(folder: str, config: dict[str, Any], steps: int, slices: int) -> Alternate:
    window = config["data"]["batch_size"] * config["data"]["window"]  # tokens of a step
    write_characters(Path(config["data"]["path"]), (slices + 3) * steps * window)  # so that one epoch is enough
    keep_freed_memory()
    quiet_lightning()
    bare = BareLoop(*build(config), clip=config["trainer"]["gradient_clip_val"])
    task, data = build(config)
    trainer = build_trainer(config, data, progress_bar=True)
    alternate = Alternate(bare, steps, slices + 1)
    trainer.callbacks.append(alternate)  # pyright: ignore[reportAttributeAccessIssue]  # Lightning sets it late
    with a_terminal(Path(folder) / "terminal"):
        trainer.fit(task, datamodule=data)
    return alternate


def write_characters(path: Path, number: int) -> None:
    """Write a text of random characters."""
    drawn = np.random.default_rng(0).choice(np.frombuffer(CHARACTERS.encode(), dtype=np.uint8), number)
    path.write_bytes(drawn.tobytes())


@contextlib.contextmanager
def a_terminal(path: Path) -> Iterator[None]:
    """Let rich draw as on a terminal, into a file."""
    import rich

    before = rich.get_console()
    with path.open("w", encoding="utf-8") as file:
        rich._console = Console(file=file, force_terminal=True, width=120)
        yield
    rich._console = before


def with_hardest(hidden_size: int) -> Result:
    """Return the ratio of the recipe's step, and beside it that of the smallest."""
    result, hardest = overhead(hidden_size), overhead(hidden_size, *HARDEST)
    return result._replace(more=result.more | {"hardest": hardest.ratio, "hardest_bare_ms": hardest.more["bare_ms"]})


ROWS = [
    Row(
        id=f"overhead_{hidden_size}",
        measure=partial(with_hardest, hidden_size),
        wanted=f"at most {wanted}",
        unit="framework time / bare time",
    )
    for hidden_size, wanted in ((256, 1.03), (64, 1.10))
]
