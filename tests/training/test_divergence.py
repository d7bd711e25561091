"""A diverged training: where it stops, what it says, and what it leaves."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lstm_readout.commands.train import main
from lstm_readout.errors import UserError
from lstm_readout.training.callbacks.divergence import Divergence
from lstm_readout.training.finite_csv_logger import FiniteCSVLogger
from lstm_readout.training.finite_weights import not_finite

SMALL = ["data.max_rows=150", "trainer.max_epochs=3", "model.hidden_size=6", "baselines=off", "doctor=off"]


class Scripted(LightningModule):
    """Its loss at each batch is the next of a list; its one weight stays finite unless told."""

    def __init__(self, losses: list[float], validation: list[float] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.losses, self.validation = iter(losses), iter(validation or [])
        self.batches = len(losses)

    def training_step(self, batch, batch_idx):
        return self.weight.sum() * 0 + next(self.losses)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", next(self.validation))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.25)

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.zeros(self.batches)))


class ScriptedAndValidated(Scripted):
    def val_dataloader(self):
        return DataLoader(TensorDataset(torch.zeros(1)))


def fit(module: LightningModule, *, divergence: Divergence | None = None, **options) -> None:
    given: dict[str, Any] = {"max_epochs": 1, "log_every_n_steps": 1} | options
    trainer = Trainer(
        **given,
        callbacks=[divergence or Divergence()],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)


ignore = pytest.mark.filterwarnings("ignore:.*(val_dataloader|many workers|validation loop|isinstance.treespec)")


@ignore
@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ([2.0, 1.0, math.nan], r"step 3: the loss is nan \(best 1\); learning rate 0.25, gradient norm 0"),
        ([2.0, -math.inf], "step 2: the loss is -inf"),
        ([math.inf, 1.0], "step 1: the loss is inf;.*No learning rate can mend this"),
        ([2.0, 1.0, 1000.5], r"step 3: the loss is 1000 \(best 1\)"),
        ([4e6, 3e6, 3.1e9], r"step 3: the loss is 3.1e\+09"),
    ],
)
def test_it_stops_at_the_step_and_says_which(losses, found):
    with pytest.raises(UserError, match=rf"the training diverged at {found}"):
        fit(Scripted([*losses, 1.0]))


@ignore
@pytest.mark.parametrize(
    "losses",
    [
        [0.7, 1e-6, 20.0],  # one odd row after all others were learned by heart
        [1e6, 1.0, 999.0],  # squared errors
        [-5.0, -6.0, 100.0],  # a loss without a lower bound of 0: its scale is not known
        [0.0, 0.0, 3.0],
    ],
)
def test_a_loss_that_only_rises_is_no_divergence(losses):
    module = Scripted(losses)
    fit(module)
    assert next(module.losses, None) is None, "every step was taken"


@ignore
def test_the_step_counts_optimizer_steps():
    with pytest.raises(UserError, match=r"at step 2: the loss is nan \(best 2\)"):
        fit(Scripted([2.0, 2.0, 2.0, math.nan]), accumulate_grad_batches=2)


@ignore
def test_a_resumed_run_remembers_the_best_loss():
    first = Divergence()
    fit(Scripted([2.0, 1.0]), divergence=first)
    second = Divergence()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    with pytest.raises(UserError, match=r"the loss is 1500 \(best 1\)"):
        fit(Scripted([1500.0]), divergence=second)


@ignore
def test_the_validation_loss_counts_as_well():
    with pytest.raises(UserError, match=r"step 4: the validation loss is 4000 \(best 3\)"):
        fit(ScriptedAndValidated([1.0] * 6, [3.0, 4000.0]), val_check_interval=2, num_sanity_val_steps=0)


class Overflowing(Scripted):
    def training_step(self, batch, batch_idx):
        return 8 * self.weight.sum()


@ignore
def test_a_step_that_the_gradient_scaler_skips_is_no_divergence():
    module = Overflowing([0.0] * 8)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)  # 8 times that is beyond float32
    fit(module, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    taken = (1 - module.weight[0]) / (8 * 0.25)
    assert 0 < taken < 8, "some steps were skipped, later ones were not"


@ignore
def test_weights_that_no_loss_reads_are_looked_at_too():
    module = Scripted([1.0, 1.0])
    module.unused = nn.Parameter(torch.tensor([1.0, math.nan]))
    with pytest.raises(UserError, match=r"at step 0: unused is not finite.*No learning rate can mend this"):
        fit(module)


def test_a_sum_that_overflows_is_finite():
    assert not_finite([("large", torch.full((9,), 3e38)), ("ids", torch.arange(3)), ("none", torch.zeros(0))]) is None
    wrong = torch.tensor([0.0, -math.inf], dtype=torch.bfloat16)
    assert not_finite([("large", torch.full((9,), 3e38)), ("wrong", wrong)]) == "wrong"


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *overrides: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*SMALL, "hydra.run.dir=run", *overrides])
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def all_finite(folder: Path) -> set[str]:
    """Return the names of the checkpoints; fail if one has a weight that is not finite."""
    paths = list(folder.glob("*.ckpt"))
    for path in paths:
        weights: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
        assert all(weight.isfinite().all() for weight in weights.values()), path
    return {path.name for path in paths}


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    "overrides",
    [
        ["task=classify"],
        ["task=translate", "trainer.accumulate_grad_batches=2"],
        ["task=generate", "trainer.precision=bf16-mixed"],
        ["task=classify", "callbacks=ema"],
        ["task=classify", "callbacks.divergence=null"],  # the validation of the first epoch still finds it
    ],
)
def test_a_diverged_run_ends_with_an_error_and_leaves_no_nan(overrides, capsys):
    line = refused(capsys, *overrides, "optimizer.lr=1e37", "trainer.log_every_n_steps=1")
    assert "the training diverged at step" in line
    assert "optimizer.lr" in line
    assert all_finite(Path("run/checkpoints")) <= {"last.ckpt"}, "that of the first step, if it was sound"
    for path in [*Path("run").glob("*.json"), *Path("run").glob("*.csv")]:
        assert not {"nan", "inf", "NaN", "Infinity"} & set(path.read_text().replace(",", " ").split()), path


@pytest.mark.usefixtures("_own_folder")
def test_earlier_checkpoints_stay_and_none_holds_nan(capsys):
    poison = "+callbacks.poison={_target_: lstm_readout_test_tools.SpoilWeights, step: 12}"
    every = "+callbacks.each={_target_: lightning.pytorch.callbacks.ModelCheckpoint, every_n_train_steps: 1}"
    line = refused(capsys, "task=classify", poison, every, "+callbacks.each.save_top_k=-1")
    assert "step 13: the loss is nan" in line
    assert "Earlier checkpoints stay: run/" in line
    assert all_finite(Path("run/checkpoints")) >= {"best.ckpt", "last.ckpt", "epoch=0-step=1.ckpt"}


def test_the_log_has_an_empty_cell_for_what_is_undefined(tmp_path):
    logger = FiniteCSVLogger(str(tmp_path), name="", version="")
    logger.log_metrics({"a": math.nan, "b": torch.tensor(2.0)}, step=1)
    logger.log_metrics({"a": 1.0, "b": torch.tensor(math.inf)}, step=2)
    logger.save()
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().split()]
    assert rows[0] == ["a", "b", "step"]
    assert rows[1:] == [["", "2.0", "1"], ["1.0", "", "2"]]
