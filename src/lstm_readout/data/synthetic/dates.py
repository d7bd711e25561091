"""A seed goes in; dates in words and their written form come out."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from lstm_readout.data.synthetic.base import WEEKDAYS, Sample, chance, pick, shuffled, words_of

_DATE_ROWS = {"train": 12000, "validation": 500, "test": 500}
_FIRST_DAY = date(1950, 1, 1)
_DAY_COUNT = (date(2050, 1, 1) - _FIRST_DAY).days
_MONTHS = words_of("january february march april may june july august september october november december")
_ONES = words_of(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = words_of("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
_ORDINALS |= {"nine": "ninth", "twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}
_OPENINGS = ("please book a table", "we will meet", "see you", "let us say", "the doors open")
_MINUTES = {0: "", 15: "quarter past ", 30: "half past "}
_HOURS = range(8, 22)
# Each part of the day is shorter than twelve hours, so an hour in words has one meaning.
_DAY_PARTS = ((12, "in the morning"), (18, "in the afternoon"), (24, "in the evening"))


def dates(seed: int) -> Sample:
    """Return appointments in words and their one written form, whose parts are in a fixed order.

    No source occurs twice, within a split or across splits, and each has exactly one correct target.
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
    with_weekday = chance(random, 0.5)
    spoken = [_spoken_day(random, day, with_weekday)]
    target = [*day.isoformat()] + ([WEEKDAYS[day.weekday()][:3]] if with_weekday else [])
    if chance(random, 0.5):
        hour, minute = pick(random, _HOURS), pick(random, tuple(_MINUTES))
        spoken += [_spoken_time(hour, minute)]
        target += f"{hour:02}:{minute:02}"
    if chance(random, 0.5):
        people = 1 + int(random.random() * 50)
        spoken += [f"for {_number(people)} {'person' if people == 1 else 'people'}"]
        target += f"x{people}"
    opening = [pick(random, _OPENINGS)] if chance(random, 0.4) else []
    return " ".join([*opening, *shuffled(random, spoken)]), " ".join(target)


def _spoken_day(random: Random, day: date, with_weekday: bool) -> str:
    month, ordinal = _MONTHS[day.month - 1], _ordinal(day.day)
    start = f"on {WEEKDAYS[day.weekday()]} " if with_weekday else pick(random, ("", "on "))
    return start + pick(random, (f"the {ordinal} of {month}", f"{month} the {ordinal}")) + f" {_year(day.year)}"


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
