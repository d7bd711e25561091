"""Does a run beat its strongest baseline?"""

from __future__ import annotations

import pytest

from lstm_readout.commands.measure import effort_of
from lstm_readout.commands.verdict import verdict_on
from lstm_readout.errors import UserError
from lstm_readout.tasks import ClassifyTask, GenerateTask, TranslateTask


class Unnamed(ClassifyTask):
    name = "my_own"


def metrics(metric, test, **baselines):
    return {f"val/{metric}": 0.0, f"test/{metric}": test} | {
        f"baseline/{key}": value for key, value in baselines.items()
    }


def test_the_strongest_baseline_is_named_with_both_numbers():
    measured = metrics("accuracy", 0.889, majority_accuracy=0.176, ngram_accuracy=0.904, ngram_order=2)
    verdict = verdict_on(object.__new__(ClassifyTask), measured)
    assert not verdict.beats
    assert verdict.line.startswith(
        "test accuracy 0.889 does not beat the strongest baseline, word n-grams 0.904. Try more training text, "
    )
    verdict = verdict_on(object.__new__(ClassifyTask), measured | {"test/accuracy": 0.915})
    assert verdict == (True, "test accuracy 0.915 beats the strongest baseline, word n-grams 0.904")


def test_a_lower_loss_is_better():
    measured = metrics("loss", 1.42, unigram_loss=3.347, kneser_ney_loss=1.517, kneser_ney_perplexity=4.559)
    verdict = verdict_on(object.__new__(GenerateTask), measured)
    assert verdict == (True, "test loss 1.42 beats the strongest baseline, Kneser-Ney n-grams 1.517")
    assert not verdict_on(object.__new__(GenerateTask), measured | {"test/loss": 1.517}).beats  # a tie


def test_validation_decides_where_there_is_no_test_split():
    measured = {"val/bleu": 5.0, "baseline/copy_source_bleu": 0.5, "baseline/nearest_source_bleu": 11.6}
    verdict = verdict_on(object.__new__(TranslateTask), measured)
    assert verdict.line.startswith(
        "validation bleu 5 does not beat the strongest baseline, the nearest training source 11"
    )


def test_a_task_of_ones_own_gets_no_advice():
    verdict = verdict_on(object.__new__(Unnamed), metrics("accuracy", 0.1, lookup_accuracy=0.2))
    assert verdict.line == "test accuracy 0.1 does not beat the strongest baseline, lookup 0.2"


def test_without_baselines_or_scores_there_is_no_verdict():
    assert verdict_on(object.__new__(ClassifyTask), metrics("accuracy", 0.5)) is None
    assert verdict_on(object.__new__(ClassifyTask), {"baseline/majority_accuracy": 0.5}) is None


@pytest.mark.parametrize(("written", "effort"), [("fast", "fast"), ("full", "full"), ("off", "off"), (False, "off")])
def test_the_key_is_read(written, effort):
    assert effort_of({"baselines": written}) == effort


def test_a_configuration_of_an_earlier_version_measures_fast():
    assert effort_of({}) == "fast"


@pytest.mark.parametrize("value", ["fulll", True, None, 3])
def test_an_unknown_value_is_refused_with_the_valid_ones(value):
    with pytest.raises(UserError, match=r"baselines: got .*fast.*full.*off"):
        effort_of({"baselines": value})
