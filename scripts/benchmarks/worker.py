"""A process that measures: requests go in on its stdin, one line of JSON each, speeds come out.

The allocator's setting holds for a whole process and cannot be undone, so sides that differ in it cannot share one. A
worker builds a side at its first request and runs one slice per request: the sides of several workers take turns,
while all but one wait.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Self

from benchmarks.paired import Result, Run, Side, run_slice
from lstm_readout.training.allocator import keep_freed_memory

SIDES = 16  # held by a worker at a time
ALLOCATORS = ("allocator_default", "allocator_both")


class Worker:
    """A process that runs slices.

    Args:
        keep_memory: set the allocator as training does (``lstm_readout.training.allocator``), before anything else.
    """

    def __init__(self, *, keep_memory: bool) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", *(["keep_memory"] if keep_memory else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def run(self, seconds: float, side: str, threads: int | None = None, **arguments: Any) -> float:
        """Run a slice and return units per second.

        Args:
            seconds: of the slice.
            side: ``module:function`` that builds the side.
            threads: of torch; None: torch's default.
            arguments: of that function, as plain values.

        Raises:
            RuntimeError: the process has ended; its own message is on stderr.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"seconds": seconds, "side": side, "threads": threads, "arguments": arguments}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"the worker ended with {self.process.wait()} while it ran {side}; see above.")
        return float(answer)

    def bind(self, side: str, **arguments: Any) -> Run:
        """Return what runs slices of this side."""
        return functools.partial(self.run, side=side, **arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def with_both_allocators(measure: Callable[[Worker], dict[str, Result]]) -> Result:
    """Measure cells in a worker with the default on both sides, then in one with the setting; the worst cell counts.

    Returns:
        The worst cell by default, beside it ``allocator_both``, the worst with the setting, and all cells of each.
    """
    measured: dict[str, dict[str, Result]] = {}
    for name in ALLOCATORS:
        with Worker(keep_memory=name == "allocator_both") as worker:
            measured[name] = measure(worker)
    worst, with_setting = (min(measured[name].values(), key=lambda cell: cell.ratio) for name in ALLOCATORS)
    more: dict[str, Any] = {"allocator_both": with_setting.ratio}
    for name, cells in measured.items():
        more[name + "_cells"] = {cell: {"ratio": r.ratio, "spread": r.spread, **r.more} for cell, r in cells.items()}
    return worst._replace(more=more)


def environment() -> dict[str, str]:
    """Return the environment of a process that imports this folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@functools.lru_cache(SIDES)
def build_side(name: str, arguments: str) -> Side:
    """Import ``module:function`` and call it with JSON arguments."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)(**json.loads(arguments))


def main(arguments: Sequence[str]) -> None:
    """Answer each request with a speed, until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's prints must not be mistaken for an answer
    if "keep_memory" in arguments and not keep_freed_memory():
        print("this system's allocator has no such setting: both sides run with its default", file=sys.stderr)
    cores = torch.get_num_threads()
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"] or cores)
        speed = run_slice(build_side(request["side"], json.dumps(request["arguments"])), request["seconds"])
        print(speed, file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
