"""What the rows of a corpus are like: texts and their token ids go in, plain values come out.

Lengths are in tokens as the model reads them: truncated at ``max_length``, without the final ``<eos>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_readout.data.batches import Columns, ids_of
from lstm_readout.data.duplicates import Rows, contradictions, duplicates, leak
from lstm_readout.tokenizer import EOS, UNK, TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged

_PERCENTILES = (5, 50, 95, 99)
_MOST_BINS = 40
BLOCK = 2**22  # tokens counted at a time: a column may be a file larger than memory


def describe(
    texts: Mapping[str, Mapping[str, Sequence[str]] | None],
    columns: Mapping[str, Columns | None],
    vocabulary: Vocabulary,
    cut: Mapping[str, Mapping[str, int] | None],
    *,
    generated: bool = False,
) -> dict[str, Any]:
    """Collect the statistics worth knowing before training on the data.

    Args:
        texts: split -> text role -> the text of each row. None, or no entry: unknown, and so are its duplicates.
        columns: split -> text role -> ids, each row ending in ``<eos>``; label role -> (rows,) int64. None, or no
            entry, for a split that is streamed: its rows are not known. In the order train, validation, test.
        vocabulary: tokenizers and labels.
        cut: split -> text role -> how many texts were longer than ``max_length``. None, or no entry: not known.
        generated: the rows are drawn independently, so short ones repeat, which is no reason to warn.

    Returns:
        Builtins only, ready for JSON: ``generated``, and ``splits`` -> split -> None (streamed), or ``rows``,
        ``duplicates``, ``contradictions``, ``leaks`` (earlier split -> see ``duplicates.leak``), ``labels`` (None
        without labels) and ``roles`` -> text role -> numbers.
    """
    report: dict[str, Any] = dict.fromkeys([*columns, *texts])
    roles = list(vocabulary.tokenizers)
    earlier: dict[str, Rows] = {}
    lengths: dict[str, dict[str, np.ndarray]] = {role: {} for role in roles}
    for split, part in columns.items():
        if part is None:
            continue
        given, labels = texts.get(split), _labels_of(part, roles)
        rows = None if given is None else Rows.of({role: given[role] for role in roles}, labels)
        numbers = {}
        for role, tokenizer in vocabulary.tokenizers.items():
            column = ids_of(part, role)
            lengths[role][split] = column.lengths - 1
            numbers[role] = _numbers(column, tokenizer) | {
                "truncated": (cut.get(split) or {}).get(role),
                "duplicates": None if rows is None else duplicates(rows.keys[role]),
            }
        report[split] = {
            "rows": len(lengths[roles[0]][split]),
            "duplicates": None if rows is None else duplicates(rows.inputs, rows.blank),
            "contradictions": None if rows is None else contradictions(rows),
            "leaks": {} if rows is None else {name: leak(rows, e, vocabulary.labels) for name, e in earlier.items()},
            "labels": None if labels is None else _balance(labels, vocabulary.labels),
            "roles": numbers,
        }
        if rows is not None:
            earlier[split] = rows
    for role in roles:
        for split, histogram in histograms(lengths[role]).items():
            report[split]["roles"][role]["histogram"] = histogram
    return {"generated": generated, "splits": report}


def histograms(lengths: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Count lengths in bins that are the same for all splits.

    Args:
        lengths: split -> (rows,).

    Returns:
        Split -> ``first`` (where the first bin begins, sometimes below 0), ``width``, ``counts``, and ``longer``: the
        few rows beyond the last bin, which would squeeze all others into the first.
    """
    if not lengths:
        return {}
    first = min(int(some.min()) for some in lengths.values())
    usual = max(int(_percentile(some, 99)) for some in lengths.values())
    last = min(max(int(some.max()) for some in lengths.values()), usual + (usual - first) // 4)
    width = -(-(last - first + 1) // _MOST_BINS)
    number = -(-(last - first + 1) // width)
    first = last + 1 - number * width  # so that the last bin ends where the texts do, in particular at max_length
    counted = {}
    for split, some in lengths.items():
        counts = np.bincount(((some - first) // width).clip(max=number), minlength=number + 1).tolist()
        counted[split] = {"first": first, "width": width, "counts": counts[:number], "longer": counts[number]}
    return counted


def token_counts(column: Ragged, size: int) -> np.ndarray:
    """Count how often each of ``size`` ids occurs: (size,) int64."""
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, len(column.values), BLOCK):
        counts += np.bincount(column.values[start : start + BLOCK], minlength=size)
    return counts


def _numbers(column: Ragged, tokenizer: TextTokenizer) -> dict[str, Any]:
    lengths = column.lengths - 1
    counts = token_counts(column, len(tokenizer))
    tokens = int(lengths.sum())
    return {
        "tokens": tokens,
        "length": {
            "min": int(lengths.min()),
            **{f"p{percent}": int(_percentile(lengths, percent)) for percent in _PERCENTILES},
            "max": int(lengths.max()),
            "mean": float(lengths.mean()),
        },
        "unknown_rate": float(counts[UNK] / max(tokens, 1)),
        "distinct_tokens": int(np.count_nonzero(np.delete(counts, EOS))),
        "vocabulary_size": len(tokenizer),
        "max_length": tokenizer.max_length,
        "keep": tokenizer.keep,
        "empty": int((lengths == 0).sum()),
    }


def _percentile(lengths: np.ndarray, percent: int) -> float:
    return np.percentile(lengths, percent, method="inverted_cdf")  # a length that occurs


def _labels_of(columns: Columns, roles: Sequence[str]) -> np.ndarray | None:
    """Return the labels; the columns may also have the text of a role."""
    for role, column in columns.items():
        if role not in roles and isinstance(column, np.ndarray) and column.dtype.kind == "i":
            return column
    return None


def _balance(labels: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    counts = np.bincount(labels, minlength=len(names))
    most = int(counts.argmax())
    return {
        "counts": dict(zip(names, counts.tolist(), strict=True)),
        "most_frequent": names[most],
        "share": float(counts[most] / len(labels)),
    }
