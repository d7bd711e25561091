"""A ``Stepper`` gives what ``model.step`` gives, and everything that writes with it writes the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lstm_readout import LSTMState
from lstm_readout.inference.decoding import Stepper, beam_search, greedy, sample, sample_texts
from lstm_readout.inference.decoding.products import FloatProduct
from lstm_readout.models import LanguageModel

SHAPES: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"num_layers": 3, "proj_size": 5},
    {"proj_size": 5, "bias": False},
    {"cell": "gru", "batch_first": True},
    {"cell": "gru", "num_layers": 2, "bias": False},
    {"cell": "rnn", "num_layers": 2},
    {"cell": "rnn", "bias": False},
    {"tied_embeddings": True, "proj_size": 7},
    {"softmax": "adaptive", "cutoffs": [3], "num_layers": 2},
]
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def build(vocab_size: int = 9, dtype: torch.dtype = torch.float64, scale: float = 1.0, **arguments: Any):
    """Make a model whose weights are large enough for every state to have a next token of its own."""
    rates: dict[str, Any] = {"word_dropout": 0.5, "input_dropout": 0.5, "output_dropout": 0.5}  # off in eval mode
    model = LanguageModel(vocab_size=vocab_size, embedding_size=7, hidden_size=12, **arguments, **rates)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=scale)
    return model.to(dtype).eval()


class Slow(LanguageModel):
    """The same model; because its ``step`` is its own, every ``Stepper`` of it calls that."""

    def step(self, token_ids: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        return super().step(token_ids, state)


def slow(model: LanguageModel) -> Slow:
    same = Slow(**model.arguments).to(next(model.parameters()).dtype).eval()
    same.load_state_dict(model.state_dict())
    return same


def states(model: LanguageModel, batch: int) -> LSTMState:
    zeros = Stepper(model).first_state(batch)
    return LSTMState(*(torch.randn_like(part) for part in zeros if part is not None))


def assert_close(ours: LSTMState, theirs: LSTMState, tolerance: float) -> None:
    assert (ours.c is None) == (theirs.c is None)
    for part, expected in zip(ours, theirs, strict=True):
        if part is not None:
            torch.testing.assert_close(part, expected, rtol=tolerance, atol=tolerance)


@given(
    st.integers(0, 2**16),
    st.sampled_from(SHAPES),
    st.sampled_from([5, 40, 700]),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-5)]),
    st.booleans(),
)
def test_steps_are_those_of_the_model(seed, shape, vocab_size, batches, precision, from_zeros):
    """Rows come and go from step to step, and tokens come again, whose products are looked up."""
    torch.manual_seed(seed)
    dtype, tolerance = precision
    model = build(vocab_size, dtype, 0.5, **shape)
    step = Stepper(model)
    ours = theirs = None if from_zeros else states(model, batches[0])
    for number, (batch, after) in enumerate(zip(batches, [*batches[1:], 1], strict=True)):
        token_ids = torch.randint(vocab_size, (batch,))
        with torch.no_grad():
            expected, theirs = model.step(token_ids, theirs)
        logits, ours = step(token_ids, ours)
        assert not logits.requires_grad
        torch.testing.assert_close(logits, expected, rtol=tolerance, atol=10 * tolerance, msg=f"step {number}")
        assert_close(ours, theirs, 10 * tolerance)
        kept = torch.randint(batch, (after,))
        ours, theirs = ours.rows(kept), theirs.rows(kept)


@pytest.mark.parametrize("inputs", [1, 2, 5, 300])
def test_a_product_without_onednn_s_layout_is_the_same(inputs, monkeypatch):
    weight, bias, x = torch.randn(33, 17), torch.randn(33), torch.randn(inputs, 17)
    packed = FloatProduct(weight, bias)(x)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = FloatProduct(weight, bias)
    assert plain.packed is None
    for ours in (packed, plain(x), FloatProduct(weight).add_to(bias.repeat(inputs, 1), x)):
        torch.testing.assert_close(ours, nn.functional.linear(x, weight, bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("max_length", [9, [0, 3, 9, 1, 9, 5] * 4], ids=["one limit", "a limit each"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_that_writes_writes_what_it_writes_with_the_model_s_own_steps(shape, max_length):
    model = build(scale=2.0, **shape)
    other, state = slow(model), states(model, 24)
    texts = greedy(model, state, max_length)
    assert texts == greedy(other, state, max_length)
    assert len({len(text) for text in texts}) > 1
    assert greedy(Stepper(model), state, max_length) == texts
    ours, theirs = (beam_search(decoder, state, 4, max_length, length_penalty=0.5) for decoder in (model, other))
    assert [[h.token_ids for h in one] for one in ours] == [[h.token_ids for h in one] for one in theirs]
    chance = [torch.Generator().manual_seed(3) for _ in range(2)]
    options: dict[str, Any] = {"max_length": 9, "temperature": 1.5, "top_p": 0.9}
    ours, theirs = (
        list(sample(d, [4, 5], generator=g, **options)) for d, g in zip((model, other), chance, strict=True)
    )
    assert ours == theirs


@given(st.integers(0, 2**16), st.sampled_from(SHAPES), st.sampled_from([0.0, 0.6, 1.0, 2.0, 1e4]), st.integers(1, 6))
def test_the_best_alone_is_the_best_of_the_whole_search(seed, shape, length_penalty, beam_size):
    torch.manual_seed(seed)
    model, limits = build(**shape), [12, 1, 0, 5, 12]
    state, penalty = states(model, 5), {"length_penalty": length_penalty}
    whole = beam_search(model, state, beam_size, limits, **penalty)
    alone = beam_search(model, state, beam_size, limits, only_best=True, **penalty)
    assert [one[0].token_ids for one in alone] == [one[0].token_ids for one in whole]
    assert [one[0].score for one in alone] == pytest.approx([one[0].score for one in whole], abs=1e-9)


def test_the_best_alone_takes_fewer_steps():
    model, rows = build(scale=2.0), []
    state = states(model, 20)
    with model.encoder.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].numel())):
        beam_search(model, state, 4, 30, only_best=True)
        alone, rows[:] = sum(rows), []
        beam_search(model, state, 4, 30)
    assert alone < 0.9 * sum(rows)


@given(st.integers(0, 2**16), st.sampled_from(SHAPES), st.sampled_from([0.0, 0.7, 1.3]))
def test_texts_continued_together_are_those_continued_alone(seed, shape, temperature):
    torch.manual_seed(seed)
    model = build(**shape)
    texts = [[], [3], [4, 5, 6, 7], [8, 8], []]
    options: dict[str, Any] = {"max_length": 7, "temperature": temperature, "top_k": 5}
    chance = [torch.Generator().manual_seed(seed + row) for row in range(5)]
    together = sample_texts(model, texts, generators=chance, **options)
    for row, text in enumerate(texts):
        generator = torch.Generator().manual_seed(seed + row)
        assert together[row] == list(sample(model, text, generator=generator, **options))
    assert sample_texts(model, [], **options) == []


def test_a_model_with_a_hook_or_a_step_of_its_own_is_called():
    model, calls = build(), []
    with model.encoder.register_forward_hook(lambda *_: calls.append("hook")):
        Stepper(model)(torch.tensor([3]))
    assert calls == ["hook"]

    class Own(LanguageModel):
        def step(self, token_ids: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
            logits, state = super().step(token_ids, state)
            return logits + 1000, state

    own = Own(**model.arguments).eval()
    assert (Stepper(own)(torch.tensor([3]))[0] > 900).all()


def test_another_head_is_called_as_it_is():
    model = build()
    model.head = nn.Sequential(nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 9)).double()  # pyright: ignore[reportAttributeAccessIssue]
    logits, _ = Stepper(model)(torch.tensor([3, 4]))
    torch.testing.assert_close(logits, model.step(torch.tensor([3, 4]))[0])


def test_autocast_leaves_the_steps_alone():
    model = build(dtype=torch.float32)
    state = states(model, 4)
    expected = greedy(model, state, 8), beam_search(model, state, 3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (greedy(model, state, 8), beam_search(model, state, 3, 8)) == expected
        rough = LSTMState(*(part.bfloat16() for part in state if part is not None))  # an encoder gives this
        assert len(greedy(model, rough, 8)) == 4


def test_a_stepper_made_under_inference_mode_works_outside_of_it():
    model = build(vocab_size=700)
    with torch.inference_mode():
        step = Stepper(model)
        step(torch.tensor([3]))
        step(torch.tensor([3, 4]))
    for token_ids in (torch.tensor([5]), torch.tensor([3, 6])):
        torch.testing.assert_close(step(token_ids)[0], model.step(token_ids)[0])
