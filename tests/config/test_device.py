"""The device of predict: one that this machine has, or one message."""

import pytest
import torch

from lstm_readout.config.device import usable_device
from lstm_readout.errors import UserError


def test_the_processor_is_always_there():
    assert usable_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["typo", "cuda:99", None, 3, "meta", "xla"])
def test_what_is_not_there_is_refused(name):
    with pytest.raises(UserError, match=f"device: there is no '{name}' on this machine. Valid: cpu"):
        usable_device(name)


def test_gpu_is_the_one_that_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [usable_device(name) for name in ("gpu", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
