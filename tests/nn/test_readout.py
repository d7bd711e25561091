"""Each readout against the definition, row after row, with raw torch.nn.LSTM."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from lstm_readout.errors import UserError
from lstm_readout.nn.lstm import LSTM
from lstm_readout.nn.readout import Readout

NAMES = ["last", "last_step", "mean", "max", "attention", "concat", "first_layer", "cell"]


def expected(name, readout, lstm, row):
    """Say what a readout is, for one row (T, I) alone."""
    output, (h_n, c_n) = lstm.rnn(row)
    two = lstm.rnn.bidirectional
    last = torch.cat((h_n[-2], h_n[-1])) if two else h_n[-1]
    if name == "attention":
        scores = readout.query(torch.tanh(readout.projection(output)))
        return (scores.softmax(0) * output).sum(0)
    return {
        "last": last,
        "last_step": output[-1],
        "mean": output.mean(0),
        "max": output.max(0).values,
        "concat": torch.cat((last, output.mean(0), output.max(0).values)),
        "first_layer": torch.cat((h_n[0], h_n[1])) if two else h_n[0],
        "cell": torch.cat((c_n[-2], c_n[-1])) if two else c_n[-1],
    }[name]


@pytest.mark.parametrize("name", NAMES)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    proj_size=st.sampled_from([0, 2]),
)
def test_a_readout_of_a_batch_is_that_of_each_row_alone(name, lengths, layers, bidirectional, proj_size):
    torch.manual_seed(0)
    lstm = LSTM(3, 4, num_layers=layers, bidirectional=bidirectional, proj_size=proj_size)
    readout = Readout(name, lstm)
    rows = [torch.randn(length, 3) for length in lengths]
    got = readout(lstm(pack_sequence(rows, enforce_sorted=False)))
    assert got.shape == (len(rows), readout.size)
    for vector, row in zip(got, rows, strict=True):
        torch.testing.assert_close(vector, expected(name, readout, lstm, row))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_first", [False, True])
def test_dense_tensors_read_alike(name, batch_first):
    lstm = LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    readout = Readout(name, lstm)
    rows = torch.randn(5, 6, 3)  # (batch, steps, features)
    got = readout(lstm(rows if batch_first else rows.transpose(0, 1)))
    torch.testing.assert_close(got, readout(lstm(pack_sequence(list(rows)))))
    torch.testing.assert_close(readout(lstm(rows[0])), got[0])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_definition(name):
    lstm = LSTM(3, 4, num_layers=2)
    readout = Readout(name, lstm)
    rows = [torch.randn(length, 3) for length in (2, 5, 1)]
    parameters = [*lstm.parameters(), *readout.parameters()]
    got = torch.autograd.grad(
        readout(lstm(pack_sequence(rows, enforce_sorted=False))).sum(), parameters, allow_unused=True
    )
    alone = sum(expected(name, readout, lstm, row).sum() for row in rows)
    for one, other in zip(got, torch.autograd.grad(alone, parameters, allow_unused=True), strict=True):
        assert (one is None or not one.any()) if other is None else torch.allclose(one, other, atol=1e-5)


def test_one_direction_reads_the_same_twice():
    lstm = LSTM(3, 4, num_layers=2)
    result = lstm(pack_sequence([torch.randn(3, 3), torch.randn(5, 3)], enforce_sorted=False))
    torch.testing.assert_close(Readout("last", lstm)(result), Readout("last_step", lstm)(result), rtol=0, atol=0)


def test_a_gru_has_no_cell_to_read():
    with pytest.raises(UserError, match=r"readout=cell: a gru has no c_n\. Set cell=lstm, or readout=last\."):
        Readout("cell", LSTM(3, 4, cell="gru"))


def test_an_unknown_readout_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"there is no 'meen'\. Did you mean 'mean'"):
        Readout("meen", LSTM(3, 4))
