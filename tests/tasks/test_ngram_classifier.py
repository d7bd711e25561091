"""Linear models of word n-grams: hand-computed ratios, known answers, and real corpora where they are at hand."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from lstm_readout.data.synthetic import sample
from lstm_readout.tasks.metrics import ngram_classifier
from lstm_readout.tasks.metrics.ngram_classifier import LabelledTexts, log_count_ratio, ngram_accuracy, predict
from lstm_readout.tasks.metrics.word_ngrams import ngram_presence, split_words

REAL = os.environ.get("LSTM_READOUT_DATA")


def labelled(pairs: list[tuple[str, int]]) -> LabelledTexts:
    return LabelledTexts([text for text, _ in pairs], np.array([label for _, label in pairs]))


def test_words_are_lower_cased_and_punctuation_stands_alone():
    assert split_words("It's GOOD, isn't it?") == ["it", "'", "s", "good", ",", "isn", "'", "t", "it", "?"]
    assert split_words("iPhone手机 12") == ["iphone", "手", "机", "12"]
    assert split_words("  ") == []


def test_presence_marks_each_ngram_of_a_text_once():
    one, two, three = ngram_presence(["a b a b", "b a", "", "a c"], 3, 3)
    # <s> a b </s>; c is in no training text
    assert one.toarray().sum(axis=1).tolist() == [4, 4, 2, 3]
    assert one.shape == (4, 4)
    # text 0: "<s> a", "a b", "b a", "b </s>"; text 1: "<s> b", "b a", "a </s>"; text 2: "<s> </s>"; text 3: "<s> a"
    assert two.toarray().sum(axis=1).tolist() == [4, 3, 1, 1]
    assert two.shape == (4, 7)
    assert three.toarray().sum(axis=1).tolist() == [4, 2, 0, 0]
    assert set(np.unique(three.toarray())) == {0, 1}


def test_the_ratios_are_those_computed_by_hand():
    features = csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], dtype=np.float32))
    found = log_count_ratio(features, np.array([True, True, False]))
    # positive counts 2 1 0, with one added 3 2 1 of 6; the others 0 1 1, with one added 1 2 2 of 5
    expected = [math.log(3 / 6 / (1 / 5)), math.log(2 / 6 / (2 / 5)), math.log(1 / 6 / (2 / 5))]
    assert found.tolist() == pytest.approx(expected)


def test_separable_texts_are_separated():
    words = ["good fine great", "bad poor awful", "long short wide"]
    train = labelled([(word, label) for label, text in enumerate(words) for word in text.split() * 4])
    test = labelled([("a great one", 0), ("awful!", 1), ("WIDE", 2)])
    scores = ngram_accuracy(train, test, full=False)
    assert scores["ngram_accuracy"] == scores["bag_of_words_accuracy"] == 1
    assert scores["ngram_order"] == 1


def test_where_word_order_decides_pairs_of_words_do_and_words_do_not():
    splits = sample(("text", "label")).splits
    train, test = (
        LabelledTexts(splits[name]["text"][:rows], np.array(splits[name]["label"][:rows]) == "positive")
        for name, rows in (("train", 1500), ("test", 500))
    )
    scores = ngram_accuracy(train._replace(labels=train.labels.astype(int)), test, full=False)
    assert scores["bag_of_words_accuracy"] < 0.6
    assert scores["ngram_accuracy"] > 0.7
    assert scores["ngram_order"] > 1


def test_the_same_texts_give_the_same_scores():
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(list("abcdefgh"), 6)) for _ in range(120)]
    train = labelled([(text, int("a" in text) + int("b c" in text)) for text in texts[:80]])
    test = labelled([(text, int("a" in text) + int("b c" in text)) for text in texts[80:]])
    assert ngram_accuracy(train, test, full=False) == ngram_accuracy(train, test, full=False)


def test_a_label_of_one_row_is_learned_or_at_least_harms_nothing():
    train = labelled([("good", 0), ("bad", 1)] * 10 + [("strange", 2)])
    scores = ngram_accuracy(train, labelled([("good", 0), ("bad", 1), ("bad", 1), ("good", 0)]), full=False)
    assert scores["ngram_accuracy"] == 1


@pytest.mark.parametrize("text", ["good", ""])
def test_a_single_training_label_is_always_predicted(text):
    scores = ngram_accuracy(labelled([("a", 1), ("b", 1)]), labelled([(text, 1), ("b", 0)]), full=False)
    assert scores["ngram_accuracy"] == 0.5


def test_empty_texts_have_a_label_too():
    train = labelled([("good", 0), ("", 1)] * 8)
    assert ngram_accuracy(train, labelled([("", 1), ("good", 0)]), full=False)["ngram_accuracy"] == 1


def test_more_labels_are_one_against_the_rest():
    features = csr_matrix(np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 2]])
    found = predict(features, np.array([4, 4, 7, 7, 9, 9]), csr_matrix(np.eye(3, dtype=np.float32)), 0.1)
    assert found.tolist() == [4, 7, 9]


def test_a_large_corpus_is_sampled_and_says_so(monkeypatch):
    train = labelled([("good", 0), ("bad", 1)] * 50)  # 350 characters, one question
    test = labelled([("good", 0), ("bad", 1)])
    monkeypatch.setattr(ngram_classifier, "_FITTED", 351 * 4 / 2)
    monkeypatch.setattr(ngram_classifier, "_CHOSEN", 35)
    scores = ngram_accuracy(train, test, full=False)
    fitted, chosen = 50, 10
    assert scores["ngram_note"] == (
        f"fitted on {fitted}, penalty and order chosen on {chosen} of 100 training rows; baselines=full uses all"
    )
    assert "ngram_note" not in ngram_accuracy(train, test, full=True)


@pytest.mark.skipif(REAL is None, reason="needs LSTM_READOUT_DATA")
@pytest.mark.parametrize(("corpus", "published", "within"), [("trec", 0.904, 0.0061), ("mr", 0.782, 0.01)])
def test_real_corpora_reach_published_scores(corpus, published, within):
    splits = []
    for split in ("train", "test"):
        path = Path(str(REAL), corpus, f"{split}.csv")
        if not path.exists():
            pytest.skip(f"no {path.name} of {corpus} in LSTM_READOUT_DATA")
        with path.open(encoding="utf-8", newline="") as file:
            splits.append([(row["text"], row["label"]) for row in csv.DictReader(file)])
    numbers = {label: number for number, label in enumerate(sorted({label for _, label in splits[0]}))}
    train, test = (labelled([(text, numbers[label]) for text, label in rows]) for rows in splits)
    assert ngram_accuracy(train, test, full=False)["ngram_accuracy"] == pytest.approx(published, abs=within)
