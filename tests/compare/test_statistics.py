"""Intervals and tests against what is known of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from lstm_readout.compare.runs import Result
from lstm_readout.compare.statistics import DRAWS, METRICS, bleu_statistic, interval, p_value, resampled, scores
from lstm_readout.compare.table import compared
from lstm_readout.compare.variants import Variant

ACCURACY, LOSS, BLEU_METRIC = METRICS["classify"], METRICS["generate"], METRICS["translate"]


def answers(share, seeds=3, rows=400, seed=0):
    """Return statistics of a classifier that is right on this share of rows at random: (S, R, 2)."""
    right = np.random.default_rng(seed).random((seeds, rows)) < share
    return np.stack((right.astype(float), np.ones_like(right, dtype=float)), axis=2)


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=5))
def test_summed_statistics_give_the_bleu_of_sacrebleu(pairs):
    statistics = np.array([[bleu_statistic(*pair) for pair in pairs]], dtype=float)
    translations, references = zip(*pairs, strict=True)
    expected = BLEU().corpus_score(translations, [references]).score
    assert scores(BLEU_METRIC, statistics) == pytest.approx([expected])


def test_bleu_of_real_sentences():
    references = ["a man is walking his dog in the park .", "two children play football on the grass ."]
    translations = ["a man walks his dog in the park .", "two children play football ."]
    statistics = np.array([[bleu_statistic(*pair) for pair in zip(translations, references, strict=True)]], dtype=float)
    expected = BLEU().corpus_score(translations, [references]).score
    assert expected > 20
    assert scores(BLEU_METRIC, statistics) == pytest.approx([expected])


def test_scores_are_those_of_each_seed():
    statistics = np.array([[[1, 1], [0, 1]], [[1, 1], [1, 1]]], dtype=float)
    assert scores(ACCURACY, statistics).tolist() == [0.5, 1.0]
    nats = np.array([[[10, 4], [2, 2]]], dtype=float)  # long texts weigh more
    assert scores(LOSS, nats).tolist() == [2.0]


def test_the_interval_of_one_seed_is_that_of_a_proportion():
    statistics = answers(0.8, seeds=1, rows=2000)
    share = statistics[0, :, 0].mean()
    width = 1.96 * np.sqrt(share * (1 - share) / 2000)
    low, high = interval(resampled(ACCURACY, statistics))
    assert low == pytest.approx(share - width, abs=0.003)
    assert high == pytest.approx(share + width, abs=0.003)


def test_seeds_that_disagree_widen_the_interval():
    steady = np.concatenate([answers(0.8, seeds=1), answers(0.8, seeds=1, seed=1), answers(0.8, seeds=1, seed=2)])
    torn = np.concatenate([answers(0.6, seeds=1), answers(0.8, seeds=1, seed=1), answers(1.0, seeds=1, seed=2)])
    low, high = interval(resampled(ACCURACY, steady))
    torn_low, torn_high = interval(resampled(ACCURACY, torn))
    assert torn_high - torn_low > 2 * (high - low)


def test_the_same_draws_make_the_difference_paired():
    good = answers(0.8)
    worse = good.copy()
    worse[:, :20, 0] = 0  # the same rows wrong in every seed
    difference = resampled(ACCURACY, worse) - resampled(ACCURACY, good)
    assert (difference <= 0).all()
    assert p_value(difference) == 1 / DRAWS
    low, high = interval(resampled(ACCURACY, good))
    assert np.ptp(np.quantile(difference, [0.025, 0.975])) < high - low


def test_a_variant_measured_by_itself_differs_by_nothing():
    statistics = answers(0.7)
    assert p_value(resampled(ACCURACY, statistics) - resampled(ACCURACY, statistics)) == 1


def test_chance_alone_is_rarely_called_a_difference():
    found = 0
    for seed in range(20):
        first, second = (answers(0.7, rows=150, seed=100 + 2 * seed + k) for k in (0, 1))
        found += p_value(resampled(ACCURACY, first) - resampled(ACCURACY, second)) < 0.05
    assert found <= 3


def variant(key, against):
    return Variant(key, key, against, wrong=False, probe=False, change={}, config={})


def test_a_failed_seed_is_left_out_of_its_variant_alone_and_of_its_comparison():
    variants = [variant("whole", None), variant("part", "whole")]
    results = {
        (key, seed): Result(statistics, 1.0, 5)
        for key, share in (("whole", 0.8), ("part", 0.7))
        for seed, statistics in enumerate(answers(share, seed=len(key)))
    }
    del results["part", 1]
    whole, part = compared(ACCURACY, variants, [0, 1, 2], results)
    assert (whole.label, len(whole.scores), whole.seeds) == ("whole", 3, [0, 1, 2])
    assert (part.label, len(part.scores), part.seeds) == ("part (2 of 3 seeds)", 2, [0, 2])
    of_both, only_both = compared(ACCURACY, variants, [0, 2], results)
    assert part.difference == only_both.difference
    assert (part.scores, part.interval) == (only_both.scores, only_both.interval)
    assert whole.mean != of_both.mean
