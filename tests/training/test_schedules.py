"""Schedules of the learning rate: each against its formula, at the edges, and after a run that was stopped."""

from __future__ import annotations

import math
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from lstm_readout.commands.train import main
from lstm_readout.errors import UserError
from lstm_readout.training import schedules

LR = 0.5


def optimizer(kind=SGD, lr=LR, **options):
    return kind([nn.Parameter(torch.zeros(1))], lr=lr, **options)


def rates(build, steps, **options):
    """Return the learning rate of each step."""
    steps_of = optimizer()
    schedule = build(steps_of, **options)
    found = []
    for _ in range(steps):
        found.append(steps_of.param_groups[0]["lr"])
        steps_of.step()
        schedule.step()
    return found


def slanted(t, total, cut_frac, ratio):
    """Return equation 3 of Howard and Ruder 2018, as it is printed."""
    cut = math.floor(total * cut_frac)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return LR * (1 + p * (ratio - 1)) / ratio


def falling(t, total, warm, final, shape):
    if t < warm:
        return LR * (t + 1) / warm
    return LR * (final + (1 - final) * shape((t - warm) / (total - warm)))


# Vaswani et al. 2017, equation 3, scaled so that its peak is lr: min(s^-0.5, s * warm^-1.5) * warm^0.5
FORMULAS = {
    "linear": ({"warmup": 0.1, "final": 0.2}, lambda t: falling(t, 60, 6, 0.2, lambda x: 1 - x)),
    "cosine": ({"warmup": 0.1}, lambda t: falling(t, 60, 6, 0.0, lambda x: (1 + math.cos(math.pi * x)) / 2)),
    "inverse_sqrt": ({"warmup": 9}, lambda t: LR * min((t + 1) ** -0.5, (t + 1) * 9**-1.5) * 9**0.5),
    "slanted_triangular": ({"cut_frac": 0.1, "ratio": 32.0}, lambda t: slanted(t, 60, 0.1, 32)),
    "constant": ({"warmup": 5}, lambda t: LR * min(1, (t + 1) / 5)),
}


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_a_schedule_is_its_formula(name):
    options, formula = FORMULAS[name]
    found = rates(getattr(schedules, name), 60, total_steps=60, **options)
    assert found == pytest.approx([formula(t) for t in range(60)])
    assert max(found) == pytest.approx(LR)


def test_one_cycle_is_torchs_with_the_same_peak():
    found = rates(schedules.one_cycle, 50, total_steps=50, warmup=0.3)
    expected = rates(lambda o: OneCycleLR(o, max_lr=LR, total_steps=50, cycle_momentum=False), 50)
    assert found == pytest.approx(expected)
    assert found[14] == LR
    assert found[0] == pytest.approx(LR / 25)
    assert found[-1] == pytest.approx(LR / 25 / 1e4)


def test_momentum_turns_with_the_cycle_if_asked_to():
    for cycle in (False, True):
        adam = optimizer(AdamW, betas=(0.9, 0.999))
        schedule = schedules.one_cycle(adam, total_steps=10, cycle_momentum=cycle)
        betas = []
        for _ in range(9):
            adam.step()
            schedule.step()
            betas.append(adam.param_groups[0]["betas"][0])
        assert min(betas) == pytest.approx(0.85 if cycle else 0.9, abs=1e-3)


def test_warm_up_is_a_share_or_a_number_of_steps():
    share = rates(schedules.linear, 40, total_steps=40, warmup=0.25)
    assert share == rates(schedules.linear, 40, total_steps=40, warmup=10)
    assert share[:10] == pytest.approx([LR * t / 10 for t in range(1, 11)])
    assert rates(schedules.linear, 3, total_steps=40, warmup=0)[0] == LR


SCHEDULES = st.sampled_from(["linear", "cosine", "inverse_sqrt", "slanted_triangular", "constant", "one_cycle"])


@given(SCHEDULES, st.integers(1, 40), st.floats(0, 50))
def test_every_length_has_a_rate_for_every_step(name, total, warmup):
    options = {} if name == "slanted_triangular" else {"warmup": warmup}
    found = rates(getattr(schedules, name), total, total_steps=total, **options)
    assert all(0 <= rate <= LR * (1 + 1e-9) for rate in found)


def test_a_plateau_warms_up_and_falls_as_torchs_does():
    mine, theirs = optimizer(), optimizer()
    rising, falls = schedules.plateau(mine, total_steps=100, warmup=4, mode="max", factor=0.5, patience=1)
    reference = ReduceLROnPlateau(theirs, "max", factor=0.5, patience=1)
    seen = []
    for _ in range(8):
        seen.append(mine.param_groups[0]["lr"])
        mine.step()
        rising.step()
    assert seen == pytest.approx([LR / 4, LR / 2, 3 * LR / 4, *[LR] * 5])
    for metric in (0.1, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.9, 0.1):
        falls.step(metric)
        reference.step(metric)
        mine.step()
        rising.step()
        assert mine.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"])
    assert mine.param_groups[0]["lr"] < LR / 2


