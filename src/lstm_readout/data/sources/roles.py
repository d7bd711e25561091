"""Columns of any kind go in; the texts that the task reads come out, under the names of its roles.

A null is an empty text. A number, a date or a boolean keeps its spelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from datasets import ClassLabel, Dataset, Features, Value

from lstm_readout.data.sources.dialect import plain_name
from lstm_readout.data.sources.missing_columns import why_missing
from lstm_readout.data.sources.row_stream import RowStream
from lstm_readout.errors import MOST_NAMED, UserError

_LONGEST_NAME = 40  # characters in a message: a row that was read as the header may be a whole text


def select_roles(
    rows: Dataset,
    roles: Mapping[str, str],
    columns: Mapping[str, Any],
    where: str,
    head: Sequence[Sequence[str]] = (),
) -> Dataset:
    """Keep the columns that the task reads, renamed to their roles, as strings.

    Args:
        rows: of a split.
        roles: role -> ``text``, ``label`` or ``labels``.
        columns: role -> column, or its position in a table without a header; a role that is not named has a column of
            its own name. Blanks around a name in the file, and what cannot be seen, do not count.
        where: what the split is called in messages.
        head: the first lines of its file as cells, from which a message tells why a column is missing.

    Raises:
        UserError: a role's column is missing (the message lists the others) or is not text, a label is empty, or a row
            does not have one of its ``labels`` per word.
    """
    texts = {}
    for role, column in _columns_of(rows.column_names, rows.features, roles, columns, where, head).items():
        feature, is_label = rows.features[column], roles[role] == "label"
        made = [value if type(value) is str else _as_text(value, feature) for value in rows[column][:]]
        if None in made or (is_label and not all(text and plain_name(text) for text in set(made))):
            wrong = next(i for i, text in enumerate(made) if text is None or (is_label and not plain_name(text)))
            raise _unusable(made[wrong], rows[column][wrong], wrong + 1, role, column, where)
        texts[role] = made
    for text, labels in _aligned(roles):
        for number, (words, tags) in enumerate(zip(texts[text], texts[labels], strict=True), 1):
            _check_aligned(words, tags, number, labels, where)
    return Dataset.from_dict(texts, features=Features({role: Value("string") for role in texts}))


def select_roles_of(
    stream: RowStream,
    roles: Mapping[str, str],
    columns: Mapping[str, Any],
    where: str,
    head: Sequence[Sequence[str]] = (),
) -> RowStream:
    """Keep the columns that the task reads, renamed to their roles, as strings: row by row.

    Args:
        stream: of a split.
        roles, columns, where, head: as for ``select_roles``.

    Raises:
        UserError: as ``select_roles``; for an unusable value, when its row is reached.
    """
    column_of = _columns_of(stream.column_names, stream.features, roles, columns, where, head)
    narrow = stream.only(list(dict.fromkeys(column_of.values())))
    kept = {role: (column, narrow.features[column], roles[role] == "label") for role, column in column_of.items()}
    return RowStream(
        partial(_role_rows, narrow, kept, _aligned(roles), where), {role: Value("string") for role in roles}
    )


def _role_rows(
    stream: RowStream,
    roles: Mapping[str, tuple[str, Any, bool]],
    aligned: Sequence[tuple[str, str]],
    where: str,
    names: Sequence[str],
) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(stream, 1):
        texts = {}
        for role, (column, feature, is_label) in roles.items():
            value = row[column]
            text = value if type(value) is str else _as_text(value, feature)
            if text is None or (is_label and not plain_name(text)):
                raise _unusable(text, value, number, role, column, where)
            texts[role] = text
        for text, labels in aligned:
            _check_aligned(texts[text], texts[labels], number, labels, where)
        yield texts


def _aligned(roles: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pairs of roles that must have equally many words: the first text, and each role of labels."""
    text = next((role for role, kind in roles.items() if kind == "text"), None)
    return [(text, role) for role, kind in roles.items() if text is not None and kind == "labels"]


def _check_aligned(text: str, labels: str, row: int, role: str, where: str) -> None:
    words, number = len(text.split()), len(labels.split())
    if words != number:
        raise UserError(
            f"data.columns.{role}: row {row:,} of {where} has {words} words and {number} {role}: '{text[:60]}'. "
            "Give one per word, separated by spaces."
        )


def _columns_of(
    names: Sequence[str],
    features: Mapping[str, Any],
    roles: Mapping[str, str],
    columns: Mapping[str, Any],
    where: str,
    head: Sequence[Sequence[str]],
) -> dict[str, str]:
    """Return role -> column; every column exists and may contain text."""
    found = {}
    wanted = {role: str(role if columns.get(role) is None else columns[role]) for role in roles}
    for role, column in wanted.items():
        alike = [name for name in names if plain_name(name) == plain_name(column)]
        if column not in names and len(alike) != 1:
            raise UserError(
                f"data.columns.{role}: {where} has no column '{column}'; it has: {_listed(names)}. "
                f"{why_missing(names, wanted, role, head)}"
            )
        column = column if column in names else alike[0]
        feature = features[column]
        if feature is not None and (not isinstance(feature, (Value, ClassLabel)) or "binary" in feature.dtype):
            raise UserError(
                f"data.columns.{role}: column '{column}' of {where} contains lists, objects or bytes; wanted text or "
                f"numbers. Write it as text, or name another column: data.columns.{role}=NAME."
            )
        found[role] = column
    return found


def _listed(names: Sequence[str]) -> str:
    shown = [name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..." for name in names[:MOST_NAMED]]
    return ", ".join(shown) + ", ..." * (len(names) > MOST_NAMED)


def _as_text(value: Any, feature: Any) -> str | None:
    """Return a value as text; None if it has no text form."""
    if value is None or value != value:  # NaN, as pandas writes what is missing
        return ""
    if isinstance(feature, ClassLabel):
        return "" if value < 0 else feature.names[value] if value < len(feature.names) else None
    return None if isinstance(value, (list, tuple, dict, bytes)) else str(value)


def _unusable(text: str | None, value: Any, row: int, role: str, column: str, where: str) -> UserError:
    if text is None:
        return UserError(
            f"data.columns.{role}: row {row:,} of {where} has {str(value)[:40]} in column '{column}'; wanted text or "
            f"numbers. Write it as text, or name another column: data.columns.{role}=NAME."
        )
    return UserError(f"data: row {row:,} of {where} has no label in column '{column}'. Fill it or drop the row.")
