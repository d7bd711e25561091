"""The bundled sample corpora: the task's column roles go in, generated rows and their ceiling come out.

Each corpus is made from a seed, without a download, and what a perfect model reaches on its test split is
known, so that a trained LSTM can be held against it. Only ``Random.random`` is drawn from: it is the one
method whose sequence Python promises to keep, so the rows are the same on every machine.

- ``text, label``: reviews whose label hangs on negation and on the last "but"; ceiling accuracy 1.
- ``source, target``: dates in words and their written form; ceiling BLEU 100.
- ``text``: sentences of a probabilistic grammar; the ceiling is the loss of the grammar itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from random import Random
from typing import NamedTuple, TypeVar

from lstm_readout.errors import UserError

Rows = dict[str, list[str]]
Option = TypeVar("Option")


class Sample(NamedTuple):
    """One corpus: ``splits[split][role]`` is one string per row, ``ceiling[metric]`` the best on test."""

    splits: dict[str, Rows]
    ceiling: dict[str, float]


def sample(roles: Sequence[str], seed: int = 0) -> Sample:
    """Return the sample corpus that has exactly these column roles, in any order.

    Raises ``UserError`` for any other set of roles.
    """
    for known, make in _CORPORA.items():
        if sorted(roles) == sorted(known):
            return make(seed)
    there_are = "; ".join(", ".join(known) for known in _CORPORA)
    raise UserError(
        f"There is no sample corpus with the roles {', '.join(roles) or '(none)'}. "
        f"The three that exist have: {there_are}. For other columns bring your own text: data=files."
    )


def _words(text: str) -> list[str]:
    return text.split()


def _pick(random: Random, options: Sequence[Option]) -> Option:
    return options[int(random.random() * len(options))]


def _chance(random: Random, probability: float) -> bool:
    return random.random() < probability


def _shuffled(random: Random, items: Sequence[Option]) -> list[Option]:
    rest = list(items)
    return [rest.pop(int(random.random() * len(rest))) for _ in items]


# ---------------------------------------------------------------------------------------------- reviews

_REVIEW_ROWS = {"train": 8000, "validation": 1000, "test": 1000}
_LABELS = ("negative", "positive")
_ADJECTIVES = {
    "negative": _words("bad dull boring weak poor terrible silly clumsy tedious dreadful forgettable flat"),
    "positive": _words("good great brilliant charming funny clever moving superb lovely perfect gripping fresh"),
}
_NEGATIONS = ("not", "never", "hardly")
_DEGREES = ("very", "really", "so", "particularly")
_TOPICS = _words("plot acting music ending dialogue camera story cast script lighting humour pace")
_WORKS = ("film", "play", "show", "series", "book")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_COMPANY = ("my sister", "my brother", "two friends", "my whole family", "a colleague from work")
_PLACES = ("at home", "in town", "on the train", "in a small cinema", "on a long flight")
# Some of these hold a negation that decides nothing: counting negations must not help.
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


def _reviews(seed: int) -> Sample:
    """Reviews, half of them positive; no text occurs twice, in one split or in two.

    The clause after the last "but" decides; where there is no "but" there is one opinion only. A negation
    right before its adjective turns it round. Logistic regression on the words reaches 53 % accuracy on
    test, by their counts and by their presence alike; a reader of the whole text in order can reach 100 %.
    """
    random = Random(f"reviews {seed}")
    seen: set[str] = set()
    splits = {}
    for split, count in _REVIEW_ROWS.items():
        labels = _shuffled(random, [_LABELS[row % 2] for row in range(count)])
        texts = [_unseen(lambda label=label: _review(random, label), seen) for label in labels]
        splits[split] = {"text": texts, "label": labels}
    return Sample(splits, {"accuracy": 1.0})


def _unseen(make: Callable[[], str], seen: set[str]) -> str:
    while (text := make()) in seen:
        pass
    seen.add(text)
    return text


def _review(random: Random, label: str) -> str:
    if _chance(random, 0.1):
        return _short_review(random, label)
    parts = _fillers(random)
    topics = iter(_shuffled(random, _TOPICS))
    for _ in range(_pick(random, (0, 1, 1, 2))):
        # Mostly the contrast that a "but" announces.
        parts += [_clause(random, topics, _other(label) if _chance(random, 0.7) else label)]
        if _chance(random, 0.2):
            parts += ["and", _clause(random, topics, _pick(random, _LABELS))]
        parts += ["but"]
    return " ".join([*parts, _clause(random, topics, label), *_fillers(random)])


def _short_review(random: Random, label: str) -> str:
    article = _pick(random, ("a", "a really", "a very"))
    negation, adjective = _judgement(random, label)
    return " ".join([*negation, article, adjective, _pick(random, _WORKS)])


def _clause(random: Random, topics: Iterator[str], label: str) -> str:
    negation, adjective = _judgement(random, label)
    degree = [_pick(random, _DEGREES)] if _chance(random, 0.3) else []
    return " ".join(["the", next(topics), "was", *negation, *degree, adjective])


def _judgement(random: Random, label: str) -> tuple[list[str], str]:
    if _chance(random, 0.4):
        return [_pick(random, _NEGATIONS)], _pick(random, _ADJECTIVES[_other(label)])
    return [], _pick(random, _ADJECTIVES[label])


def _other(label: str) -> str:
    return _LABELS[1 - _LABELS.index(label)]


def _fillers(random: Random) -> list[str]:
    """No neutral clause, or one, or two: the lengths shall lie far apart."""
    fillers = [_pick(random, _REMARKS)] if _chance(random, 0.35) else []
    fillers += [_visit(random)] if _chance(random, 0.35) else []
    return _shuffled(random, fillers)


def _visit(random: Random) -> str:
    words = ["i saw it on", _pick(random, _WEEKDAYS)]
    words += ["with", _pick(random, _COMPANY)] if _chance(random, 0.5) else []
    words += [_pick(random, _PLACES)] if _chance(random, 0.5) else []
    return " ".join(words)


# ------------------------------------------------------------------------------------------------ dates

_DATE_ROWS = {"train": 12000, "validation": 500, "test": 500}
_FIRST_DAY = date(1950, 1, 1)
_DAY_COUNT = (date(2050, 1, 1) - _FIRST_DAY).days
_MONTHS = _words("january february march april may june july august september october november december")
_ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
_ORDINALS |= {"nine": "ninth", "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}
_OPENINGS = ("please book a table", "we will meet", "see you", "let us say", "the doors open")
_MINUTES = {0: "", 15: "quarter past ", 30: "half past "}
_HOURS = range(8, 22)
# Each part of the day is shorter than twelve hours, so an hour in words has one meaning.
_DAY_PARTS = ((12, "in the morning"), (18, "in the afternoon"), (24, "in the evening"))


def _dates(seed: int) -> Sample:
    """Appointments in words and their one written form, in another order than they were said.

    No source occurs twice, in one split or in two, and each has exactly one right target.
    """
    random = Random(f"dates {seed}")
    seen: set[str] = set()
    splits = {}
    for split, count in _DATE_ROWS.items():
        targets: dict[str, str] = {}
        while len(targets) < count:
            source, target = _appointment(random)
            if source not in seen:
                seen.add(source)
                targets[source] = target
        splits[split] = {"source": list(targets), "target": list(targets.values())}
    return Sample(splits, {"bleu": 100.0})


def _appointment(random: Random) -> tuple[str, str]:
    day = _FIRST_DAY + timedelta(days=int(random.random() * _DAY_COUNT))
    with_weekday = _chance(random, 0.5)
    spoken = [_spoken_day(random, day, with_weekday)]
    target = [*day.isoformat()] + ([_WEEKDAYS[day.weekday()][:3]] if with_weekday else [])
    if _chance(random, 0.5):
        hour, minute = _pick(random, _HOURS), _pick(random, tuple(_MINUTES))
        spoken += [_spoken_time(hour, minute)]
        target += f"{hour:02}:{minute:02}"
    if _chance(random, 0.5):
        people = 1 + int(random.random() * 50)
        spoken += [f"for {_number(people)} {'person' if people == 1 else 'people'}"]
        target += f"x{people}"
    opening = [_pick(random, _OPENINGS)] if _chance(random, 0.4) else []
    return " ".join([*opening, *_shuffled(random, spoken)]), " ".join(target)


def _spoken_day(random: Random, day: date, with_weekday: bool) -> str:
    month, ordinal = _MONTHS[day.month - 1], _ordinal(day.day)
    start = f"on {_WEEKDAYS[day.weekday()]} " if with_weekday else _pick(random, ("", "on "))
    return start + _pick(random, (f"the {ordinal} of {month}", f"{month} the {ordinal}")) + f" {_year(day.year)}"


def _year(year: int) -> str:
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return "two thousand" + (f" and {_number(rest)}" if rest else "")
    return f"{_number(century)} {_number(rest)}"


def _spoken_time(hour: int, minute: int) -> str:
    if (hour, minute) == (12, 0):
        return "at noon"
    day_part = next(name for end, name in _DAY_PARTS if hour < end)
    return f"at {_MINUTES[minute]}{_number((hour - 1) % 12 + 1)} {day_part}"


def _number(number: int) -> str:
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")


def _ordinal(number: int) -> str:
    *tens, last = _number(number).split()
    return " ".join([*tens, _ORDINALS.get(last, last + "th")])


# ---------------------------------------------------------------------------------------------- grammar

_SENTENCE_ROWS = {"train": 8000, "validation": 1000, "test": 1000}
_DEEPEST = 2
# How likely a noun has a relative clause, by the number of relative clauses that it stands in.
_RELATIVE = (0.35, 0.2, 0.0)
_NUMBERS = ("one", "many")
_NOUNS = _words(
    "dog/dogs man/men cat/cats woman/women child/children horse/horses bird/birds teacher/teachers "
    "farmer/farmers king/kings doctor/doctors river/rivers house/houses tree/trees garden/gardens "
    "bridge/bridges boat/boats tower/towers"
)
_TRANSITIVE = _words(
    "sees/see likes/like follows/follow hears/hear finds/find knows/know fears/fear helps/help "
    "visits/visit remembers/remember"
)
_INTRANSITIVE = _words("sleeps/sleep waits/wait sings/sing barks/bark runs/run falls/fall smiles/smile grows/grow")
_DETERMINERS = {"one": _words("the a this every"), "many": ["the", "", "some", "these", "many"]}
_QUALITIES = _words("old small young tall quiet brown happy cold strange green")
_PREPOSITIONS = _words("near behind beside under with")
_ADVERBS = _words("often quietly again today slowly outside")

Rule = tuple[float, tuple[str, ...]]


def _grammar_rules() -> dict[str, list[Rule]]:
    """The grammar: for each symbol the probability and the symbols or words of each way to write it out.

    A prepositional phrase comes before the relative clause and holds neither, and no word has two
    uses: so each sentence has one derivation, and its probability is the product of the choices made.
    """
    rules: dict[str, list[Rule]] = {
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


def _phrase_rules(number: str, depth: int) -> dict[str, list[Rule]]:
    """The rules of the phrases that stand in ``depth`` relative clauses, for one grammatical number."""
    group, verb, verbs = (f"NOUN-GROUP {number}", "PLACE"), f"ACTS-ON {number}", f"VERB-PHRASE {number}"
    objects = [(0.2, (verb, f"NOUN-PHRASE {other} {depth}")) for other in _NUMBERS]
    rules: dict[str, list[Rule]] = {
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


def _falling(words: Sequence[str]) -> list[Rule]:
    """Rules for words of one kind, the first the most likely, as in a natural text; "" is no word."""
    weights = [1 / (rank + 2) for rank in range(len(words))]
    return [(weight / sum(weights), (word,) if word else ()) for weight, word in zip(weights, words, strict=True)]


def _grammar(seed: int) -> Sample:
    """Sentences drawn from the grammar, the verb in number with its subject across relative clauses.

    A short sentence may stand in two splits: leaving repeats out would bend the distribution, and with it
    the ceiling. The loss counts each word and one end-of-text token per row, which is certain after ".".
    """
    random = Random(f"grammar {seed}")
    rules = _grammar_rules()
    splits: dict[str, Rows] = {}
    loss = 0.0
    for split, count in _SENTENCE_ROWS.items():
        drawn = [_derive(random, rules, "SENTENCE") for _ in range(count)]
        splits[split] = {"text": [" ".join(words) for words, _ in drawn]}
        # The test split comes last, so the loss that stays is its own.
        loss = -math.fsum(log for _, log in drawn) / sum(len(words) + 1 for words, _ in drawn)
    return Sample(splits, {"loss": loss, "perplexity": math.exp(loss)})


def _derive(random: Random, rules: dict[str, list[Rule]], symbol: str) -> tuple[list[str], float]:
    """Write a symbol out; return its words and the log-probability of the choices made."""
    if symbol not in rules:
        return [symbol], 0.0
    probability, parts = _draw(random, rules[symbol])
    words: list[str] = []
    log_probability = math.log(probability)
    for part in parts:
        part_words, part_log = _derive(random, rules, part)
        words += part_words
        log_probability += part_log
    return words, log_probability


def _draw(random: Random, options: list[Rule]) -> Rule:
    left = random.random()
    for option in options:
        left -= option[0]
        if left < 0:
            return option
    return options[-1]


_CORPORA: dict[tuple[str, ...], Callable[[int], Sample]] = {
    ("text", "label"): _reviews,
    ("source", "target"): _dates,
    ("text",): _grammar,
}
