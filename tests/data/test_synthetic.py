"""The sample corpora keep what they promise: labels, targets, probabilities, splits and ceilings."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from datetime import date
from functools import cache
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from lstm_readout.data.synthetic import Sample, sample
from lstm_readout.data.synthetic.grammar import derive, grammar_rules
from lstm_readout.errors import UserError

ROLES = [("text", "label"), ("source", "target"), ("text",)]


def words_of(text: str) -> list[str]:
    return text.split()


@cache
def corpus(*roles: str) -> Sample:
    return sample(roles)


def pairs(*roles: str) -> list[tuple[str, str]]:
    splits = corpus(*roles).splits.values()
    return [pair for split in splits for pair in zip(split[roles[0]], split[roles[1]], strict=True)]


# --- all three


@pytest.mark.parametrize("roles", ROLES)
def test_splits_have_the_roles_and_equally_many_rows(roles: tuple[str, ...]) -> None:
    splits = corpus(*roles).splits
    assert list(splits) == ["train", "validation", "test"]
    for split in splits.values():
        assert set(split) == set(roles)
        assert len({len(column) for column in split.values()}) == 1
    rows = [len(split[roles[0]]) for split in splits.values()]
    assert rows[0] >= 8 * rows[1] > 0
    assert rows[2] == rows[1]


@pytest.mark.parametrize("roles", ROLES)
def test_order_of_roles_does_not_matter(roles: tuple[str, ...]) -> None:
    assert sample(roles[::-1]) == corpus(*roles)


@pytest.mark.parametrize("roles", ROLES)
def test_seed_decides_the_rows(roles: tuple[str, ...]) -> None:
    assert sample(roles, seed=3) == sample(roles, seed=3)
    assert sample(roles, seed=3).splits != corpus(*roles).splits


def test_another_process_makes_the_same_rows() -> None:
    # Hash randomisation differs there, so a set or a hash that decides anything would show.
    program = (
        "import zlib; from lstm_readout.data.synthetic import sample\n"
        f"for roles in {ROLES}: print(zlib.crc32(repr(sample(roles)).encode()))"
    )
    done = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert done[0] == done[1]
    assert len(set(done[0].split())) == 3


@pytest.mark.parametrize("roles", ROLES)
def test_a_corpus_is_made_quickly(roles: tuple[str, ...]) -> None:
    started = time.process_time()
    sample(roles, seed=1)
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize(("roles", "shortest", "longest"), [(ROLES[0], 4, 45), (ROLES[1], 6, 21), (ROLES[2], 4, 22)])
def test_lengths_vary_widely(roles: tuple[str, ...], shortest: int, longest: int) -> None:
    for split in corpus(*roles).splits.values():
        lengths = [len(text.split()) for text in split[roles[0]]]
        assert 3 <= min(lengths) <= shortest
        assert longest <= max(lengths) <= 65
        assert np.std(lengths) > 0.25 * np.mean(lengths)


@pytest.mark.parametrize("roles", ROLES)
def test_no_column_holds_blank_or_untidy_text(roles: tuple[str, ...]) -> None:
    for split in corpus(*roles).splits.values():
        for column in split.values():
            assert all(text and text == " ".join(text.split()).lower() for text in column)


@pytest.mark.parametrize("roles", ROLES[:2])
def test_no_input_occurs_twice(roles: tuple[str, ...]) -> None:
    texts = [text for split in corpus(*roles).splits.values() for text in split[roles[0]]]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("roles", [(), ("label",), ("text", "target"), ("text", "label", "source")])
def test_other_roles_are_refused_with_what_exists(roles: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        sample(roles)
    message = str(caught.value)
    assert (", ".join(roles) or "(none)") in message
    assert all(", ".join(known) in message for known in ROLES)
    assert "data=files" in message


# --- reviews

GOOD = set(words_of("good great brilliant charming funny clever moving superb lovely perfect gripping fresh"))
BAD = set(words_of("bad dull boring weak poor terrible silly clumsy tedious dreadful forgettable flat"))


def review_label(text: str) -> str:
    words = text.split()
    while "but" in words:
        words = words[words.index("but") + 1 :]
    (place,) = (place for place, word in enumerate(words) if word in GOOD | BAD)
    negated = any(word in {"not", "never", "hardly"} for word in words[max(0, place - 3) : place])
    return "positive" if (words[place] in GOOD) != negated else "negative"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("the plot was dull but the acting was not bad", "positive"),
        ("the plot was never dull but the acting was bad", "negative"),
        ("i have not read what others wrote the cast was good", "positive"),
        ("hardly a great film", "negative"),
    ],
)
def test_the_rule_for_labels_reads_as_a_person_does(text: str, label: str) -> None:
    assert review_label(text) == label


def test_every_label_follows_from_its_text() -> None:
    assert [label for _, label in pairs("text", "label")] == [review_label(text) for text, _ in pairs("text", "label")]


def test_labels_are_balanced() -> None:
    for split in corpus("text", "label").splits.values():
        assert split["label"].count("positive") == split["label"].count("negative") == len(split["label"]) // 2


def test_the_accuracy_ceiling_is_one() -> None:
    assert corpus("text", "label").ceiling == {"accuracy": 1.0}


@pytest.mark.parametrize("presence", [False, True])
def test_a_bag_of_words_does_not_solve_the_reviews(presence: bool) -> None:
    splits = corpus("text", "label").splits
    vocabulary = sorted({word for text in splits["train"]["text"] for word in text.split()})
    columns = {word: column for column, word in enumerate(vocabulary)}

    def features(texts: list[str]) -> np.ndarray:
        counts = np.zeros((len(texts), len(columns) + 1))
        counts[:, -1] = 1
        for row, text in enumerate(texts):
            for word in text.split():
                if word in columns:
                    counts[row, columns[word]] += 1
        return np.minimum(counts, 1) if presence else counts

    inputs, test_inputs = features(splits["train"]["text"]), features(splits["test"]["text"])
    labels, test_labels = (
        np.array([label == "positive" for label in splits[split]["label"]]) for split in ("train", "test")
    )
    weights = np.zeros(inputs.shape[1])
    for _ in range(15):  # Newton's method: some five steps reach the optimum
        probabilities = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (labels - probabilities) - 1e-2 * weights
        curvature = (inputs.T * (probabilities * (1 - probabilities))) @ inputs + 1e-2 * np.eye(len(weights))
        weights += np.linalg.solve(curvature, gradient)
    assert np.abs(gradient).max() < 1e-4
    accuracy = ((test_inputs @ weights > 0) == test_labels).mean()
    assert 0.45 < accuracy < 0.75


# --- dates

MONTHS = words_of("january february march april may june july august september october november december")
DAYS = words_of("monday tuesday wednesday thursday friday saturday sunday")
UNITS = dict(
    zip(
        words_of(
            "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
            "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
        ),
        [*range(1, 20), *range(20, 100, 10)],
        strict=True,
    )
)
ORDINALS = dict(
    zip(
        words_of(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
            "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth"
        ),
        [*range(1, 21), 30],
        strict=True,
    )
)


def test_every_target_follows_from_its_source() -> None:
    for source, target in pairs("source", "target"):
        assert target == written_form(source), source


def written_form(source: str) -> str:
    """Read the source word by word, knowing nothing of how it was put together."""
    words = source.split()
    day = 0
    for before, word in pairwise(["", *words]):
        if word in ORDINALS:
            day = ORDINALS[word] + (UNITS[before] if before in ("twenty", "thirty") else 0)
    month = next(place for place, name in enumerate(MONTHS, 1) if name in words)
    anchor = max(place for place, word in enumerate(words) if word in MONTHS or word in ORDINALS)
    moment = date(read_year(words[anchor + 1 :]), month, day)
    parts = [*moment.isoformat()]
    if spoken := [word for word in words if word in DAYS]:
        assert spoken == [DAYS[moment.weekday()]]
        parts.append(spoken[0][:3])
    if "at" in words:
        parts += read_time(words[words.index("at") + 1 :])
    if "people" in words or "person" in words:
        parts += ["x", *str(read_number(words[words.index("for") + 1 :]))]
    return " ".join(parts)


def read_number(words: list[str]) -> int:
    first, *rest = (UNITS.get(word, 0) for word in words[:2])
    return first + (rest[0] if first >= 20 and rest and rest[0] < 10 else 0)


def read_year(words: list[str]) -> int:
    if words[:2] == ["two", "thousand"]:
        return 2000 + (read_number(words[3:]) if words[2:3] == ["and"] else 0)
    return 100 * UNITS[words[0]] + read_number(words[1:])


def read_time(words: list[str]) -> str:
    if words[0] == "noon":
        return "12:00"
    minutes = 0
    if words[0] in ("quarter", "half"):
        assert words[1] == "past"
        minutes = 15 if words[0] == "quarter" else 30
        words = words[2:]
    clock = 60 * (UNITS[words[0]] % 12) + minutes
    start, end = {"morning": (0, 12), "afternoon": (12, 18), "evening": (18, 24)}[
        next(word for word in words if word in ("morning", "afternoon", "evening"))
    ]
    (moment,) = (clock + shift for shift in (0, 720) if 60 * start <= clock + shift < 60 * end)
    return f"{moment // 60:02}:{moment % 60:02}"


def test_optional_parts_come_in_every_combination() -> None:
    targets = corpus("source", "target").splits["test"]["target"]
    shapes = {("x" in target, ":" in target, any(day[:3] in target for day in DAYS)) for target in targets}
    assert len(shapes) == 8


def test_the_parts_of_a_source_come_in_several_orders() -> None:
    sources = [source.split() for source in corpus("source", "target").splits["test"]["source"]]
    timed = [words for words in sources if "at" in words and "for" in words]
    assert {words.index("at") < words.index("for") for words in timed} == {False, True}


def test_the_target_vocabulary_is_tiny() -> None:
    assert len({token for _, target in pairs("source", "target") for token in target.split()}) == 20
    assert corpus("source", "target").ceiling == {"bleu": 100.0}


# --- grammar

RULES = grammar_rules()


def inside(words: list[str]) -> float:
    """The summed probability of all derivations of a sentence: a chart, unlike the sampler's one walk."""

    @cache
    def ends(symbol: str, start: int) -> dict[int, float]:
        if symbol not in RULES:
            return {start + 1: 1.0} if words[start : start + 1] == [symbol] else {}
        total: dict[int, float] = {}
        for probability, parts in RULES[symbol]:
            reached = {start: probability}
            for part in parts:
                further: dict[int, float] = {}
                for place, so_far in reached.items():
                    for end, more in ends(part, place).items():
                        further[end] = further.get(end, 0.0) + so_far * more
                reached = further
            for end, found in reached.items():
                total[end] = total.get(end, 0.0) + found
        return total

    return ends("SENTENCE", 0).get(len(words), 0.0)


