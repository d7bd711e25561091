"""Training texts go in; a pattern of the spaces to leave out in decoded text comes out.

A word tokenizer returns ``a man , in the park .``: it does not know where its text had spaces. The training texts show
where: usually none between a letter and a comma, and one between a comma and a letter. Both are counted for each pair
of neighbours of which one is punctuation or a symbol. Text that was already tokenized keeps its spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

_RARELY = 2  # at least twice as often together as apart; quotation marks open and close, and keep their spaces
_ENOUGH = 2_000_000  # characters: fewer would do
_LETTER = r"[^\s\p{P}\p{S}\p{Nd}]|<unk>"  # classes of neighbours, as Oniguruma writes them
_DIGIT = r"\p{Nd}"
_NEVER = r" (?!.|\n) "  # matches nothing


class Spacing:
    """Counts how often neighbours are written with and without a space between them."""

    def __init__(self) -> None:
        self.together: Counter[tuple[str, str]] = Counter()
        self.apart: Counter[tuple[str, str]] = Counter()

    def watch(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the texts unchanged, and count in the first of them."""
        left = _ENOUGH
        for text in texts:
            if left > 0:
                self.count(text[:left])
                left -= len(text)
            yield text

    def count(self, text: str) -> None:
        """Count the neighbours of one text."""
        words = text.split()
        line = " ".join(words)
        self.together.update(pairwise(line))
        self.apart.update((one[-1], other[0]) for one, other in pairwise(words))

    def pattern(self) -> str:
        """Return the Oniguruma pattern of a space to leave out: one that the texts rarely have."""
        apart, followers = _by_class(self.apart), defaultdict(list)
        for (one, other), often in sorted(_by_class(self.together).items()):
            are_words = one in (_LETTER, _DIGIT) and other in (_LETTER, _DIGIT)
            of_unknown = one == ">" or other == "<"  # the brackets of <unk>, which counts as a word
            if often > _RARELY * apart[one, other] and not (are_words or of_unknown):
                followers[one].append(other)
        leaders = defaultdict(list)
        for one, others in followers.items():
            leaders["|".join(others)].append(one)
        cases = [f"(?<={'|'.join(ones)}) (?={others})" for others, ones in leaders.items()]
        return "|".join(cases) if cases else _NEVER


def _by_class(counts: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    summed: Counter[tuple[str, str]] = Counter()
    for (one, other), count in counts.items():
        if " " not in (one, other):
            summed[_class_of(one), _class_of(other)] += count
    return summed


def _class_of(character: str) -> str:
    """Return the class of a character, as an Oniguruma pattern: a letter, a digit, or this very punctuation mark."""
    category = unicodedata.category(character)
    if category == "Nd":
        return _DIGIT
    return re.escape(character) if category[0] in "PS" else _LETTER
