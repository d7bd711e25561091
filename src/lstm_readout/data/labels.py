"""Labels that look alike are one label: labels as they are written go in, one spelling of each comes out.

Blanks around a label, characters that cannot be seen and the Unicode form of its accents never count. A number with and
without ``.0``, which pandas writes as soon as a value is missing, counts as one label where both occur.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from datasets import Dataset, Features, Value

from lstm_readout.data.sources import RowStream, plain_name

_WHOLE = re.compile(r"(-?\d+)\.0+")


def with_plain_labels(
    splits: Mapping[str, Dataset], role: str, known: Sequence[str]
) -> tuple[dict[str, Dataset], dict[str, Any]]:
    """Give labels that look alike one spelling.

    Args:
        splits: split -> rows.
        role: the column of the labels.
        known: labels of an earlier run, whose spelling is kept.

    Returns:
        The rows; and each spelling that was replaced -> ``label`` and ``rows``.
    """
    written = Counter(label for rows in splits.values() for label in rows[role][:])
    spelling = {label: _spelling(label, _plain(known)) for label in written}
    taken = {*spelling.values(), *known}
    spelling = {label: _as_number(one, taken) if label not in known else one for label, one in spelling.items()}
    changed = {label: {"label": one, "rows": written[label]} for label, one in spelling.items() if label != one}
    if not changed:
        return dict(splits), {}
    return {split: _replaced(rows, role, spelling) for split, rows in splits.items()}, changed


def stream_with_plain_labels(stream: RowStream, role: str, known: Sequence[str]) -> RowStream:
    """Return the same rows; a number keeps its spelling, since later rows are not known."""
    return RowStream(partial(_rows, stream, role, _plain(known)), stream.features)


def _rows(stream: RowStream, role: str, known: Mapping[str, str], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in stream.open(names):
        yield {**row, role: _spelling(row[role], known)} if role in row else row


def _plain(known: Sequence[str]) -> dict[str, str]:
    """Return the spelling of each known label, and of its plain form."""
    return {**{plain_name(label): label for label in known}, **{label: label for label in known}}


def _spelling(label: str, known: Mapping[str, str]) -> str:
    plain = plain_name(label)
    return known.get(label) or known.get(plain, plain)


def _as_number(label: str, taken: set[str]) -> str:
    """Return ``1`` for ``1.0`` where there is a label ``1``."""
    whole = _WHOLE.fullmatch(label)
    return whole[1] if whole is not None and whole[1] in taken else label


def _replaced(rows: Dataset, role: str, spelling: Mapping[str, str]) -> Dataset:
    columns = {name: rows[name][:] for name in rows.column_names}
    columns[role] = [spelling[label] for label in columns[role]]
    return Dataset.from_dict(columns, features=Features({name: Value("string") for name in columns}))
