"""A seed goes in; sentences of a probabilistic grammar, and its own loss on them, come out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from lstm_readout.data.synthetic.base import Rows, Sample, words_of

_SENTENCE_ROWS = {"train": 8000, "validation": 1000, "test": 1000}
_DEEPEST = 2
# The probability that a noun has a relative clause, by the number of relative clauses around it.
_RELATIVE = (0.35, 0.2, 0.0)
_NUMBERS = ("one", "many")
_NOUNS = words_of(
    "dog/dogs man/men cat/cats woman/women child/children horse/horses bird/birds teacher/teachers "
    "farmer/farmers king/kings doctor/doctors river/rivers house/houses tree/trees garden/gardens "
    "bridge/bridges boat/boats tower/towers"
)
_TRANSITIVE = words_of(
    "sees/see likes/like follows/follow hears/hear finds/find knows/know fears/fear helps/help "
    "visits/visit remembers/remember"
)
_INTRANSITIVE = words_of("sleeps/sleep waits/wait sings/sing barks/bark runs/run falls/fall smiles/smile grows/grow")
_DETERMINERS = {"one": words_of("the a this every"), "many": ["the", "", "some", "these", "many"]}
_QUALITIES = words_of("old small young tall quiet brown happy cold strange green")
_PREPOSITIONS = words_of("near behind beside under with")
_ADVERBS = words_of("often quietly again today slowly outside")

_Rule = tuple[float, tuple[str, ...]]


def grammar_rules() -> dict[str, list[_Rule]]:
    """Return the grammar: for each symbol, the probability and the symbols or words of each expansion.

    A prepositional phrase comes before the relative clause and contains neither, and no word has two uses: so each
    sentence has one derivation, and its probability is the product of the choices made.
    """
    rules: dict[str, list[_Rule]] = {
        "SENTENCE": [(0.5, (f"NOUN-PHRASE {number} 0", f"VERB-PHRASE {number} 0", ".")) for number in _NUMBERS],
        "ADJECTIVES": [(0.65, ()), (0.28, ("ADJECTIVE",)), (0.07, ("ADJECTIVE", "ADJECTIVE"))],
        "PLACE": [(0.8, ()), *((0.1, ("PREPOSITION", f"NOUN-GROUP {number}")) for number in _NUMBERS)],
        "ADJECTIVE": _falling(_QUALITIES),
        "PREPOSITION": _falling(_PREPOSITIONS),
        "ADVERB": _falling(_ADVERBS),
    }
    for column, number in enumerate(_NUMBERS):
        rules[f"DETERMINER {number}"] = _falling(_DETERMINERS[number])
        for name, pairs in (("NOUN", _NOUNS), ("ACTS-ON", _TRANSITIVE), ("ACTS", _INTRANSITIVE)):
            rules[f"{name} {number}"] = _falling([pair.split("/")[column] for pair in pairs])
        rules[f"NOUN-GROUP {number}"] = [(1.0, (f"DETERMINER {number}", "ADJECTIVES", f"NOUN {number}"))]
        for depth in range(_DEEPEST + 1):
            rules |= _phrase_rules(number, depth)
    return rules


def _phrase_rules(number: str, depth: int) -> dict[str, list[_Rule]]:
    """Return the rules of the phrases inside ``depth`` relative clauses, for one grammatical number."""
    group, verb, verbs = (f"NOUN-GROUP {number}", "PLACE"), f"ACTS-ON {number}", f"VERB-PHRASE {number}"
    objects = [(0.2, (verb, f"NOUN-PHRASE {other} {depth}")) for other in _NUMBERS]
    rules: dict[str, list[_Rule]] = {
        f"NOUN-PHRASE {number} {depth}": [(1.0, group)],
        f"{verbs} {depth}": [(0.4, (f"ACTS {number}",)), (0.2, (f"ACTS {number}", "ADVERB")), *objects],
    }
    if depth < _DEEPEST:
        inner, likely = depth + 1, _RELATIVE[depth]
        clause = f"CLAUSE {number} {inner}"
        rules[f"NOUN-PHRASE {number} {depth}"] = [(1 - likely, group), (likely, (*group, clause))]
        subjects = [(0.25, ("that", f"NOUN-PHRASE {other} {inner}", f"ACTS-ON {other}")) for other in _NUMBERS]
        rules[clause] = [(0.5, ("that", f"{verbs} {inner}")), *subjects]
    return rules


def _falling(words: Sequence[str]) -> list[_Rule]:
    """Rules for words of one kind, the first the most likely, as in a natural text; "" is no word."""
    weights = [1 / (rank + 2) for rank in range(len(words))]
    return [(weight / sum(weights), (word,) if word else ()) for weight, word in zip(weights, words, strict=True)]


def grammar(seed: int) -> Sample:
    """Sentences drawn from the grammar; verbs agree in number with their subjects across relative clauses.

    A short sentence may be in two splits: removing repeats would change the distribution, and with it
    the ceiling. The loss counts each word and one end-of-text token per row, which is certain after ".".
    """
    random = Random(f"grammar {seed}")
    rules = grammar_rules()
    splits: dict[str, Rows] = {}
    loss = 0.0
    for split, count in _SENTENCE_ROWS.items():
        drawn = [derive(random, rules, "SENTENCE") for _ in range(count)]
        splits[split] = {"text": [" ".join(words) for words, _ in drawn]}
        # The test split comes last, so the loss that remains is the test split's.
        loss = -math.fsum(log for _, log in drawn) / sum(len(words) + 1 for words, _ in drawn)
    return Sample(splits, {"loss": loss, "perplexity": math.exp(loss)})


def derive(random: Random, rules: dict[str, list[_Rule]], symbol: str) -> tuple[list[str], float]:
    """Expand a symbol; return its words and the log-probability of the choices made."""
    if symbol not in rules:
        return [symbol], 0.0
    probability, parts = _draw(random, rules[symbol])
    words: list[str] = []
    log_probability = math.log(probability)
    for part in parts:
        part_words, part_log = derive(random, rules, part)
        words += part_words
        log_probability += part_log
    return words, log_probability


def _draw(random: Random, options: list[_Rule]) -> _Rule:
    left = random.random()
    for option in options:
        left -= option[0]
        if left < 0:
            return option
    return options[-1]
