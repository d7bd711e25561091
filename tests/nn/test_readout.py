"""Each readout against the definition, row after row, with raw torch.nn.LSTM."""

from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from lstm_readout.errors import UserError
from lstm_readout.models import Classifier
from lstm_readout.nn.lstm import LSTM
from lstm_readout.nn.readout import READOUTS, Readout, build_readout, readout_size

NAMES = list(READOUTS)


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
    readout = build_readout(name, lstm)
    rows = [torch.randn(length, 3) for length in lengths]
    got = readout(lstm(pack_sequence(rows, enforce_sorted=False)))
    assert got.shape == (len(rows), readout_size(readout, lstm))
    for vector, row in zip(got, rows, strict=True):
        torch.testing.assert_close(vector, expected(name, readout, lstm, row))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_first", [False, True])
def test_dense_tensors_read_alike(name, batch_first):
    lstm = LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    readout = build_readout(name, lstm)
    rows = torch.randn(5, 6, 3)  # (batch, steps, features)
    got = readout(lstm(rows if batch_first else rows.transpose(0, 1)))
    torch.testing.assert_close(got, readout(lstm(pack_sequence(list(rows)))))
    torch.testing.assert_close(readout(lstm(rows[0])), got[0])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_definition(name):
    lstm = LSTM(3, 4, num_layers=2)
    readout = build_readout(name, lstm)
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
    torch.testing.assert_close(
        build_readout("last", lstm)(result), build_readout("last_step", lstm)(result), rtol=0, atol=0
    )


def test_a_gru_has_no_cell_to_read():
    with pytest.raises(UserError, match=r"readout=cell: a gru has no c_n\. Set cell=lstm, or readout=last\."):
        build_readout("cell", LSTM(3, 4, cell="gru"))


def test_an_unknown_readout_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"there is no 'meen'\. Did you mean 'mean'"):
        build_readout("meen", LSTM(3, 4))


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_default_line_of_the_classifier_reads_what_its_readout_reads(batch_first):
    model = Classifier(vocab_size=9, num_classes=3, num_layers=2, output_dropout=0.5, batch_first=batch_first).eval()
    documents = pack_sequence([torch.randint(9, (length,)) for length in (2, 5, 1)], enforce_sorted=False)
    assert torch.equal(model(documents), model.head(model.readout(model.encoder(documents))))
    assert model.reads_one_state
    assert not Classifier(vocab_size=9, num_classes=3, bidirectional=True).reads_one_state


class Halves(Readout):
    """The mean of the lowest and the top layer: what a reader's own readout looks like."""

    expression = "({h_lowest} + {h_top}) / 2"
    sentence = "the mean of the lowest and the top layer {at_its_end}"
    h_n = ("lowest layer", "top layer")
    plain = ("document = ({h_lowest} + {h_top}) / 2",)

    def forward(self, lstm):
        return (self.lowest(lstm.h_n) + self.top(lstm.h_n)) / 2


class WithHalves(Classifier):
    readouts: ClassVar = {**READOUTS, "halves": Halves}


def test_a_readout_of_ones_own_is_one_class_in_the_table_of_a_classifier():
    model = WithHalves(vocab_size=9, num_classes=3, num_layers=2, bidirectional=True, readout="halves").eval()
    documents = pack_sequence([torch.randint(9, (length,)) for length in (2, 5, 1)], enforce_sorted=False)
    h_n = model.encoder(documents).h_n
    by_hand = (torch.cat((h_n[0], h_n[1]), dim=-1) + torch.cat((h_n[2], h_n[3]), dim=-1)) / 2
    torch.testing.assert_close(model(documents), model.head(by_hand))
    assert model.readout.text(Halves.expression) == "(cat(h_n[0], h_n[1]) + cat(h_n[-2], h_n[-1])) / 2"
    again = WithHalves(**model.arguments)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(documents), model(documents))
    with pytest.raises(UserError, match=r"there is no 'halfs'\. Did you mean 'halves'"):
        WithHalves(vocab_size=9, num_classes=3, readout="halfs")
    with pytest.raises(UserError, match="there is no 'halves'"):
        Classifier(**model.arguments)


def test_the_rows_of_a_layer_are_those_of_both_directions():
    readout = build_readout("concat", LSTM(3, 4, num_layers=3, bidirectional=True))
    assert readout.rows(["top layer"], 3) == (4, 5)
    assert readout.rows(["top layer", "lowest layer"], 3) == (0, 1, 4, 5)
    assert readout.rows(["top layer", "lowest layer"], 1) == (0, 1)
    assert readout.rows([], 3) == ()
