from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from torch.testing import assert_close

from lstm_readout import LSTM, LSTMState
from lstm_readout.errors import UserError
from lstm_readout.models import Bridge, Seq2Seq

V, W = 9, 11  # source and target vocabulary
SOURCES = [torch.tensor(row) for row in ([3, 4, 5], [6, 7, 8, 3, 2], [4])]
TARGETS = [torch.tensor(row) for row in ([1, 9, 8, 7], [1], [1, 10])]


def build(**arguments: Any) -> Seq2Seq:
    arguments = {"embedding_size": 4, "hidden_size": 5, **arguments}
    return Seq2Seq(source_vocab_size=V, target_vocab_size=W, **arguments).double().eval()


def packed(rows: list[Tensor]) -> Any:
    return pack_sequence(rows, enforce_sorted=False)


@pytest.mark.parametrize("arguments", [{}, {"num_layers": 2}, {"proj_size": 3}, {"num_layers": 2, "proj_size": 3}])
def test_the_decoder_starts_from_the_encoders_h_n_and_c_n(arguments):
    model = build(**arguments)
    logits = unpack_sequence(model(packed(SOURCES), packed(TARGETS)).logits)
    encoder, decoder = model.encoder, model.decoder.encoder
    for ours, source, target in zip(logits, SOURCES, TARGETS, strict=True):  # each pair alone, in raw nn.LSTM
        _, (h_n, c_n) = encoder.lstm.rnn(encoder.embedding(source).unsqueeze(1))
        output, _ = decoder.lstm.rnn(decoder.embedding(target).unsqueeze(1), (h_n, c_n))
        assert_close(ours, model.decoder.head(output[:, 0]))


def test_a_bidirectional_encoder_hands_both_halves_through_the_bridge():
    model = build(bidirectional=True)
    logits = unpack_sequence(model(packed(SOURCES), packed(TARGETS)).logits)
    encoder, decoder = model.encoder, model.decoder.encoder
    (to_h,), (to_c,) = model.bridge.h, model.bridge.c
    for ours, source, target in zip(logits, SOURCES, TARGETS, strict=True):
        _, (h_n, c_n) = encoder.lstm.rnn(encoder.embedding(source).unsqueeze(1))  # (2, 1, H)
        first = torch.tanh(to_h(torch.cat((h_n[0], h_n[1]), -1))), to_c(torch.cat((c_n[0], c_n[1]), -1))
        output, _ = decoder.lstm.rnn(decoder.embedding(target).unsqueeze(1), (first[0][None], first[1][None]))
        assert_close(ours, model.decoder.head(output[:, 0]))


# Encoder, decoder, whether their states agree as they are
SIDES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({"num_layers": 2}, {"num_layers": 2}, True),
    ({"embedding_size": 3}, {}, True),
    ({"proj_size": 3}, {"proj_size": 3}, True),
    ({"cell": "gru"}, {"cell": "gru"}, True),
    ({"cell": "gru"}, {"cell": "rnn"}, True),
    ({"hidden_size": 6}, {}, False),
    ({"num_layers": 3}, {}, False),
    ({}, {"num_layers": 3}, False),
    ({"num_layers": 2, "hidden_size": 6}, {"num_layers": 3}, False),
    ({"bidirectional": True}, {}, False),
    ({"bidirectional": True, "num_layers": 2}, {"num_layers": 2}, False),
    ({"bidirectional": True, "num_layers": 3}, {"num_layers": 2, "hidden_size": 7}, False),
    ({"bidirectional": True}, {"num_layers": 2}, False),
    ({"bidirectional": True, "proj_size": 3}, {"proj_size": 2}, False),
    ({"proj_size": 3}, {}, False),
    ({}, {"proj_size": 3}, False),
    ({"hidden_size": 6, "proj_size": 3}, {"proj_size": 3}, False),
    ({"hidden_size": 6, "proj_size": 5}, {"cell": "gru"}, False),
    ({}, {"cell": "gru"}, False),
    ({"cell": "gru"}, {}, False),
    ({"cell": "rnn", "bidirectional": True, "num_layers": 2}, {"proj_size": 3}, False),
    ({"cell": "gru", "bidirectional": True}, {"cell": "gru"}, False),
    ({"cell": "gru", "hidden_size": 6}, {"cell": "rnn", "num_layers": 2}, False),
]