def test_a_plateau_without_warm_up_is_torchs_alone():
    assert [type(one) for one in schedules.plateau(optimizer(), total_steps=None, warmup=0)] == [ReduceLROnPlateau]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linear", {"total_steps": None}, "scheduler=linear: wanted the number of steps, but a streamed corpus has no"),
        ("one_cycle", {"total_steps": None}, "scheduler=one_cycle: wanted the number of steps"),
        ("slanted_triangular", {"total_steps": None}, "scheduler=slanted_triangular: wanted the number of steps"),
        ("inverse_sqrt", {"total_steps": None}, "scheduler=inverse_sqrt: scheduler.warmup=0.05 is a share of the run"),
        ("plateau", {"total_steps": None}, "Set trainer.max_steps=..., or scheduler.warmup to a number of steps."),
        ("cosine", {"warmup": -1.0}, "scheduler.warmup: wanted 0 or more, got -1.0."),
        ("slanted_triangular", {"cut_frac": 1.0}, "scheduler.cut_frac: wanted more than 0 and less than 1, got 1.0."),
        ("slanted_triangular", {"ratio": 0.5}, "scheduler.ratio: wanted 1 or more, got 0.5."),
        ("plateau", {"factor": 1.0}, "scheduler.factor: wanted more than 0 and less than 1, got 1.0."),
        ("plateau", {"patience": -1}, "scheduler.patience: wanted 0 or more, got -1."),
        ("one_cycle", {"div_factor": 0.0}, "scheduler.div_factor: wanted more than 0, got 0.0."),
    ],
)
def test_what_cannot_be_is_refused(name, options, message):
    with pytest.raises(UserError) as error:
        getattr(schedules, name)(optimizer(), **{"total_steps": 10, **options})
    assert message in str(error.value)


def test_a_schedule_that_needs_no_end_runs_without_one():
    assert rates(schedules.inverse_sqrt, 8, total_steps=None, warmup=2)[7] == pytest.approx(LR / 2)
    assert rates(schedules.constant, 3, total_steps=None) == [LR] * 3


def test_a_cycle_that_goes_on_has_the_length_of_the_new_run():
    first, second = optimizer(), optimizer()
    begun, schedule = (schedules.one_cycle(one, total_steps=n) for one, n in ((first, 5), (second, 9)))
    for _ in range(5):
        first.step()
        begun.step()
    schedule.load_state_dict(begun.state_dict())
    for _ in range(4):
        second.step()
        schedule.step()
    assert second.param_groups[0]["lr"] > 0


# Whole runs

SMALL = ["task=classify", "data.max_rows=150", "data.batch_size=16", "model.hidden_size=8", "model.embedding_size=8"]
SMALL += ["doctor=off", "trainer.max_epochs=3"]
PLATEAU = ["scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=5.0", "scheduler.warmup=4"]


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def last(folder):
    return torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("schedule", "killer"),
    [
        (PLATEAU, f"SendSignal, step: 11, number: {int(signal.SIGINT)}"),
        (PLATEAU, "FailAfterEpoch, epoch: 1"),
    ],
    ids=["inside an epoch", "between epochs"],
)
def test_a_stopped_run_goes_on_with_the_same_rates(schedule, killer):
    given = [*SMALL, *schedule]
    main([*given, "hydra.run.dir=whole"])
    with pytest.raises(SystemExit):
        main([*given, f"+callbacks.killer={{_target_: lstm_readout_test_tools.{killer}}}", "hydra.run.dir=part"])
    main(["resume=part", "callbacks.killer=null"])
    whole, rest = last("whole"), last("part")
    (group,), (other,) = (state["optimizer_states"][0]["param_groups"] for state in (whole, rest))
    assert group["lr"] == other["lr"]
    assert "plateau" not in schedule[0] or group["lr"] == pytest.approx(5e-3 * 0.1**2)  # accuracy never grows six times
    assert whole["lr_schedulers"] == rest["lr_schedulers"]
    assert all(torch.equal(weight, rest["state_dict"][name]) for name, weight in whole["state_dict"].items())


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.limit_val_batches=0"], "scheduler=plateau: it waits for val/accuracy, but nothing is"),
        (["task.monitor=val/loss_of_hope"], "scheduler=plateau: it waits for task.monitor=val/loss_of_hope, which"),
    ],
)
def test_a_plateau_needs_something_to_wait_for(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*SMALL, *PLATEAU, *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/nope"],
            "EarlyStopping: it waits for monitor",
        ),
        (
            ["callbacks.best.monitor=val/los"],
            "monitor=val/los, which validation does not measure. Did you mean 'val/loss'?",
        ),
    ],
)
def test_a_callback_needs_something_to_wait_for(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*SMALL, *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
