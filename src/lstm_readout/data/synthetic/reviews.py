"""A seed goes in; reviews whose label depends on negation and on the last "but" come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from lstm_readout.data.synthetic.base import WEEKDAYS, Sample, chance, pick, shuffled, words_of

_REVIEW_ROWS = {"train": 8000, "validation": 1000, "test": 1000}
_LABELS = ("negative", "positive")
_ADJECTIVES = {
    "negative": words_of("bad dull boring weak poor terrible silly clumsy tedious dreadful forgettable flat"),
    "positive": words_of("good great brilliant charming funny clever moving superb lovely perfect gripping fresh"),
}
_NEGATIONS = ("not", "never", "hardly")
_DEGREES = ("very", "really", "so", "particularly")
_TOPICS = words_of("plot acting music ending dialogue camera story cast script lighting humour pace")
_WORKS = ("film", "play", "show", "series", "book")
_COMPANY = ("my sister", "my brother", "two friends", "my whole family", "a colleague from work")
_PLACES = ("at home", "in town", "on the train", "in a small cinema", "on a long flight")
# Some of these contain a negation that decides nothing: counting negations must not help.
_REMARKS = (
    "it lasts about two hours",
    "we had never been there before",
    "i have not read what others wrote",
    "it was raining outside",
    "the tickets came by post",
    "there was hardly anyone in the room",
    "my neighbour told me about it last week",
    "they made it some ten years ago",
    "we took the late bus back",
    "i do not usually write these",
)


def reviews(seed: int) -> Sample:
    """Reviews, half of them positive; no text occurs twice, within a split or across splits.

    The clause after the last "but" decides; without a "but" there is one opinion only. A negation
    right before its adjective reverses it. Logistic regression on the words reaches 53 % accuracy on
    test, by their counts and by their presence alike; a reader of the whole text in order can reach 100 %.
    """
    random = Random(f"reviews {seed}")
    seen: set[str] = set()
    splits = {}
    for split, count in _REVIEW_ROWS.items():
        labels = shuffled(random, [_LABELS[row % 2] for row in range(count)])
        texts = [_unseen(lambda label=label: _review(random, label), seen) for label in labels]
        splits[split] = {"text": texts, "label": labels}
    return Sample(splits, {"accuracy": 1.0})


def _unseen(make: Callable[[], str], seen: set[str]) -> str:
    while (text := make()) in seen:
        pass
    seen.add(text)
    return text


def _review(random: Random, label: str) -> str:
    if chance(random, 0.1):
        return _short_review(random, label)
    parts = _fillers(random)
    topics = iter(shuffled(random, _TOPICS))
    for _ in range(pick(random, (0, 1, 1, 2))):
        # Mostly the contrast that a "but" announces.
        parts += [_clause(random, topics, _other(label) if chance(random, 0.7) else label)]
        if chance(random, 0.2):
            parts += ["and", _clause(random, topics, pick(random, _LABELS))]
        parts += ["but"]
    return " ".join([*parts, _clause(random, topics, label), *_fillers(random)])


def _short_review(random: Random, label: str) -> str:
    article = pick(random, ("a", "a really", "a very"))
    negation, adjective = _judgement(random, label)
    return " ".join([*negation, article, adjective, pick(random, _WORKS)])


def _clause(random: Random, topics: Iterator[str], label: str) -> str:
    negation, adjective = _judgement(random, label)
    degree = [pick(random, _DEGREES)] if chance(random, 0.3) else []
    return " ".join(["the", next(topics), "was", *negation, *degree, adjective])


def _judgement(random: Random, label: str) -> tuple[list[str], str]:
    if chance(random, 0.4):
        return [pick(random, _NEGATIONS)], pick(random, _ADJECTIVES[_other(label)])
    return [], pick(random, _ADJECTIVES[label])


def _other(label: str) -> str:
    return _LABELS[1 - _LABELS.index(label)]


def _fillers(random: Random) -> list[str]:
    """No neutral clause, or one, or two: lengths should vary widely."""
    fillers = [pick(random, _REMARKS)] if chance(random, 0.35) else []
    fillers += [_visit(random)] if chance(random, 0.35) else []
    return shuffled(random, fillers)


def _visit(random: Random) -> str:
    words = ["i saw it on", pick(random, WEEKDAYS)]
    words += ["with", pick(random, _COMPANY)] if chance(random, 0.5) else []
    words += [pick(random, _PLACES)] if chance(random, 0.5) else []
    return " ".join(words)
