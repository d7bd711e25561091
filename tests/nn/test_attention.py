"""Attention gives what its formula gives, written out for one pair and one step at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from torch.testing import assert_close

from lstm_readout import LSTMState
from lstm_readout.errors import UserError
from lstm_readout.models import Seq2Seq
from lstm_readout.models.attentive_decoder import AttentiveDecoder
from lstm_readout.nn import attention
from lstm_readout.nn.decoder_state import StateWithMemory

V, W = 9, 11  # source and target vocabulary
SOURCES = [torch.tensor(row) for row in ([3, 4, 5], [6, 7, 8, 3, 2], [4], [5, 5])]
TARGETS = [torch.tensor(row) for row in ([1, 9, 8, 7], [1], [1, 10, 4], [1, 3])]  # sorted in another order
KINDS = ["dot", "general", "additive"]
SHAPES: list[dict[str, Any]] = [
    {},
    {"bidirectional": True},
    {"reverse_source": True, "num_layers": 2},
    {"cell": "gru", "bidirectional": True, "batch_first": True},
    {"cell": "rnn"},
    {"proj_size": 3},
    {"encoder": {"hidden_size": 7, "num_layers": 2}, "bidirectional": True, "reverse_source": True},
]
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def build(**arguments: Any) -> Seq2Seq:
    arguments = {"embedding_size": 4, "hidden_size": 5, "attention": "general", **arguments}
    torch.manual_seed(0)
    model = Seq2Seq(source_vocab_size=V, target_vocab_size=W, **arguments).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model


def packed(rows: list[Tensor]) -> Any:
    return pack_sequence(rows, enforce_sorted=False)


def assert_same_state(ours: Any, theirs: Any) -> None:
    assert_close((ours.h, ours.c, ours.fed), (theirs.h, theirs.c, theirs.fed))


def fits(kind: str, shape: dict[str, Any]) -> bool:
    return kind != "dot" or not (shape.get("bidirectional") or shape.get("encoder"))


@torch.no_grad()
def by_hand(model: Seq2Seq, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (T, W) and attention (T, S) of one pair, step by step in raw ``torch.nn``."""
    decoder = model.decoder
    assert isinstance(decoder, AttentiveDecoder)
    read = source.flip(0) if model.encoder.reverse else source
    memory, state = model.encoder.lstm.rnn(model.encoder.embedding(read))  # (S, M)
    parts = state if isinstance(state, tuple) else (state,)
    state = tuple(part for part in model.bridge(LSTMState(*(p.unsqueeze(1) for p in parts))) if part is not None)
    maps, fed = decoder.attention, memory.new_zeros(decoder.encoder.lstm.output_size)
    logits, weights = [], []
    for token_id in target:
        x = decoder.encoder.embedding(token_id)
        x = torch.cat((x, fed)) if decoder.input_feeding else x
        given = state if decoder.encoder.lstm.cell == "lstm" else state[0]
        output, after = decoder.encoder.lstm.rnn(x.view(1, 1, -1), given)
        state = after if isinstance(after, tuple) else (after,)
        h, scores = output.flatten(), []
        for m in memory:
            if maps.name == "dot":
                scores.append(h @ m)
            elif maps.name == "general":
                scores.append(h @ (maps.key.weight @ m))  # pyright: ignore[reportOptionalMemberAccess]
            else:
                both = maps.query.weight @ h + maps.key.weight @ m  # pyright: ignore[reportOptionalMemberAccess]
                scores.append(maps.score.weight[0] @ both.tanh())  # pyright: ignore[reportOptionalMemberAccess]
        powers = torch.stack(scores).exp()
        weights.append(powers / powers.sum())
        context = sum(weight * m for weight, m in zip(weights[-1], memory, strict=True))
        fed = (maps.combine.weight @ torch.cat((context, h))).tanh()  # pyright: ignore[reportArgumentType]
        logits.append(decoder.head(fed))
    return torch.stack(logits), torch.stack(weights)


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_what_the_formula_gives_for_each_pair(kind, shape, input_feeding):
    if not fits(kind, shape):
        return
    model = build(attention=kind, input_feeding=input_feeding, **shape)
    logits = unpack_sequence(model(packed(SOURCES), packed(TARGETS)).logits)
    state = model.encode(packed(SOURCES))
    assert isinstance(model.decoder, AttentiveDecoder)
    assert isinstance(state, StateWithMemory)
    weights = model.decoder.weights(packed(TARGETS), state)  # (B, T, S)
    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        expected, read = by_hand(model, source, target)
        assert_close(logits[row], expected)
        assert_close(weights[row, : len(target), : len(source)], read)
        assert not weights[row, : len(target), len(source) :].any()