def test_probabilities_of_each_choice_sum_to_one() -> None:
    for symbol, options in RULES.items():
        assert sum(probability for probability, _ in options) == pytest.approx(1), symbol
        assert len({parts for _, parts in options}) == len(options)


def test_ceiling_is_the_loss_of_the_test_split() -> None:
    texts = corpus("text").splits["test"]["text"]
    logs = [math.log(inside(text.split())) for text in texts]
    tokens = sum(len(text.split()) + 1 for text in texts)
    ceiling = corpus("text").ceiling
    # Equal only if no sentence has a second derivation: that one would add to the inside probability.
    assert ceiling["loss"] == pytest.approx(-sum(logs) / tokens, rel=1e-9)
    assert ceiling["perplexity"] == pytest.approx(math.exp(ceiling["loss"]))
    assert set(ceiling) == {"loss", "perplexity"}


def test_ceiling_is_near_the_entropy_of_the_grammar_and_of_a_long_sample() -> None:
    @cache
    def entropy_and_length(symbol: str) -> tuple[float, float]:
        if symbol not in RULES:
            return 0.0, 1.0
        entropy = length = 0.0
        for probability, parts in RULES[symbol]:
            below = [entropy_and_length(part) for part in parts]
            entropy += probability * (sum(part[0] for part in below) - math.log(probability))
            length += probability * sum(part[1] for part in below)
        return entropy, length

    entropy, length = entropy_and_length("SENTENCE")
    random = Random(1)
    drawn = [derive(random, RULES, "SENTENCE") for _ in range(20000)]
    in_the_long_run = -sum(log for _, log in drawn) / sum(len(words) + 1 for words, _ in drawn)
    assert in_the_long_run == pytest.approx(entropy / (length + 1), rel=0.005)
    assert corpus("text").ceiling["loss"] == pytest.approx(entropy / (length + 1), rel=0.02)


