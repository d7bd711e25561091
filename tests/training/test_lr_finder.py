"""The learning-rate range test: what is read from a curve, and whole runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lstm_readout.commands.train import main
from lstm_readout.errors import UserError
from lstm_readout.training.callbacks.lr_finder import HIGHEST, LOWEST, SKIPPED, STEPS, read_curve

RATES = [LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)) for step in range(STEPS)]


def curve(falls_at, rises_at):
    """Return a loss that falls and rises steepest at the given rates: two logistic curves over the logarithm."""
    falls, rises = (1 / (1 + np.exp(-4 * (np.log10(RATES) - math.log10(at)))) for at in (falls_at, rises_at))
    return (2 - falls + 5 * rises).tolist()


@pytest.mark.parametrize(("falls_at", "rises_at"), [(1e-3, 1.0), (1e-2, 10.0), (1e-1, 30.0)])
def test_the_suggestion_is_where_the_loss_falls_steepest(falls_at, rises_at):
    smoothed = curve(falls_at, rises_at)
    found = read_curve(RATES, smoothed, smoothed)
    step = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    assert falls_at / step <= found.suggestion <= falls_at * step
    assert found.suggestion < found.lowest < rises_at
    assert found.smoothed[found.lr.index(found.lowest)] == min(smoothed)


def test_what_follows_a_loss_that_is_none_is_left_out():
    smoothed = curve(1e-3, 1.0)
    cut = [*smoothed[:70], math.nan, *smoothed[71:]]
    found = read_curve(RATES, cut, cut)
    assert len(found.lr) == len(found.loss) == len(found.smoothed) == 70


def test_too_few_steps_tell_nothing():
    with pytest.raises(UserError, match=f"find_lr: the loss was finite in only {SKIPPED} steps"):
        read_curve(RATES[:SKIPPED], [1.0] * SKIPPED, [1.0] * SKIPPED)


SMALL = [
    "settings=fixed",
    "data.max_rows=200",
    "data.batch_size=16",
    "model.hidden_size=8",
    "model.embedding_size=8",
    "find_lr=true",
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["task=classify", "task.layer_lr_decay=0.5", "trainer.accumulate_grad_batches=2"],
        ["task=generate", "optimizer=sgd", "scheduler=plateau", "data.validation=0.2"],
        ["task=translate", "data.max_rows=60", "debug=one_batch"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_run_suggests_a_rate_and_trains_nothing(arguments, capsys):
    main([*SMALL, "hydra.run.dir=run", *arguments])
    found = json.loads(Path("run/lr_finder.json").read_text())
    number = len(found["lr"])
    assert found["lr"] == pytest.approx(RATES[:number])
    assert len(found["loss"]) == len(found["smoothed"]) == number
    running, smoothed = 0.0, []
    for step, loss in enumerate(found["loss"], start=1):
        running = 0.9 * running + 0.1 * loss
        smoothed.append(running / (1 - 0.9**step))
    assert found["smoothed"] == pytest.approx(smoothed)
    assert number == STEPS or found["smoothed"][-1] > 4 * min(found["smoothed"]) or number > SKIPPED
    assert 1 < found["loss"][0] / min(found["smoothed"]) < 3
    assert Path("run/lr_finder.png").stat().st_size > 5000
    assert f"use it: optimizer.lr={found['suggestion']:.2g}" in capsys.readouterr().out
    assert not list(Path("run").rglob("*.ckpt"))
    assert not Path("run/metrics.json").exists()


def test_a_run_that_goes_on_is_refused(capsys):
    for file, content in ((".hydra/overrides.yaml", "[]"), ("checkpoints/last.ckpt", "")):
        Path("run", file).parent.mkdir(parents=True)
        Path("run", file).write_text(content)
    with pytest.raises(SystemExit) as stop:
        main(["resume=run", "find_lr=true"])
    assert stop.value.code == 2
    assert "find_lr=true needs a new run" in capsys.readouterr().err
