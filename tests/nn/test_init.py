"""How an LSTM starts, against the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lstm_readout import LSTM
from lstm_readout.errors import UserError

H = 4000  # units, so that a mean over them is near its expectation


def test_forget_bias_is_added_to_the_forget_gate_alone() -> None:
    torch.manual_seed(3)
    plain = LSTM(3, 4, num_layers=2, bidirectional=True)
    torch.manual_seed(3)
    biased = LSTM(3, 4, num_layers=2, bidirectional=True, forget_bias=1.0)
    for (name, before), after in zip(plain.rnn.named_parameters(), biased.rnn.parameters(), strict=True):
        added = torch.zeros_like(before)
        if name.startswith("bias_ih"):
            added[4:8] = 1.0
        assert torch.equal(after, before + added), name


def test_orthogonal_recurrent_matrices_keep_lengths() -> None:
    lstm = LSTM(3, 8, num_layers=2, recurrent_init="orthogonal", forget_bias=1.0)
    for layer in range(2):
        for gate in getattr(lstm.rnn, f"weight_hh_l{layer}").split(8):
            torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)


@pytest.mark.parametrize("longest", [3.0, 400.0])
def test_chrono_holds_each_unit_for_a_time_drawn_evenly(longest: float) -> None:
    torch.manual_seed(0)
    rnn = LSTM(1, H, chrono_init=longest).rnn
    bias = (rnn.bias_ih_l0 + rnn.bias_hh_l0).detach()
    gates = dict(zip(("input", "forget", "cell", "output"), bias.split(H), strict=True))
    assert torch.equal(gates["input"], -gates["forget"])
    steps = gates["forget"].exp()  # a gate of sigmoid(log(t)) forgets 1 part in t + 1 at each step
    assert steps.min() >= 1
    assert steps.max() <= longest - 1 + 1e-3
    width = longest - 2  # of the uniform distribution
    assert steps.mean().item() == pytest.approx(1 + width / 2, abs=5 * width / math.sqrt(12 * H))
    assert steps.std().item() == pytest.approx(width / math.sqrt(12), rel=0.05)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_chrono_changes_the_gates_that_keep_and_nothing_else(cell: str) -> None:
    arguments = {"num_layers": 2, "bidirectional": True, "cell": cell}
    torch.manual_seed(3)
    plain = LSTM(3, 4, **arguments)
    torch.manual_seed(3)
    chrono = LSTM(3, 4, **arguments, chrono_init=50.0)
    changed = {"lstm": [0, 1], "gru": [1], "rnn": []}[cell]  # of PyTorch's order of gates
    drawn = []
    for (name, before), after in zip(plain.rnn.named_parameters(), chrono.rnn.parameters(), strict=True):
        for number, (old, new) in enumerate(zip(before.split(4), after.split(4), strict=True)):
            assert torch.equal(old, new) == ("weight" in name or number not in changed), (name, number)
        if name.startswith("bias_ih") and changed:
            drawn.append(after[4:8])
    assert len({tuple(one.tolist()) for one in drawn}) == len(drawn)  # each layer and direction has its own


def test_a_gru_keeps_for_as_many_steps_as_chrono_says() -> None:
    lstm = LSTM(1, 1, cell="gru", chrono_init=2.0 + 1e-6)  # log(1): half of what it holds at each step
    with torch.no_grad():
        for name, parameter in lstm.rnn.named_parameters():
            if name.startswith("weight"):
                parameter.zero_()
        lstm.rnn.bias_ih_l0[2], lstm.rnn.bias_hh_l0[2] = 0.0, 0.0  # what is new
    assert isinstance(lstm.rnn, nn.GRU)
    output, _ = lstm.rnn(torch.zeros(3, 1, 1), torch.ones(1, 1, 1))
    torch.testing.assert_close(output.flatten(), torch.tensor([0.5, 0.25, 0.125]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recurrent_init": "ortogonal"}, "recurrent_init: there is no 'ortogonal'. Did you mean 'orthogonal'"),
        ({"chrono_init": 2.0}, "chrono_init: wanted 0 or more than 2 steps, got 2.0"),
        ({"chrono_init": -1.0}, "chrono_init: wanted 0 or more than 2 steps, got -1.0"),
        ({"chrono_init": 9.0, "forget_bias": 1.0}, "Set forget_bias=0, or chrono_init=0"),
    ],
)
def test_mistakes_are_told(wrong: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LSTM(3, 5, **wrong)
