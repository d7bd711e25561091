"""Which epoch counts as the best: the last that is not clearly worse."""

import math
from types import SimpleNamespace

import pytest
import torch

from lstm_readout.training.callbacks.best_checkpoint import BestCheckpoint

ALONE = SimpleNamespace(strategy=SimpleNamespace(reduce_boolean_decision=bool))


def saved(scores, margin, mode="max"):
    """Return the epochs that are saved: the last of them is the best checkpoint."""
    callback = BestCheckpoint(monitor="val/accuracy", mode=mode, standard_errors=1.0)
    callback.margin = margin
    return [epoch for epoch, score in enumerate(scores) if callback.check_monitor_top_k(ALONE, torch.tensor(score))]


@pytest.mark.parametrize(
    ("scores", "margin", "mode", "last"),
    [
        ([0.5, 0.70, 0.69, 0.66], 0.05, "max", 3),
        ([0.5, 0.70, 0.69, 0.64], 0.05, "max", 2),
        ([0.5, 0.70, 0.66, 0.62], 0.05, "max", 2),  # measured from the best, not from the last that was saved
        ([0.5, 0.70, 0.69, 0.66], 0.0, "max", 1),
        ([0.7, 0.70], 0.0, "max", 1),
        ([2.0, 1.5, 1.6, 1.55], 0.0, "min", 1),
        ([math.nan, 0.3, math.nan], 0.0, "max", 1),
    ],
)
def test_a_later_epoch_is_kept_unless_it_is_clearly_worse(scores, margin, mode, last):
    assert saved(scores, margin, mode)[-1] == last


def test_a_resumed_run_remembers_the_best_score():
    callback = BestCheckpoint(monitor="val/accuracy", mode="max", standard_errors=1.0)
    assert callback.check_monitor_top_k(ALONE, torch.tensor(0.9))
    resumed = BestCheckpoint(monitor="val/accuracy", mode="max", standard_errors=1.0)
    resumed.load_state_dict(callback.state_dict())
    assert not resumed.check_monitor_top_k(ALONE, torch.tensor(0.8))