def test_words_come_as_often_as_the_grammar_says() -> None:
    # Short sentences are frequent enough to count, and so to show a sampler that strays from the rules.
    texts = corpus("text").splits["train"]["text"]
    for sentence in ("dogs sleep .", "the dog sleeps ."):
        expected = inside(sentence.split()) * len(texts)
        assert texts.count(sentence) == pytest.approx(expected, abs=5 * math.sqrt(expected))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("the dog barks .", "the dog bark ."),
        ("dogs near a river bark .", "dogs near a river barks ."),
        (
            "the dogs that the old man near the river sees bark .",
            "the dogs that the old man near the river sees barks .",
        ),
        (
            "the dog that these men that a king likes see barks .",
            "the dog that these men that a king likes sees barks .",
        ),
    ],
)
def test_verbs_agree_with_their_own_subject(right: str, wrong: str) -> None:
    assert inside(right.split()) > 0
    assert inside(wrong.split()) == 0


def test_relative_clauses_nest_two_deep_and_no_deeper() -> None:
    texts = [text for split in corpus("text").splits.values() for text in split["text"]]
    assert any(" that the " in text and text.count(" that ") >= 2 for text in texts)
    deep = "the dog that sees the man that sees the cat that sees the king barks ."
    assert inside(deep.split()) == 0


def test_vocabulary_is_modest_and_known_from_train() -> None:
    splits = corpus("text").splits
    train, test = ({word for text in splits[split]["text"] for word in text.split()} for split in ("train", "test"))
    assert 80 <= len(train) <= 150
    assert test <= train
