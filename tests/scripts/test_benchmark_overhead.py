"""The comparison of the framework with a bare loop: both take the same steps, in turns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

SCRIPTS = str(Path(__file__).parents[2] / "scripts")


@pytest.fixture
def overhead(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.chdir(tmp_path)
    from benchmarks import overhead  # pyright: ignore[reportMissingImports]

    return overhead


def test_the_framework_and_the_bare_loop_take_the_same_steps_in_turns(overhead, monkeypatch):
    pairs = []

    class Kept(overhead.Alternate):
        def on_train_end(self, trainer, pl_module):
            pairs.append((pl_module, self.bare.task, len(self.seconds), trainer.global_step))

    monkeypatch.setattr(overhead, "Alternate", Kept)
    small = ("data.batch_size=4", "data.window=8", "scheduler=constant", "doctor=off", "callbacks.model_summary=null")
    result = overhead.overhead(8, *small, steps=3, slices=2)
    assert result.ratio > 0
    ((framework, bare, slices, steps),) = pairs
    assert (slices, steps) == (3, 3 * 3 + 1)  # a warm-up and two; the last batch was handed over already
    with torch.no_grad():
        apart = [(a - b).abs().max() for a, b in zip(framework.parameters(), bare.parameters(), strict=True)]
    assert max(apart) < 0.01  # by the one step more
