"""Dropout over sequences, and what is dropped inside an LSTM: each against its formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from lstm_readout.errors import UserError
from lstm_readout.models import LanguageModel
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.lstm import LSTM, LSTMState
from lstm_readout.nn.packed import step_before

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def _packed(lengths: list[int], features: int) -> PackedSequence:
    return pack_sequence([torch.rand(length, features) + 0.5 for length in lengths], enforce_sorted=False)


@settings(max_examples=30)
@given(LENGTHS)
def test_a_locked_mask_is_the_same_at_all_steps_of_a_row(lengths: list[int]) -> None:
    packed = _packed(lengths, 64)
    dropped, _ = pad_packed_sequence(SequenceDropout(0.5)(packed))
    given, _ = pad_packed_sequence(packed)
    for row, length in enumerate(lengths):
        mask = dropped[:length, row] / given[:length, row]  # (T, F)
        assert mask.equal(mask[:1].expand_as(mask))
        assert torch.isclose(mask, torch.tensor(0.0)).logical_or(torch.isclose(mask, torch.tensor(2.0))).all()
    if len(lengths) > 1:
        assert not (dropped[0, 0] == 0).equal(dropped[0, 1] == 0)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_tensor_is_locked_along_time(batch_first: bool) -> None:
    mask = SequenceDropout(0.5, batch_first=batch_first)(torch.ones(7, 5, 32))
    time = 1 if batch_first else 0
    assert mask.equal(mask.narrow(time, 0, 1).expand_as(mask))
    assert not mask.equal(mask.narrow(1 - time, 0, 1).expand_as(mask))
    alone = SequenceDropout(0.5, batch_first=batch_first)(torch.ones(7, 32))
    assert alone.equal(alone[:1].expand_as(alone))


def test_an_unlocked_mask_is_that_of_torch() -> None:
    packed = _packed([5, 3], 16)
    torch.manual_seed(0)
    dropped = SequenceDropout(0.3, locked=False)(packed).data
    torch.manual_seed(0)
    assert dropped.equal(nn.functional.dropout(packed.data, 0.3))


def test_nothing_is_dropped_in_evaluation() -> None:
    packed = _packed([5, 3], 16)
    assert SequenceDropout(0.9).eval()(packed) is packed


@settings(max_examples=30)
@given(LENGTHS)
def test_the_step_before_is_that_of_the_same_row(lengths: list[int]) -> None:
    packed = pack_sequence(
        [torch.arange(length) + 100 * row for row, length in enumerate(lengths)], enforce_sorted=False
    )
    later = packed.data[int(packed.batch_sizes[0]) :]
    assert packed.data[step_before(packed)].equal(later - 1)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropped_recurrent_weights_are_those_of_one_draw(cell: str, bidirectional: bool) -> None:
    torch.manual_seed(1)
    lstm = LSTM(3, 5, num_layers=2, cell=cell, bidirectional=bidirectional, weight_drop=0.5)  # pyright: ignore
    packed = _packed([6, 2, 4], 3)
    torch.manual_seed(2)
    found = lstm(packed)
    torch.manual_seed(2)
    for weights in lstm.rnn.all_weights:  # the plain module, with the weights that the draw leaves
        weights[1].data = nn.functional.dropout(weights[1].data, 0.5)
    wanted = lstm.eval()(packed)
    torch.testing.assert_close(found.output.data, wanted.output.data)
    torch.testing.assert_close(found.h_n, wanted.h_n)


def test_dropped_weights_get_no_gradient_and_keep_their_names() -> None:
    torch.manual_seed(0)
    lstm = LSTM(3, 5, weight_drop=0.5)
    assert set(lstm.state_dict()) == set(LSTM(3, 5).state_dict())
    lstm(_packed([6, 2], 3)).output.data.sum().backward()
    gradient = lstm.rnn.weight_hh_l0.grad
    assert isinstance(gradient, Tensor)
    assert 0.3 < float((gradient == 0).float().mean()) < 0.7


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_a_tensor_takes_the_same_way(batch_first: bool, alone: bool) -> None:
    lstm = LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=batch_first, dropout=0.0, weight_drop=1e-9)
    steps = torch.randn(6, 3) if alone else torch.randn(6, 4, 3)
    state = LSTMState(*(torch.randn(4, 5) if alone else torch.randn(4, 6 if batch_first else 4, 5) for _ in "hc"))
    found = lstm(steps, state)  # so small a rate drops nothing, but goes the way of those that do
    output, (h_n, c_n) = lstm.rnn(steps, (state.h, state.c))
    torch.testing.assert_close(found.output, output)
    torch.testing.assert_close(found.h_n, h_n)
    torch.testing.assert_close(found.c_n, c_n)


def test_dropout_between_layers_is_locked_when_asked() -> None:
    lstm = LSTM(4, 6, num_layers=2, dropout=0.5, locked_dropout=True)
    with torch.no_grad():  # a second layer that shows what it reads: h = tanh of its input, at every step alone
        for name, parameter in lstm.rnn.named_parameters():
            if name.endswith("_l1"):
                parameter.zero_()
        lstm.rnn.weight_ih_l1[12:18] = torch.eye(6)  # cell gate
        lstm.rnn.bias_ih_l1[:6], lstm.rnn.bias_ih_l1[6:12], lstm.rnn.bias_ih_l1[18:] = 50.0, -50.0, 50.0
    torch.manual_seed(3)
    zero, _ = pad_packed_sequence(lstm(_packed([9, 9, 9], 4)).output)
    gone = zero == 0  # (T, B, O)
    assert gone.equal(gone[:1].expand_as(gone))
    assert gone.any()
    assert not gone.all()


def test_penalties_on_activations_follow_their_formula() -> None:
    torch.manual_seed(0)
    model = LanguageModel(vocab_size=11, embedding_size=4, hidden_size=6)
    inputs = pack_sequence([torch.randint(11, (n,)) for n in (5, 3, 1)], enforce_sorted=False)
    targets = torch.randint(11, (9,))
    plain, _ = model.loss(inputs, targets)
    with_both, _ = model.loss(inputs, targets, activation=2.0, temporal_activation=3.0)
    output, lengths = pad_packed_sequence(model.encoder(inputs).output)
    rows = [output[:n, row] for row, n in enumerate(lengths.tolist())]
    squares = torch.cat(rows).square().mean()
    changes = torch.cat([row[1:] - row[:-1] for row in rows]).square().mean()
    torch.testing.assert_close(with_both, plain + 2 * squares + 3 * changes)
    model.eval()
    torch.testing.assert_close(model.loss(inputs, targets, activation=2.0)[0], plain)


def test_windows_of_one_step_have_no_change_to_penalise() -> None:
    model = LanguageModel(vocab_size=11, embedding_size=4, hidden_size=6)
    inputs = pack_sequence([torch.tensor([3])])
    plain, _ = model.loss(inputs, torch.tensor([4]))
    torch.testing.assert_close(model.loss(inputs, torch.tensor([4]), temporal_activation=3.0)[0], plain)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weight_drop": 1.0}, "weight_drop: wanted 0 or more and less than 1, got 1.0"),
    ],
)
def test_mistakes_are_told(wrong: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LSTM(3, 5, **wrong)