@pytest.mark.parametrize("input_feeding", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_logits_and_every_weight_learns(kind, input_feeding):
    model = build(attention=kind, input_feeding=input_feeding)
    given, wanted = packed(TARGETS), packed([row.roll(-1) for row in TARGETS]).data
    logits = model(packed(SOURCES), given).logits.data
    loss = model.loss(packed(SOURCES), given, wanted)
    assert_close(loss, cross_entropy(logits, wanted))
    by_logits = torch.autograd.grad(cross_entropy(logits, wanted), list(model.parameters()))
    for parameter, ours, expected in zip(
        model.parameters(), torch.autograd.grad(loss, list(model.parameters())), by_logits, strict=True
    ):
        assert_close(ours, expected)
        assert ours.any(), parameter.shape


@given(st.integers(0, 2**16), st.integers(1, 400), st.booleans())
def test_additive_scores_in_blocks_are_the_same_and_so_are_their_gradients(seed, most, input_feeding):
    torch.manual_seed(seed)
    model = build(attention="additive", input_feeding=input_feeding)
    found = []
    for limit in (attention.MOST_SUMS, most):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "MOST_SUMS", limit)
            logits = model(packed(SOURCES), packed(TARGETS)).logits.data
            found.append([logits, *torch.autograd.grad(logits.square().sum(), list(model.parameters()))])
    assert_close(found[0], found[1])


@pytest.mark.parametrize(
    "reading",
    [
        {"bidirectional": True},
        {"bidirectional": True, "input_feeding": True},
        {"attention": "none", "feed_state": True, "num_layers": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_tensors_and_single_steps_give_what_packed_rows_give(batch_first, reading):
    model = build(batch_first=batch_first, **reading)
    target = torch.randint(W, (len(SOURCES), 6))  # (B, T)
    expected = torch.stack(unpack_sequence(model(packed(SOURCES), packed(list(target))).logits))  # (B, T, W)
    state = model.encode(packed(SOURCES))
    logits, last = model.decoder(target if batch_first else target.T, state)
    assert_close(logits if batch_first else logits.transpose(0, 1), expected)
    for t in range(target.shape[1]):
        step, state = model.decoder.step(target[:, t], state)
        assert_close(step, expected[:, t])
    assert_same_state(state, last)


def test_a_state_goes_on_where_it_stands_whichever_rows_are_left():
    """Rows repeated and left out: each reads its own source, also where those of others are gone."""
    for feeding in (False, True):
        model = build(input_feeding=feeding)
        state = model.encode(packed(SOURCES))
        for index in ([0, 1, 2, 3], [2, 2, 0, 0, 0], [4, 1, 0], [0, 0]):
            state = state.rows(torch.tensor(index))
            token_ids = torch.arange(3, 3 + len(index))
            _, state = model.decoder.step(token_ids, state)
        assert isinstance(state, StateWithMemory)
        assert len(state.memory.real) == 1  # of source 0, which all rows come from by now
        texts = [torch.tensor([3, 7, 3, 3]), torch.tensor([3, 7, 3, 4])]  # source 0, which was row 0, 4, 0, and 0 and 1
        expected = model.decoder(packed(texts), model.encode(packed([SOURCES[0]] * 2))).state
        assert_same_state(state, expected)


def test_forced_rows_that_share_a_source_are_those_of_sources_given_twice():
    model = build(bidirectional=True)
    index = torch.tensor([1, 1, 0, 3, 1])
    texts = [torch.tensor([1, *range(3, 3 + n)]) for n in (2, 0, 4, 1, 3)]
    for feeding in (False, True):
        model = build(bidirectional=True, input_feeding=feeding)
        shared = model.decoder(packed(texts), model.encode(packed(SOURCES)).rows(index))
        twice = model.decoder(packed(texts), model.encode(packed([SOURCES[i] for i in index])))
        assert_close(shared.logits.data, twice.logits.data)
        assert_same_state(shared.state, twice.state)


def test_one_pair_changes_no_other_pair():
    model = build(bidirectional=True)
    before = unpack_sequence(model(packed(SOURCES), packed(TARGETS)).logits)
    changed = [SOURCES[0], torch.tensor([5, 5, 5, 5, 5, 5, 5]), *SOURCES[2:]]
    after = unpack_sequence(model(packed(changed), packed(TARGETS)).logits)
    assert_close([after[k] for k in (0, 2, 3)], [before[k] for k in (0, 2, 3)])
    assert not torch.allclose(after[1], before[1])


def test_without_attention_nothing_has_changed():
    sizes: dict[str, Any] = {"source_vocab_size": V, "target_vocab_size": W, "embedding_size": 4, "hidden_size": 5}
    torch.manual_seed(5)
    plain = Seq2Seq(**sizes)
    torch.manual_seed(5)
    model = Seq2Seq(**sizes, attention="none")
    assert set(plain.state_dict()) == {
        "encoder.embedding.weight",
        "decoder.encoder.embedding.weight",
        "decoder.head.weight",
        "decoder.head.bias",
        *(f"{side}.lstm.rnn.{name}_l0" for side in ("encoder", "decoder.encoder") for name in WEIGHTS),
    }
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True))
    assert type(plain.encode(packed(SOURCES))) is LSTMState


WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def test_its_arguments_build_it_again():
    model = build(attention="additive", input_feeding=True, bidirectional=True)
    again = Seq2Seq(**model.arguments).double().eval()
    again.load_state_dict(model.state_dict())
    given = packed(SOURCES), packed(TARGETS)
    assert torch.equal(again(*given).logits.data, model(*given).logits.data)


def test_tied_embeddings_stay_one_matrix():
    model = build(tied_embeddings=True, embedding_size=5)
    assert model.decoder.head.weight is model.decoder.encoder.embedding.weight
    expected, _ = by_hand(model, SOURCES[0], TARGETS[0])
    assert_close(model(packed(SOURCES[:1]), packed(TARGETS[:1])).logits.data, expected)


def test_dropout_acts_on_what_the_softmax_reads_in_training_alone():
    model = build(output_dropout=0.5, input_feeding=True)
    given = packed(SOURCES), packed(TARGETS)
    assert torch.equal(model(*given).logits.data, model(*given).logits.data)
    model.train()
    assert not torch.equal(model(*given).logits.data, model(*given).logits.data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "dott"}, "attention: there is no 'dott'. Did you mean 'dot'"),
        ({"attention": "dot", "bidirectional": True}, "widths differ: 10 for the encoder.*5 for the decoder.*=general"),
        ({"attention": "none", "input_feeding": True}, "model.attention=none reads nothing. Set model.attention=gen"),
        (
            {"input_feeding": True, "weight_drop": 0.3},
            "where weight_drop would draw a mask for each.*model.decoder.weight_drop=0",
        ),
        (
            {"input_feeding": True, "locked_dropout": True, "dropout": 0.3, "num_layers": 2},
            r"where locked_dropout \(between layers\) would draw a mask for each",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)


