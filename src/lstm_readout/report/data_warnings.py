"""Warnings about the data: the values of ``describe`` go in, sentences come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lstm_readout.data.duplicates import shortened

_MOST_DUPLICATES, _MOST_UNKNOWN, _MOST_OF_ONE_CLASS = 0.01, 0.05, 0.9  # shares of rows, tokens, rows
_RARE = 2  # rows: one to learn from and one to measure on
_MOST_NAMED = 5
_MOST_LABELS = 1000  # as many as data.max_labels
_MISSING = {"nan", "na", "n/a", "<na>", "none", "null", "nil", "-", "?"}


def warnings_of(report: Mapping[str, Any]) -> list[str]:
    """Return one sentence per fault, worst kind first, each with its number and what to do."""
    known = {split: part for split, part in report["splits"].items() if part is not None}
    repeats = () if report["generated"] else (_leaks, _duplicates)
    return [
        warning
        for find in (*repeats, _contradictions, _truncated, _empty, _unknown, _one_class, _rare_labels, _odd_labels)
        for split, part in known.items()
        for warning in find(split, part)
    ]


def _leaks(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    for earlier, leak in part["leaks"].items():
        if leak["rows"]:
            other = f", {leak['other_label']:,} of them with another label" if leak["other_label"] else ""
            example = leak["examples"][0]
            text = next(example[role] for role in part["roles"])
            yield (
                f"LEAK: {_share_of(leak['rows'], part['rows'], split)} also occur in {earlier}{other}, for example "
                f"row {example['row']:,}: '{text}'. The score on {split} will look better than it is: drop them "
                "from one of the two."
            )


def _contradictions(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    if part["contradictions"]:
        yield (
            f"{_share_of(part['contradictions'], part['rows'], split)} have a text that also occurs with "
            "another label. No model can get all of them right: correct or drop them."
        )


def _truncated(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    for role, numbers in part["roles"].items():
        if numbers["truncated"]:
            yield (
                f"{_share_of(numbers['truncated'], part['rows'], f'{split} {role}')} are longer than "
                f"tokenizer.max_length={numbers['max_length']}: only their {numbers['keep']} is read. Raise it, or "
                "set tokenizer.max_length=null."
            )


def _empty(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    for role, numbers in part["roles"].items():
        if numbers["empty"]:
            yield (
                f"{_share_of(numbers['empty'], part['rows'], f'{split} {role}')} have no token; they are read as "
                f"<eos> alone. Drop them; if there are many, is data.columns.{role} the right column?"
            )


def _duplicates(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    if part["duplicates"] is not None and part["duplicates"] > _MOST_DUPLICATES * part["rows"]:
        yield (
            f"{_share_of(part['duplicates'], part['rows'], split)} repeat an earlier one, and so count more "
            "than once. Drop them, unless that is intended."
        )


def _unknown(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    for role, numbers in part["roles"].items():
        if numbers["unknown_rate"] > _MOST_UNKNOWN:
            yield (
                f"{split} {role}: {100 * numbers['unknown_rate']:.1f} % of the tokens are unknown, and all look alike "
                "to the model. Raise tokenizer.vocab_size, lower tokenizer.min_frequency, or set tokenizer=bpe."
            )


def _one_class(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    labels = part["labels"]
    if labels is not None and labels["share"] > _MOST_OF_ONE_CLASS:
        name = shortened(labels["most_frequent"])
        yield (
            f"{split}: {100 * labels['share']:.1f} % of the rows have the label '{name}', so always predicting it is "
            "that accurate. Choose the checkpoint by task.monitor=val/macro_f1, or add rows with other labels."
        )


def _rare_labels(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    if split != "train" or part["labels"] is None:
        return
    counts = part["labels"]["counts"]
    rare = [name for name, count in counts.items() if count < _RARE]
    if rare:
        named = ", ".join(f"'{shortened(name)}'" for name in rare[:_MOST_NAMED]) + ", ..." * (len(rare) > _MOST_NAMED)
        yield (
            f"{split}: {len(rare):,} of {len(counts):,} labels have fewer than {_RARE} rows ({named}). Add rows, "
            "or merge or drop these labels."
        )


def _odd_labels(split: str, part: Mapping[str, Any]) -> Iterator[str]:
    """Yield labels that may be a mistake: they differ in case alone, or read like a missing value."""
    if split != "train" or part["labels"] is None:
        return
    alike: dict[str, list[str]] = {}
    for name, count in part["labels"]["counts"].items():
        alike.setdefault(name.casefold(), []).append(name)
        if name.casefold() in _MISSING and count:
            yield (
                f"{_share_of(count, part['rows'], split)} have the label '{name}', which reads like a missing value. "
                "Fill it, or drop these rows, unless it is a class."
            )
    for names in list(alike.values())[:_MOST_LABELS]:
        if len(names) > 1:
            yield (
                f"{split}: the labels {', '.join(map(repr, names))} differ in case alone, but are {len(names)} "
                "classes. Write them alike, unless that is intended."
            )


def _share_of(number: int, rows: int, what: str) -> str:
    percent = 100 * number / rows
    return f"{number:,} of {rows:,} {what} rows ({percent:.2g} %)" if percent < 99.5 else f"all {rows:,} {what} rows"
