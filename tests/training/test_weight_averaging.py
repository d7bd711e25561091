"""Averages of weights: what is validated and saved, and that a stopped run takes them up again."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.train import main
from lstm_readout.models.weights_digest import digest
from lstm_readout.tasks import ClassifyTask

# 6 steps an epoch, 18 in all
SMALL = ["data.max_rows=240", "model.hidden_size=6", "model.embedding_size=4", "trainer.max_epochs=3"]
KEEP = ["+callbacks.keep._target_=lstm_readout_test_tools.KeepWeights", "+callbacks.keep.path=weights.pt"]
STOP = f"+callbacks.kill={{_target_: lstm_readout_test_tools.SendSignal, step: 9, number: {signal.SIGTERM.value}}}"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _train(name: str, *overrides: str) -> Path:
    main([f"hydra.run.dir={name}", *SMALL, *overrides])
    return Path(name, "checkpoints")


def _weights(path: Path, key: str = "state_dict") -> Tensor:
    state = torch.load(path, weights_only=True)[key]
    return torch.cat([value.flatten() for name, value in state.items() if name.startswith("model.")])


def test_the_moving_average_follows_its_formula_and_is_what_is_saved():
    folder = _train("run", "callbacks=ema", "callbacks.weight_averaging.decay=0.6", *KEEP)
    steps = torch.load("weights.pt", weights_only=True)
    average = steps[0]  # the first one begins it
    for n, weights in enumerate(steps[1:], start=1):
        decay = min(0.6, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(_weights(folder / "last.ckpt"), average)
    torch.testing.assert_close(_weights(folder / "last.ckpt", "current_model_state"), steps[-1])
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["weights_sha256"] == digest(saved["state_dict"])  # the average's, which is what is loaded


def test_the_plain_mean_is_that_of_the_epochs_ends():
    folder = _train("run", "callbacks=swa", "callbacks.weight_averaging.from_epoch=1", *KEEP)
    steps = torch.load("weights.pt", weights_only=True)
    assert len(steps) % 3 == 0
    epoch = len(steps) // 3
    mean = (steps[2 * epoch - 1] + steps[3 * epoch - 1]) / 2
    torch.testing.assert_close(_weights(folder / "last.ckpt"), mean)


def test_before_there_is_an_average_the_weights_themselves_are_used():
    folder = _train("run", "callbacks=swa", "callbacks.weight_averaging.from_epoch=3", *KEEP)
    steps = torch.load("weights.pt", weights_only=True)
    torch.testing.assert_close(_weights(folder / "last.ckpt"), steps[-1])


def test_what_is_reported_is_what_the_file_measures():
    folder = _train("run", "callbacks=ema", "callbacks.weight_averaging.decay=0.9")
    reported = json.loads(Path("run/metrics.json").read_text())
    evaluate(["task=classify", f"checkpoint={folder / 'best.ckpt'}", "output=again.json"])
    again = json.loads(Path("again.json").read_text())
    assert again["test/loss"] == pytest.approx(reported["test/loss"], rel=1e-5)
    assert ClassifyTask.load_from_checkpoint(folder / "best.ckpt").vocabulary.labels


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_a_stopped_run_ends_in_the_same_average(kind):
    options = [f"callbacks={kind}", "callbacks.weight_averaging.from_epoch=0"]
    whole = _train("whole", *options)
    with pytest.raises(SystemExit):
        _train("stopped", *options, STOP)
    main(["resume=stopped", "callbacks.kill=null"])
    for key in ("state_dict", "current_model_state"):
        assert _weights(Path("stopped/checkpoints/last.ckpt"), key).equal(_weights(whole / "last.ckpt", key))


@pytest.mark.parametrize(("wrong", "told"), [("decay=1.0", "decay: wanted"), ("from_epoch=-1", "from_epoch: wanted")])
def test_values_out_of_range_are_refused_before_training(wrong, told, capsys):
    with pytest.raises(SystemExit):
        _train("run", "callbacks=ema", f"callbacks.weight_averaging.{wrong}")
    assert f"callbacks.weight_averaging.{told}" in capsys.readouterr().err
    assert not Path("run/checkpoints").exists()