@pytest.mark.parametrize("feeding", [False, True])
def test_a_state_in_another_precision_and_without_its_graph_has_the_same_numbers(feeding):
    model = build(input_feeding=feeding)
    state = model.encode(packed(SOURCES)).rows(torch.tensor([2, 2, 0, 1, 3]))
    _, state = model.decoder.step(torch.tensor([3, 4, 5, 6, 7]), state)
    assert isinstance(state, StateWithMemory)
    parts = [state.h, state.c, state.memory.values, state.memory.keys, *([state.fed] if feeding else [])]
    assert all(part is not None and part.requires_grad for part in parts)
    for other, dtype in ((state.detach(), torch.float64), (state.detach().to(torch.float32), torch.float32)):
        assert_same_state(other.to(torch.float64), state.to(dtype).to(torch.float64).detach())
        assert {part.dtype for part in (other.h, other.c, *other.memory[:2]) if part is not None} == {dtype}
        assert not any(part.requires_grad for part in (other.h, other.memory.values, other.memory.keys))
        assert other.sources is state.sources


@pytest.mark.parametrize("reading", [{}, {"attention": "none", "feed_state": True}], ids=str)
def test_a_decoder_that_reads_its_source_refuses_a_state_without_one(reading):
    decoder = build(**reading).decoder
    plain = LSTMState(*(torch.zeros(1, 2, 5, dtype=torch.float64) for _ in "hc"))
    for state, name in ((plain, "LSTMState"), (None, "NoneType")):
        with pytest.raises(TypeError, match=rf"wanted a StateWithMemory, got {name}. .*begin\(\)"):
            decoder.step(torch.tensor([3, 4]), state)
