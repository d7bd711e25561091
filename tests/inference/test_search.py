from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lstm_readout import LSTMState
from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import check_sampling, draw, greedy, sample
from lstm_readout.models import LanguageModel
from lstm_readout.tokenizer import BOS, EOS, UNK

V, H = 8, 24


def build(**arguments: Any) -> LanguageModel:
    """Make a model that writes texts of many lengths: with large weights every state has a next token of its own."""
    model = LanguageModel(vocab_size=V, embedding_size=4, hidden_size=H, **arguments).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=2.0)
    return model


def states(model: LanguageModel, batch: int) -> LSTMState:
    rnn = model.encoder.lstm.rnn
    h, c = torch.randn(2, rnn.num_layers, batch, H, dtype=torch.float64)
    return LSTMState(h, c if model.encoder.lstm.cell == "lstm" else None)


@torch.no_grad()
def written_by_hand(model: LanguageModel, state: LSTMState | None, ids: list[int], max_length: int) -> list[int]:
    """Write one row, reading the whole text again for each token."""
    written: list[int] = []
    axis = 0 if model.encoder.lstm.rnn.batch_first else 1
    while len(written) < max_length:
        text = torch.tensor([BOS, *ids, *written]).unsqueeze(axis)
        scores = model(text, state).logits.flatten(0, 1)[-1].tolist()
        token_id = max((t for t in range(V) if t not in (UNK, BOS)), key=scores.__getitem__)
        if token_id == EOS:
            break
        written.append(token_id)
    return written


# Greedy


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_greedy_equals_a_plain_loop_one_row_at_a_time(cell, batch_first):
    model = build(num_layers=2, cell=cell, batch_first=batch_first)
    state = states(model, 30)
    expected = [written_by_hand(model, state.rows(slice(i, i + 1)), [], 12) for i in range(30)]
    assert greedy(model, state, 12) == expected
    assert len({len(ids) for ids in expected}) > 3  # the rows ended at different steps


def test_rows_leave_the_batch_at_eos():
    model, batches = build(), []
    state = states(model, 30)
    with model.encoder.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].numel())):
        texts = greedy(model, state, 12)
    lengths = [len(text) for text in texts]
    steps = min(12, max(lengths) + 1)
    assert batches == [sum(length >= step for length in lengths) for step in range(steps)]
    assert batches[-1] < batches[0] == 30


def test_greedy_writes_neither_unk_nor_bos_nor_eos():
    model = build()
    with torch.no_grad():
        model.head.bias[[UNK, BOS]] = 1e4  # the model would write nothing else
    texts = greedy(model, states(model, 20), 10)
    assert any(texts)
    assert not {UNK, BOS, EOS} & {token_id for text in texts for token_id in text}


@pytest.mark.parametrize("max_length", [0, 1, 5])
def test_greedy_stops_at_max_length(max_length):
    model = build()
    with torch.no_grad():
        model.head.bias[EOS] = -1e4  # would never stop
    assert [len(text) for text in greedy(model, states(model, 4), max_length)] == [max_length] * 4


def test_greedy_writes_empty_texts_where_eos_comes_first():
    model = build()
    with torch.no_grad():
        model.head.bias[EOS] = 1e4
    assert greedy(model, states(model, 3), 5) == [[], [], []]


# Sampling


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "setting",
    [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}, {"temperature": 1e-40}],
    ids=str,
)
def test_the_narrowest_settings_take_the_most_probable_token(setting, batch_first):
    model = build(batch_first=batch_first)
    for ids in ([], [3], [4, 5, 6, 3]):
        assert list(sample(model, ids, max_length=10, **setting)) == written_by_hand(model, None, ids, 10)


def test_a_seed_repeats_and_another_writes_another_text():
    model = build()
    with torch.no_grad():
        model.head.weight.mul_(0.1)
        model.head.bias.zero_()[EOS] = -1e4

    def write(seed: int) -> list[int]:
        return list(sample(model, [3], max_length=30, generator=torch.Generator().manual_seed(seed)))

    assert write(1) == write(1)
    assert write(1) != write(2)
    assert len(write(1)) == 30


def test_a_sample_leaves_the_global_chance_alone_when_it_has_its_own():
    model = build()
    before = torch.get_rng_state()
    list(sample(model, [3], max_length=5, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


LOGITS = torch.tensor([5.0, 5.0, 0.0, 1.0, -1.0, 2.0, 0.5, 1.5])  # <unk> and <bos> would be the likeliest


def expected_shares(temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> list[float]:
    """Work the probabilities out token by token, the likeliest first."""
    weights = {i: float(torch.exp(LOGITS[i] / temperature)) for i in range(2, V)}
    order = sorted(weights, key=lambda i: -weights[i])[:top_k]
    total, kept, held = sum(weights[i] for i in order), [], 0.0
    for i in order:
        kept.append(i)
        held += weights[i] / total
        if top_p is not None and held >= top_p:
            break
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(V)]


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_k": 99},
        {"top_p": 0.7},
        {"top_p": 1.0},
        {"temperature": 2.0, "top_k": 4, "top_p": 0.6},
    ],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_the_softmax_says(setting):
    generator, number = torch.Generator().manual_seed(0), 4000
    arguments = {"temperature": 1.0, "top_k": None, "top_p": None, **setting}
    counts = [0] * V
    for _ in range(number):
        counts[draw(LOGITS, **arguments, generator=generator)] += 1
    expected = [number * share for share in expected_shares(**setting)]
    assert all(count == 0 for count, e in zip(counts, expected, strict=True) if e == 0)
    chi_square = sum((count - e) ** 2 / e for count, e in zip(counts, expected, strict=True) if e)
    assert chi_square < 20.5  # 0.1 % of the time for the 5 degrees of freedom of six tokens; the seed is fixed


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=12),
    st.floats(0, 5),
    st.none() | st.integers(1, 15),
    st.none() | st.floats(0, 1, exclude_min=True),
)
def test_draw_gives_a_token_of_the_vocabulary_that_a_text_may_hold(logits, temperature, top_k, top_p):
    token_id = draw(torch.tensor(logits), temperature, top_k, top_p, None)
    assert token_id in range(EOS, len(logits))


def test_draw_leaves_the_logits_as_they_are():
    logits = torch.arange(8.0)
    draw(logits, 0.7, 3, 0.5, None)
    assert torch.equal(logits, torch.arange(8.0))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": -0.1}, r"temperature: wanted 0 or more, got -0\.1"),
        ({"temperature": float("nan")}, "temperature: wanted 0 or more, got nan"),
        ({"temperature": float("inf")}, "temperature: wanted 0 or more, got inf"),
        ({"top_k": 0}, "top_k: wanted 1 or more, or null for no limit, got 0"),
        ({"top_p": 0.0}, r"top_p: wanted more than 0 and at most 1, or null for no limit, got 0\.0"),
        ({"top_p": 1.1}, r"top_p: .*got 1\.1"),
        ({"top_p": float("nan")}, r"top_p: .*got nan"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        check_sampling(**{"temperature": 1.0, "top_k": None, "top_p": None, **setting})
    with pytest.raises(UserError, match=message):
        next(sample(build(), [3], max_length=1, **setting))
