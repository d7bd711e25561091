"""Labelled texts go in; the accuracy of a linear model of word n-grams on other texts comes out.

Wang and Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification": each feature is the
presence of an n-gram, times its log-count ratio of naive Bayes. The linear model is logistic regression.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from lstm_readout.tasks.metrics.word_ngrams import ngram_presence

LONGEST = 3  # words
_PENALTIES = tuple(10.0 ** (-exponent / 2) for exponent in range(-3, 7))  # from strong to weak
_FOLDS = 3
_PASSES = 30  # of liblinear over the texts; 200 give the same accuracies
# baselines=fast: under a minute on one core
_FITTED = 300_000_000  # training characters, times the number of yes-no questions and 3
_CHOSEN = 40_000_000  # training characters, times the number of yes-no questions
_ALL_FOLDS = 4_000_000  # features of all texts, times the number of yes-no questions


class LabelledTexts(NamedTuple):
    """The texts of a split and the number of the label of each, (N,)."""

    texts: Sequence[str]
    labels: np.ndarray

    def spread(self, share: float) -> LabelledTexts:
        """Return this share of the rows, evenly spread; all of them from 1."""
        rows = _spread(len(self.labels), share)
        return LabelledTexts([self.texts[row] for row in map(int, rows)], self.labels[rows])


class _Choice(NamedTuple):
    accuracy: float  # on held-out training texts
    order: int
    penalty: float


def ngram_accuracy(train: LabelledTexts, held_out: LabelledTexts, *, full: bool) -> dict[str, float | str]:
    """Return the accuracy of words alone (``bag_of_words``) and of n-grams of up to ``order`` words (``ngram``).

    Penalty and order are those of the best accuracy on held-out training texts; then the model is fitted on all of
    them. More than two labels: one model for each label against the rest.

    Args:
        train: to fit on.
        held_out: to score.
        full: use all training texts, however many they are.
    """
    questions = _questions(train.labels)
    characters = sum(map(len, train.texts))
    fitted = train if full else train.spread(_FITTED / (characters * (questions + 3) + 1))
    texts, rows = [*fitted.texts, *held_out.texts], len(fitted.labels)
    parts = list(ngram_presence(texts, rows, LONGEST))  # per n, (texts, n-grams)
    chosen = _spread(rows, 1.0 if full else _CHOSEN / (characters * rows / len(train.labels) * questions + 1))
    choices = [
        _choose(order, _up_to(order, parts)[chosen], fitted.labels[chosen]) for order in range(1, len(parts) + 1)
    ]
    best = max(choices, key=lambda choice: choice.accuracy)
    accuracy = {
        choice.order: _accuracy(_up_to(choice.order, parts), fitted.labels, held_out.labels, choice.penalty)
        for choice in {choices[0], best}
    }
    sampled = _note(len(chosen), rows, len(train.labels))
    return {
        "bag_of_words_accuracy": accuracy[1],
        "ngram_accuracy": accuracy[best.order],
        "ngram_order": best.order,
        "ngram_penalty": best.penalty,
        **({"ngram_note": sampled} if sampled else {}),
    }


def predict(features: csr_matrix, labels: np.ndarray, others: csr_matrix, penalty: float) -> np.ndarray:
    """Fit a model, and return its label for each of the others.

    Args:
        features: (N, F) ones and zeros.
        labels: (N,) whole numbers.
        others: (M, F).
        penalty: half of it times the squared norm of the weights is added to the sum of the losses.
    """
    classes = np.unique(labels)
    if len(classes) == 1:
        return np.repeat(classes, others.get_shape()[0])
    if len(classes) == 2:
        return classes[(_scores(features, labels == classes[1], others, penalty) > 0).astype(int)]
    return classes[np.argmax([_scores(features, labels == one, others, penalty) for one in classes], axis=0)]


def log_count_ratio(features: csr_matrix, positive: np.ndarray) -> np.ndarray:
    """Return the log of each feature's share among positive texts over its share among the others: (F,).

    One is added to each count.
    """
    counts, others = positive @ features + 1, ~positive @ features + 1
    return np.log(counts / counts.sum()) - np.log(others / others.sum())


def _scores(features: csr_matrix, positive: np.ndarray, others: csr_matrix, penalty: float) -> np.ndarray:
    """Return the log-odds that each of the others is positive: (M,)."""
    ratio = log_count_ratio(features, positive)
    model = LogisticRegression(C=1 / penalty, solver="liblinear", dual=True, tol=0.1, max_iter=_PASSES, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a weak penalty on separable texts: no worse for it
        model.fit(_scaled(features, ratio), positive)
    return model.decision_function(_scaled(others, ratio))


def _scaled(features: csr_matrix, ratio: np.ndarray) -> csr_matrix:
    return csr_matrix((features.data * ratio[features.indices], features.indices, features.indptr), features.shape)


def _choose(order: int, features: csr_matrix, labels: np.ndarray) -> _Choice:
    """Weaken the penalty for as long as that helps on held-out texts."""
    best = _Choice(-1.0, order, _PENALTIES[0])
    for penalty in _PENALTIES:
        accuracy = float(np.mean([np.mean(right) for right in _cross_validated(features, labels, penalty)]))
        if accuracy < best.accuracy:
            break
        best = _Choice(accuracy, order, penalty)
    return best


def _cross_validated(features: csr_matrix, labels: np.ndarray, penalty: float) -> Iterator[np.ndarray]:
    """Yield which of the held-out texts are right: each third in turn, or the first alone where there are many."""
    fold = np.arange(len(labels)) % _FOLDS
    folds = min(_FOLDS, len(labels)) if features.nnz * _questions(labels) <= _ALL_FOLDS else 1
    for number in range(folds):
        held_out = fold == number
        yield predict(features[~held_out], labels[~held_out], features[held_out], penalty) == labels[held_out]


def _accuracy(features: csr_matrix, labels: np.ndarray, held_out_labels: np.ndarray, penalty: float) -> float:
    rows = len(labels)
    return float(np.mean(predict(features[:rows], labels, features[rows:], penalty) == held_out_labels))


def _up_to(order: int, parts: Sequence[csr_matrix]) -> csr_matrix:
    """Return the n-grams of up to that many words side by side."""
    return csr_matrix(hstack(parts[:order], format="csr"))


def _questions(labels: np.ndarray) -> int:
    classes = len(np.unique(labels))
    return classes if classes > 2 else 1


def _spread(rows: int, share: float) -> np.ndarray:
    """Return this share of the row numbers, evenly spread."""
    return np.linspace(0, rows - 1, max(2, round(rows * share)), dtype=np.int64) if share < 1 else np.arange(rows)


def _note(chosen: int, fitted: int, rows: int) -> str:
    parts = [f"fitted on {fitted:,}"] if fitted < rows else []
    parts += [f"penalty and order chosen on {chosen:,}"] if chosen < rows else []
    return f"{', '.join(parts)} of {rows:,} training rows; baselines=full uses all" if parts else ""