@pytest.mark.parametrize(("encoder", "decoder", "same"), SIDES, ids=str)
def test_any_two_sides_fit_together(encoder, decoder, same):
    model = build(encoder=encoder, decoder=decoder)
    assert (not model.bridge.h) == same

    state = model.encode(packed(SOURCES))
    rnn = model.decoder.encoder.lstm.rnn
    assert state.h.shape == (rnn.num_layers, 3, rnn.proj_size or rnn.hidden_size)
    lstm = decoder.get("cell", "lstm") == "lstm"
    assert state.c.shape == (rnn.num_layers, 3, rnn.hidden_size) if lstm else state.c is None

    logits = model(packed(SOURCES), packed(TARGETS)).logits
    assert [tuple(row.shape) for row in unpack_sequence(logits)] == [(4, W), (1, W), (2, W)]
    logits.data.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.bridge.parameters())
    assert model.encoder.embedding.weight.grad.any()
    # With a bridge down from more layers, those below the lowest one that is read are still below it
    assert all(p.grad is not None and p.grad.any() for p in model.encoder.lstm.parameters())


@pytest.mark.parametrize(("encoder", "decoder", "same"), [case for case in SIDES if not case[2]], ids=str)
def test_a_bridge_moves_no_row_and_batches_as_each_row_alone(encoder, decoder, same):
    model = build(encoder=encoder, decoder=decoder)
    h, c = model.encode(packed(SOURCES))
    for i, source in enumerate(SOURCES):
        alone = model.encode(packed([source]))
        assert_close(h[:, i : i + 1], alone.h)
        if c is not None:
            assert_close(c[:, i : i + 1], alone.c)


def test_bridge_is_the_identity_where_shapes_agree():
    bridge = Bridge(LSTM(3, 4, num_layers=2), LSTM(9, 4, num_layers=2))
    state = LSTMState(torch.randn(2, 3, 4), torch.randn(2, 3, 4))
    assert bridge(state) is state
    assert not list(bridge.parameters())


@pytest.mark.parametrize(
    ("source_layers", "target_layers", "read"),
    [(3, 1, [2]), (3, 2, [1, 2]), (2, 2, [0, 1]), (1, 3, [0, 0, 0]), (2, 3, [0, 0, 1])],
)
def test_each_decoder_layer_reads_the_encoder_layer_at_its_height_from_the_top(source_layers, target_layers, read):
    bridge = Bridge(LSTM(3, 4, num_layers=source_layers, bidirectional=True), LSTM(3, 5, num_layers=target_layers))
    state = LSTMState(torch.randn(source_layers * 2, 2, 4), torch.randn(source_layers * 2, 2, 4))
    h, c = bridge(state)
    for k, layer in enumerate(read):
        for ours, linear, part in ((h[k].atanh(), bridge.h[k], state.h), (c[k], bridge.c[k], state.c)):
            both = torch.cat((part[2 * layer], part[2 * layer + 1]), -1)  # forward beside backward
            assert_close(ours, linear(both), rtol=1e-4, atol=1e-5)


def test_a_bidirectional_decoder_is_refused():
    with pytest.raises(UserError, match=r"model\.decoder\.bidirectional=true cannot translate.*model\.encoder"):
        build(decoder={"bidirectional": True})


def test_two_directions_for_both_sides_are_the_encoders_alone():
    model = build(bidirectional=True)
    assert model.encoder.lstm.rnn.bidirectional
    assert not model.decoder.encoder.lstm.rnn.bidirectional


def test_reverse_source_equals_sources_given_in_reverse():
    torch.manual_seed(3)
    plain = build()
    torch.manual_seed(3)
    reversing = build(reverse_source=True)
    backwards = [source.flip(0) for source in SOURCES]
    expected = plain(packed(backwards), packed(TARGETS)).logits
    assert_close(reversing(packed(SOURCES), packed(TARGETS)).logits.data, expected.data)
    assert not torch.allclose(plain(packed(SOURCES), packed(TARGETS)).logits.data, expected.data)


def test_one_pair_changes_no_other_pair():
    model = build(bidirectional=True)
    before = unpack_sequence(model(packed(SOURCES), packed(TARGETS)).logits)
    changed = [SOURCES[0], torch.tensor([5, 5]), SOURCES[2]]
    after = unpack_sequence(model(packed(changed), packed(TARGETS)).logits)
    assert_close([after[0], after[2]], [before[0], before[2]])
    assert not torch.allclose(after[1], before[1])


def test_its_arguments_build_it_again():
    model = build(bidirectional=True, reverse_source=True, decoder={"num_layers": 2})
    again = Seq2Seq(**model.arguments).double().eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(
        again(packed(SOURCES), packed(TARGETS)).logits.data, model(packed(SOURCES), packed(TARGETS)).logits.data
    )
