"""``LSTM`` as code written for ``nn.LSTM`` uses it, and with weights of any scale."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from lstm_readout import LSTM
from lstm_readout.errors import UserError
from lstm_readout.models import Classifier
from lstm_readout.nn.lstm import LSTMState

LENGTHS = (2, 9, 4, 4, 1)
ENGINES = ("auto", "runs", "padded", "packed")


def ragged(dtype: torch.dtype = torch.float32) -> PackedSequence:
    return pack_sequence([torch.randn(length, 3, dtype=dtype) for length in LENGTHS], enforce_sorted=False)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("packed", [True, False])
def test_a_state_may_be_the_tuple_that_nn_lstm_takes(engine, packed):
    lstm = LSTM(3, 4, num_layers=2, engine=engine)
    input = ragged() if packed else torch.randn(6, 5, 3)
    state = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    expected, (h_n, c_n) = lstm.rnn(input, state)
    for given in (state, list(state), LSTMState(*state)):
        output, h, c = lstm(input, given)
        torch.testing.assert_close(output.data, expected.data)
        torch.testing.assert_close((h, c), (h_n, c_n))


@pytest.mark.parametrize("cell", ["gru", "rnn"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_cell_without_c_takes_h_alone(cell, engine):
    lstm, input, h_0 = LSTM(3, 4, cell=cell, engine=engine), ragged(), torch.randn(1, 5, 4)
    _, h_n = lstm.rnn(input, h_0)
    torch.testing.assert_close(lstm(input, h_0).h_n, h_n)
    torch.testing.assert_close(lstm(input, LSTMState(h_0)).h_n, h_n)


@pytest.mark.parametrize("input", [ragged(), torch.randn(6, 5, 3)], ids=["packed", "dense"])
def test_h_alone_is_refused_where_there_is_a_c(input):
    with pytest.raises(UserError, match=r"state: wanted \(h_0, c_0\), got one Tensor"):
        LSTM(3, 4)(input, torch.zeros(1, 5, 4))


@pytest.mark.filterwarnings("ignore:.*(deprecated|TypedStorage|quantize)")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_quantised_lstm_reads_packed_rows(bidirectional):
    lstm = LSTM(3, 4, num_layers=2, bidirectional=bidirectional).eval()
    quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(lstm), {nn.LSTM}, dtype=torch.qint8)
    assert type(quantised.rnn) is not nn.LSTM
    input = ragged()
    expected, (h_n, c_n) = quantised.rnn(input)
    output, h, c = quantised(input)
    torch.testing.assert_close(output.data, expected.data)
    torch.testing.assert_close((h, c), (h_n, c_n))
    torch.testing.assert_close(h, lstm(input).h_n, atol=0.05, rtol=0)


@pytest.mark.filterwarnings("ignore:.*(deprecated|not supported in Python)")
@pytest.mark.parametrize(
    "module", [LSTM(3, 4), Classifier(vocab_size=5, num_classes=2, embedding_size=3, hidden_size=4)]
)
def test_torchscript_is_refused_in_words(module):
    with pytest.raises(UserError, match="LSTM cannot be compiled"):
        torch.jit.script(module)


# The constant that holds c_n through padding must be larger than whatever the weights add up to


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("engine", ENGINES)
def test_c_n_holds_with_weights_of_any_scale(scale, dtype, engine):
    lstm = LSTM(3, 40, num_layers=2, bidirectional=True, engine=engine).to(dtype)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(scale)
    input = ragged(dtype)
    input.data.requires_grad_()
    _, (h_n, c_n) = lstm.rnn(input)
    (expected,) = torch.autograd.grad(c_n.sum(), input.data, retain_graph=True)
    result = lstm(input)
    # Such weights amplify rounding in float32; a c_n that is not held is off by 1 and more
    close: dict[str, Any] = {"atol": 0.02, "rtol": 0.02} if dtype == torch.float32 else {}
    torch.testing.assert_close((result.h_n, result.c_n), (h_n, c_n), **close)
    if dtype == torch.float32:
        return
    (gradient,) = torch.autograd.grad(result.c_n.sum(), input.data)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("engine", ["runs", "padded"])
def test_c_n_holds_in_half_precision(dtype, engine):
    lstm, input = LSTM(3, 4, engine=engine).to(dtype), ragged(dtype)
    whole = copy.deepcopy(lstm).float()
    try:
        _, (h_n, c_n) = whole.rnn(PackedSequence(input.data.float(), *input[1:]))
        result = lstm(input)
    except RuntimeError as error:
        pytest.skip(f"this processor has no such LSTM: {error}")
    torch.testing.assert_close((result.h_n.float(), result.c_n.float()), (h_n, c_n), atol=0.02, rtol=0.02)
