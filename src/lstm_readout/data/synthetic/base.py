"""Random choices for the sample corpora: a seeded ``Random`` goes in, a choice comes out.

Only ``Random.random`` is used: Python guarantees its sequence and no other, so the rows are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, TypeVar

Rows = dict[str, list[str]]
_Option = TypeVar("_Option")

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Sample(NamedTuple):
    """One corpus: ``splits[split][role]`` is one string per row, ``ceiling[metric]`` the best on test."""

    splits: dict[str, Rows]
    ceiling: dict[str, float]


def words_of(text: str) -> list[str]:
    """Return the words of a line."""
    return text.split()


def pick(random: Random, options: Sequence[_Option]) -> _Option:
    """Return one of the options, each as likely as the others."""
    return options[int(random.random() * len(options))]


def chance(random: Random, probability: float) -> bool:
    """Return True with this probability."""
    return random.random() < probability


def shuffled(random: Random, items: Sequence[_Option]) -> list[_Option]:
    """Return the items in random order."""
    rest = list(items)
    return [rest.pop(int(random.random() * len(rest))) for _ in items]
