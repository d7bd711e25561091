"""A decoder that reads its first state at every step gives what the formula gives, one pair and one step at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from torch.testing import assert_close

from lstm_readout import LSTMState
from lstm_readout.errors import UserError
from lstm_readout.models import Seq2Seq

V, W = 9, 11  # source and target vocabulary
SOURCES = [torch.tensor(row) for row in ([3, 4, 5], [6, 7, 8, 3, 2], [4], [5, 5])]
TARGETS = [torch.tensor(row) for row in ([1, 9, 8, 7], [1], [1, 10, 4], [1, 3])]  # sorted in another order
SHAPES: list[dict[str, Any]] = [
    {},
    {"bidirectional": True},
    {"reverse_source": True, "num_layers": 2},
    {"cell": "gru", "bidirectional": True, "batch_first": True},
    {"cell": "rnn"},
    {"proj_size": 3, "num_layers": 2},
    {"encoder": {"hidden_size": 7, "num_layers": 2}, "bidirectional": True},
    {"tied_embeddings": True, "embedding_size": 5},
]
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def build(**arguments: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"embedding_size": 4, "hidden_size": 5, "feed_state": True}
    model = Seq2Seq(source_vocab_size=V, target_vocab_size=W, **{**sizes, **arguments}).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model


def packed(rows: list[Tensor]) -> Any:
    return pack_sequence(rows, enforce_sorted=False)


@torch.no_grad()
def by_hand(model: Any, source: Tensor, target: Tensor) -> Tensor:
    """Return logits (T, W) of one pair, step by step in raw ``torch.nn``."""
    decoder, lstm = model.decoder, model.decoder.encoder.lstm
    _, last = model.encoder.lstm.rnn(model.encoder.embedding(source.flip(0) if model.encoder.reverse else source))
    parts = last if isinstance(last, tuple) else (last,)
    first = [p.squeeze(1) for p in model.bridge(LSTMState(*(p.unsqueeze(1) for p in parts))) if p is not None]
    whole = torch.cat([part[layer] for layer in range(lstm.rnn.num_layers) for part in first])
    told = decoder.attention.state.weight @ whole + decoder.attention.state.bias
    state, logits = tuple(part.unsqueeze(1) for part in first), []
    for token_id in target:
        x = decoder.encoder.embedding(token_id).view(1, 1, -1)
        output, after = lstm.rnn(x, state if lstm.cell == "lstm" else state[0])
        state = after if isinstance(after, tuple) else (after,)
        logits.append(decoder.head((told + decoder.attention.query.weight @ output.flatten()).tanh()))
    return torch.stack(logits)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_batch_gives_what_the_formula_gives_for_each_pair(shape):
    model = build(**shape)
    logits = unpack_sequence(model(packed(SOURCES), packed(TARGETS)).logits)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        assert_close(logits[row], by_hand(model, source, target))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loss_is_that_of_the_logits_and_every_weight_learns(shape):
    model = build(**shape)
    given, wanted = packed(TARGETS), packed([row.roll(-1) for row in TARGETS]).data
    loss = model.loss(packed(SOURCES), given, wanted)
    assert_close(loss, cross_entropy(model(packed(SOURCES), given).logits.data, wanted))
    for (name, _), gradient in zip(
        model.named_parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        assert gradient.any(), name


def test_rows_repeated_and_left_out_read_the_state_of_their_own_source():
    model, index = build(), torch.tensor([2, 2, 0, 3, 1, 0])
    texts = [torch.tensor([1, *range(3, 3 + n)]) for n in (2, 0, 4, 1, 3, 5)]
    shared = model.decoder(packed(texts), model.encode(packed(SOURCES)).rows(index))
    given = model.decoder(packed(texts), model.encode(packed([SOURCES[i] for i in index])))
    assert_close(shared.logits.data, given.logits.data)


def test_the_state_is_dropped_in_training_alone():
    model, given = build(output_dropout=0.5), (packed(SOURCES), packed(TARGETS))
    assert torch.equal(model(*given).logits.data, model(*given).logits.data)
    model.train()
    read = [model.encode(given[0]).memory.values for _ in range(2)]
    assert not torch.equal(*read)


def test_its_arguments_build_it_again():
    model = build(bidirectional=True, num_layers=2)
    again = Seq2Seq(**model.arguments).double().eval()
    again.load_state_dict(model.state_dict())
    given = packed(SOURCES), packed(TARGETS)
    assert torch.equal(again(*given).logits.data, model(*given).logits.data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "dot"}, "model.attention=dot gives it more.*Set one of the two"),
        ({"input_feeding": True}, "model.attention=none reads nothing"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)
