"""Losses of models that adapt to the text they have scored: against loops that do one token or window at a time."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import LanguageModelEnsemble
from lstm_readout.models import LanguageModel
from lstm_readout.tasks.metrics.adaptation import Adaptation
from lstm_readout.tasks.metrics.adaptation_settings import settings_of
from lstm_readout.tasks.metrics.adaptive_ngrams import AdaptiveNgrams, adaptive_log_probabilities, mean_with
from lstm_readout.tasks.metrics.dynamic_evaluation import DynamicEvaluation, GradientSquares, Learner
from lstm_readout.tasks.metrics.kneser_ney import discounts
from lstm_readout.tasks.metrics.neural_cache import Cache, NeuralCache
from lstm_readout.tasks.metrics.one_pass import score
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import EOS
from lstm_readout.tokenizer.ragged import Ragged

V = 9
CPU = torch.device("cpu")


def build(seed: int = 0, **options: Any) -> LanguageModel:
    torch.manual_seed(seed)
    model = LanguageModel(vocab_size=V, embedding_size=4, hidden_size=8, num_layers=2, forget_bias=1.0, **options)
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform, so that the past matters
            parameter.add_(torch.randn_like(parameter), alpha=0.8)
    return model.eval()


def text(tokens: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, V, tokens).tolist()


def rows_of(*written: list[int], stream: bool = False) -> ScoredRows:
    return ScoredRows.of(Ragged.from_lists([[*one, EOS] for one in written]), stream)


def plain(model: LanguageModel, rows: ScoredRows) -> np.ndarray:
    return score(model, None, None, rows=rows, device=CPU).model


def moving(model: LanguageModel, rows: ScoredRows, how: DynamicEvaluation, scale: Any = None) -> np.ndarray:
    return score(model, Learner(model, how, scale), None, rows=rows, device=CPU).model


def cached(model: LanguageModel, rows: ScoredRows, how: NeuralCache) -> np.ndarray:
    return score(model, None, Cache(how), rows=rows, device=CPU).cached


def changed_at(rows: ScoredRows, place: int) -> ScoredRows:
    """Return the rows with another token at one place: the target there, and the input after it."""
    targets, inputs = rows.targets.copy(), rows.inputs.copy()
    targets[place] = 3 + (targets[place] - 2) % (V - 3)
    inputs[place + 1] = targets[place]
    return rows._replace(inputs=inputs, targets=targets)


# --- one pass


def test_windows_and_a_vocabulary_in_blocks_change_nothing(monkeypatch):
    model, rows = build(), rows_of(text(50), text(3, 1))
    expected = []
    for begin, end in zip(rows.offsets, rows.offsets[1:], strict=False):
        inputs, targets = (torch.tensor(ids[begin:end], dtype=torch.int64) for ids in (rows.inputs, rows.targets))
        logits, _ = model(inputs.unsqueeze(1))
        expected += (-cross_entropy(logits[:, 0], targets, reduction="none")).tolist()
    np.testing.assert_allclose(plain(model, rows), expected, rtol=1e-5)
    monkeypatch.setattr("lstm_readout.tasks.metrics.one_pass._WINDOW", 7)
    monkeypatch.setattr("lstm_readout.nn.head.MOST_LOGITS", 2 * V)
    np.testing.assert_allclose(plain(model, rows), expected, rtol=1e-5)


# --- weights that learn


@pytest.mark.parametrize("rms", [False, True])
def test_dynamic_evaluation_is_its_formula(rms):
    how = DynamicEvaluation(lr=0.3, window=4, decay=0.4, rms=rms, epsilon=0.2)
    model, rows = build(), rows_of(text(18), text(5, 1))
    r = [torch.rand_like(weight) * 4 for weight in model.parameters()] if rms else None
    losses = []
    for begin, end in zip(rows.offsets, rows.offsets[1:], strict=False):
        moved, state = copy.deepcopy(model), None
        for start in range(begin, end, 4):
            part = slice(start, min(start + 4, end))
            inputs, targets = (torch.tensor(ids[part], dtype=torch.int64) for ids in (rows.inputs, rows.targets))
            logits, state = moved(inputs.unsqueeze(1), state)
            loss = cross_entropy(logits[:, 0], targets)
            losses += [loss.item()] * len(targets)
            state = state.detach()
            moved.zero_grad()
            loss.backward()
            with torch.no_grad():
                for k, (weight, trained) in enumerate(zip(moved.parameters(), model.parameters(), strict=True)):
                    assert weight.grad is not None
                    back = (0.4 * r[k]).clamp(max=1) if r else 0.4
                    step = 0.3 / (r[k] + 0.2) if r else 0.3
                    weight.copy_(weight + back * (trained - weight) - step * weight.grad)
    assert -moving(model, rows, how, r).mean() == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_scale_is_the_root_of_the_mean_square_of_each_windows_gradient():
    model, rows = build(), rows_of(text(12), text(9, 1))
    squares = GradientSquares(model, window=4)
    score(model, squares, None, rows=rows, device=CPU)
    sums = [torch.zeros_like(weight) for weight in model.parameters()]
    for begin, end in zip(rows.offsets, rows.offsets[1:], strict=False):
        state = None
        for start in range(begin, end - 4, 4):  # nothing is learned from the last window
            part = slice(start, start + 4)
            inputs, targets = (torch.tensor(ids[part], dtype=torch.int64) for ids in (rows.inputs, rows.targets))
            logits, state = model(inputs.unsqueeze(1), state)
            state = state.detach()
            gradients = torch.autograd.grad(cross_entropy(logits[:, 0], targets), list(model.parameters()))
            sums = [total + gradient**2 for total, gradient in zip(sums, gradients, strict=True)]
    mean = torch.cat([total.sqrt().flatten() for total in sums]).mean()
    for found, total in zip(squares.scale(), sums, strict=True):
        torch.testing.assert_close(found, total.sqrt() / mean)


def test_nothing_is_learned_from_a_window_before_it_is_scored():
    model, rows = build(), rows_of(text(30), stream=True)
    still = plain(model, rows)
    np.testing.assert_allclose(moving(model, rows, DynamicEvaluation(lr=5.0, window=30)), still, rtol=1e-4)
    np.testing.assert_allclose(moving(model, rows, DynamicEvaluation(lr=0.0, window=7)), still, rtol=1e-4)


def test_on_text_that_repeats_itself_the_loss_falls():
    model, rows = build(), rows_of(text(12) * 20, stream=True)
    still = -plain(model, rows).mean()
    assert -moving(model, rows, DynamicEvaluation(lr=0.3, window=6)).mean() < 0.8 * still
    assert -cached(model, rows, NeuralCache(share=0.5, theta=1.0)).mean() < 0.8 * still
    train = rows_of(text(50, 1), stream=True)
    assert -adaptive_log_probabilities(train, rows, V, 4).mean() < 0.4 * math.log(V)


def test_the_weights_are_restored_even_after_an_error():
    model, rows = build(), rows_of(text(40), stream=True)
    model.encoder.embedding.weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    how = DynamicEvaluation(lr=0.5, window=6)
    moving(model, rows, how)
    broken = rows._replace(targets=np.where(np.arange(40) == 25, V, rows.targets))  # an id that does not exist
    with pytest.raises((IndexError, RuntimeError)):
        moving(model, broken, how)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_each_document_begins_with_the_trained_weights_and_an_empty_cache():
    model, how = build(), DynamicEvaluation(lr=0.5, window=3)
    one, other = text(20), text(9, 1)
    for measure in (lambda rows: moving(model, rows, how), lambda rows: cached(model, rows, NeuralCache(share=0.3))):
        first, second = measure(rows_of(one, other)), measure(rows_of(other, one))
        np.testing.assert_allclose(first, np.roll(second, len(one) + 1), rtol=1e-4)


# --- the cache


def test_the_cache_is_its_formula():
    how = NeuralCache(share=0.3, theta=0.7, window=11)
    model, rows = build(), rows_of(text(40), stream=True)
    lstm, targets = model.encoder(torch.tensor(rows.inputs, dtype=torch.int64).unsqueeze(1)), rows.targets
    output = lstm.output[:, 0].detach().double().numpy()
    for place, (found, alone) in enumerate(zip(cached(model, rows, how), plain(model, rows), strict=True)):
        past = range(max(0, place - 11), place)
        weights = {i: math.exp(0.7 * output[place] @ output[i]) for i in past}
        hits = sum(weight for i, weight in weights.items() if targets[i] == targets[place])
        expected = math.log(0.7 * math.exp(alone) + 0.3 * hits / sum(weights.values())) if place else alone
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("window", [3, 7, 1000])
def test_however_the_text_is_cut_the_cache_is_the_same(window, monkeypatch):
    model, rows, how = build(), rows_of(text(50), stream=True), NeuralCache(share=0.3, theta=0.7, window=11)
    expected = cached(model, rows, how)
    monkeypatch.setattr("lstm_readout.tasks.metrics.one_pass._WINDOW", window)
    np.testing.assert_allclose(cached(model, rows, how), expected, rtol=1e-5)


def test_a_cache_without_a_share_is_the_model():
    model, rows = build(), rows_of(text(50))
    assert cached(model, rows, NeuralCache(share=0.0)).tolist() == plain(model, rows).tolist()


# --- n-grams


def counted_one_by_one(train: ScoredRows, rows: ScoredRows, order: int) -> list[float]:
    """Return the probabilities of interpolated modified Kneser-Ney smoothing, with counts in dictionaries."""
    events: list[tuple[int, ...]] = []  # the n-gram before and with each token
    for part in (train, rows):
        for begin, end in zip(part.offsets, part.offsets[1:], strict=False):
            padded = [-1] * order + [int(part.inputs[begin])] + part.targets[begin:end].tolist()
            events += [tuple(padded[i : i + order]) for i in range(2, 2 + end - begin)]
    known = len(train.targets)

    def before(place: int) -> list[dict[tuple[int, ...], int]]:
        counts: list[dict[tuple[int, ...], int]] = [defaultdict(int) for _ in range(order + 1)]
        for ngram in events[:place]:
            for length in range(order, 0, -1):
                key = ngram[order - length :]
                counts[length][key] += 1
                if counts[length][key] > 1:
                    break  # shorter n-grams count the different tokens before them
        return counts

    estimated = before(known)
    d = [[0.0, *discounts(np.array(list(estimated[length].values()) or [1]))] for length in range(1, order + 1)]
    found = []
    for place in range(known, len(events)):
        counts, probability = before(place), 1 / V
        for length in range(1, order + 1):
            key = events[place][order - length :]
            same = [n for other, n in counts[length].items() if other[:-1] == key[:-1]]
            if same:
                free = sum(d[length - 1][min(n, 3)] for n in same)
                own = counts[length].get(key, 0)
                probability = (own - d[length - 1][min(own, 3)] + free * probability) / sum(same)
        found.append(probability)
    return found


@given(
    st.lists(st.lists(st.integers(3, 6), max_size=12), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(3, 6), max_size=12), min_size=1, max_size=3),
    st.integers(1, 4),
    st.booleans(),
)
def test_adaptive_ngrams_count_what_was_scored_before(train, scored, order, stream):
    texts = rows_of(*[[3], *train], stream=stream), rows_of(*[[4], *scored], stream=stream)
    found = adaptive_log_probabilities(*texts, V, order)
    np.testing.assert_allclose(np.exp(found), counted_one_by_one(*texts, order), rtol=1e-9)


def test_the_probabilities_of_all_tokens_add_up_to_one():
    train, scored = rows_of(text(60), stream=True), text(20, 1)
    total = 0.0
    for token in range(V):
        rows = rows_of(scored, stream=True)
        rows.targets[-1] = token
        total += math.exp(adaptive_log_probabilities(train, rows, V, 3)[-1])
    assert total == pytest.approx(1)


def test_the_mean_follows_the_better_of_the_two():
    good, bad = np.log(np.full(2000, 0.5)), np.log(np.full(2000, 0.01))
    for first, second in ((good, bad), (bad, good)):
        mixed = mean_with(first, second)
        assert mixed[0] == pytest.approx(math.log(0.255))
        assert mixed[-1] == pytest.approx(math.log(0.5), abs=0.01)


# --- all of them


@pytest.mark.parametrize(
    "measure",
    [
        lambda rows: moving(build(), rows, DynamicEvaluation(lr=0.5, window=1)),
        lambda rows: cached(build(), rows, NeuralCache(share=0.5)),
        lambda rows: adaptive_log_probabilities(rows_of(text(60, 2), stream=True), rows, V, 3),
        lambda rows: mean_with(plain(build(), rows), np.full(len(rows.targets), -2.0)),
    ],
)
def test_a_later_token_changes_no_earlier_score(measure):
    rows = rows_of(text(40), stream=True)
    before, after = measure(rows), measure(changed_at(rows, 25))
    assert before[:25].tolist() == after[:25].tolist()
    assert (before[25:] != after[25:]).any()


def test_the_losses_are_those_of_the_parts_and_of_all_together():
    dynamic, cache = DynamicEvaluation(lr=0.1, rms=True), NeuralCache(share=0.2)
    models, rows, train = [build(0), build(1)], rows_of(text(60), stream=True), rows_of(text(900, 1), stream=True)
    learners = []
    for model in models:
        squares = GradientSquares(model, dynamic.window)
        score(model, squares, None, rows=train.spread(16, 40 * 20), device=CPU)
        learners.append(Learner(model, dynamic, squares.scale()))
    still = [score(model, None, Cache(cache), rows=rows, device=CPU) for model in models]
    scores = [
        score(model, learner, Cache(cache), rows=rows, device=CPU)
        for model, learner in zip(models, learners, strict=True)
    ]
    counted = adaptive_log_probabilities(train, rows, V, 3)

    def mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.log((np.exp(one) + np.exp(other)) / 2)

    expected = {
        "loss_dynamic": mean(scores[0].model, scores[1].model),
        "loss_cache": mean(still[0].cached, still[1].cached),
        "loss_ngrams": mean_with(counted, mean(still[0].model, still[1].model)),
        "loss_adapted": mean_with(counted, mean(scores[0].cached, scores[1].cached)),
    }
    found = Adaptation(dynamic, cache, AdaptiveNgrams(3)).losses(LanguageModelEnsemble(models), rows, train, CPU)
    assert found == pytest.approx({name: -values.mean() for name, values in expected.items()}, rel=1e-6)


def test_only_what_is_asked_for_is_measured():
    model, rows = build(), rows_of(text(30))
    off = DynamicEvaluation(), NeuralCache(), AdaptiveNgrams()
    assert Adaptation(*off).losses(model, rows, None, CPU) == {}
    assert Adaptation(DynamicEvaluation(lr=0.1, rms=False), *off[1:]).losses(model, rows, None, CPU).keys() == {
        "loss_dynamic"
    }
    with pytest.raises(UserError, match=r"task\.adaptive_ngrams\.order: it reads the training text.*order=null"):
        Adaptation(*off[:2], AdaptiveNgrams(3)).losses(model, rows, None, CPU)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (DynamicEvaluation, {"lr": -1.0}, r"task\.dynamic_evaluation\.lr: wanted a number, 0 or more, .*, got -1"),
        (DynamicEvaluation, {"window": 0}, r"window: wanted a whole number of tokens, 1 or more, got 0"),
        (DynamicEvaluation, {"window": 2.5}, r"window: wanted a whole number of tokens, 1 or more, got 2\.5"),
        (DynamicEvaluation, {"decay": 1.5}, r"decay: wanted a share between 0 and 1, got 1\.5"),
        (DynamicEvaluation, {"rate": 1.5}, r"there is no 'rate'\. .*Valid: decay, epsilon, lr, rms, window"),
        (NeuralCache, {"share": 2}, r"task\.neural_cache\.share: wanted a share between 0 and 1, got 2"),
        (AdaptiveNgrams, {"order": 0}, r"task\.adaptive_ngrams\.order: wanted a whole number of tokens"),
    ],
)
def test_settings_out_of_range_are_refused(kind, values, message):
    where = {DynamicEvaluation: "task.dynamic_evaluation", NeuralCache: "task.neural_cache"}
    with pytest.raises(UserError, match=message):
        settings_of(kind, where.get(kind, "task.adaptive_ngrams"), values)
