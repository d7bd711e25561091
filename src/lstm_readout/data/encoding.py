"""Texts to ids, once: rows of role columns go in, one Arrow table per split and the vocabulary come out.

The table of a split has each role's text and its ids: ``<role>_ids``, lists that end in ``<eos>``, or ``<role>_id``,
the number of a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from datasets import Dataset
from datasets.table import InMemoryTable

from lstm_readout.data.batches import Columns, TextColumn
from lstm_readout.data.describe import describe
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged

_STORED_SAMPLE = 100  # texts on which a subclass must agree with what a checkpoint stores


class Encoded(NamedTuple):
    """A corpus that is ready to train on."""

    splits: dict[str, Dataset]  # text and ids of each role
    vocabulary: Vocabulary
    report: dict[str, Any]  # see lstm_readout.report.data_report
    ceiling: dict[str, float]  # what a perfect model reaches on the test split, if known


def fit_vocabulary(
    train: Dataset,
    roles: Mapping[str, str],
    fit_tokenizer: Callable[[Iterable[str]], TextTokenizer],
    *,
    joint: bool = False,
    max_labels: int = 1000,
    where: str = "the corpus",
) -> Vocabulary:
    """Fit tokenizers and labels on the training split alone.

    Args:
        train: its rows.
        roles: role -> ``text``, ``label`` or ``labels``. Word labels are never lower-cased, truncated or dropped,
            whatever the tokenizer of the texts does: they have their own vocabulary.
        fit_tokenizer: texts -> tokenizer.
        joint: one tokenizer for all text roles, fitted on the texts of all.
        max_labels: more distinct labels are refused: the column is probably text.
        where: the corpus in messages.
    """
    labels: list[str] = []
    text_roles = [role for role, kind in roles.items() if kind == "text"]
    for role, kind in roles.items():
        if kind == "label":
            values = train[role][:]
            labels = sorted(set(values))
            if len(labels) < 2:
                raise UserError(
                    f"data: the training split of {where} has only one label: '{labels[0]}'. "
                    f"Give it rows with another label, or name another column: data.columns.{role}=NAME."
                )
            if len(labels) > max_labels:
                raise UserError(
                    f"data.columns.{role}: {where} has {len(labels):,} different labels in {len(values):,} training "
                    f"rows; is that column text? Name the one with the labels: data.columns.{role}=NAME, "
                    f"or allow this many: data.max_labels={len(labels)}."
                )
    if joint:
        tokenizer = _fitted(fit_tokenizer, [text for role in text_roles for text in train[role][:]])
        tokenizers = dict.fromkeys(text_roles, tokenizer)
    else:
        tokenizers = {role: _fitted(fit_tokenizer, train[role][:]) for role in text_roles}
    for role, kind in roles.items():
        if kind == "labels":
            tokenizers[role] = TextTokenizer.train(train[role][:], kind="whitespace", vocab_size=None)
    return Vocabulary(tokenizers, labels)


def _fitted(fit_tokenizer: Callable[[Iterable[str]], TextTokenizer], texts: list[str]) -> TextTokenizer:
    """Fit a tokenizer, and return it as a checkpoint restores it: a user's own class is not stored.

    Raises:
        UserError: it is not a ``TextTokenizer``, or it encodes or decodes with code that a checkpoint does not store.
    """
    tokenizer = fit_tokenizer(texts)
    name = f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"
    if not isinstance(tokenizer, TextTokenizer):
        raise UserError(f"tokenizer._target_: wanted a TextTokenizer, got {name}. Use TextTokenizer.from_backend(...).")
    if type(tokenizer) is TextTokenizer:
        return tokenizer
    stored = TextTokenizer.from_dict(tokenizer.to_dict())
    for text in texts[:_STORED_SAMPLE]:
        ids, again = (one.encode([text])[0].values.tolist() for one in (tokenizer, stored))
        if ids != again or tokenizer.decode(ids) != stored.decode(ids):
            raise UserError(
                f"tokenizer._target_: {name} encodes or decodes with Python code of its own, which a checkpoint does "
                "not store. Express it in the backend, and return TextTokenizer.from_backend(...)."
            )
    return stored


def encode_texts(
    texts: Mapping[str, list[str]],
    vocabulary: Vocabulary,
    *,
    where: str = "the training split",
    known_from: str = "the training split",
    training: bool = False,
) -> tuple[dict[str, Ragged | np.ndarray], dict[str, int]]:
    """Encode columns of texts and labels.

    Args:
        texts: role -> rows; a role without a tokenizer holds labels.
        vocabulary: what encodes them.
        where, known_from: names of these rows, and of those that the labels come from, in messages.
        training: draw a new segmentation if the tokenizer does so (BPE-dropout).

    Returns:
        Role -> ids or label numbers, and text role -> how many of its texts were truncated.

    Raises:
        UserError: a label that the vocabulary lacks.
    """
    columns: dict[str, Ragged | np.ndarray] = {}
    cut = {}
    for role, rows in texts.items():
        tokenizer = vocabulary.tokenizers.get(role)
        if tokenizer is None:
            columns[role] = _number(rows, vocabulary.labels, where, known_from)
        else:
            columns[role], cut[role] = tokenizer.encode(rows, training=training)
    return columns, cut


def encode_again(texts: Mapping[str, list[str]], vocabulary: Vocabulary) -> Columns:
    """Encode training texts in a new segmentation."""
    return encode_texts(texts, vocabulary, training=True)[0]


def lengths_of(columns: Columns, roles: Mapping[str, str]) -> np.ndarray:
    """Return how many tokens each row has in each role of kind ``text``: (rows, text roles).

    ``labels`` are ids as well, but the model predicts them: it does not read them.
    """
    counted = [column for role, column in columns.items() if isinstance(column, Ragged) and roles[role] == "text"]
    return np.stack([column.lengths for column in counted], axis=1)


def encode_corpus(
    texts: Mapping[str, Dataset],
    roles: Mapping[str, str],
    vocabulary: Vocabulary,
    ceiling: dict[str, float] | None = None,
) -> Encoded:
    """Encode every split and describe it; only generated text has a known ``ceiling``."""
    splits, written, cut = {}, {}, {}
    for split, rows in texts.items():
        written[split] = {
            role: rows[role][:] for role in roles
        }  # lists: a column of `datasets` is slow to iterate over
        encoded, cut[split] = encode_texts(written[split], vocabulary, where=f"the {split} split")
        columns: dict[str, Any] = {}
        for role, column in encoded.items():
            columns[role] = pyarrow.array(written[split][role], pyarrow.large_string())
            if isinstance(column, Ragged):
                columns[f"{role}_ids"] = pyarrow.LargeListArray.from_arrays(column.offsets, column.values)
            else:
                columns[f"{role}_id"] = pyarrow.array(column)
        splits[split] = Dataset(InMemoryTable(pyarrow.table(columns)))
    columns_of_splits = {split: columns_of(rows, roles) for split, rows in splits.items()}
    return Encoded(
        splits,
        vocabulary,
        describe(written, columns_of_splits, vocabulary, cut, generated=bool(ceiling)),
        ceiling or {},
    )


def _number(labels: Sequence[str], known: Sequence[str], where: str, known_from: str) -> np.ndarray:
    """Return the number of each label: (rows,) int64."""
    number = {label: i for i, label in enumerate(known)}
    unseen = sorted(set(labels) - set(number))
    if unseen:
        raise UserError(
            f"data: {where} has {len(unseen)} label(s) that {known_from} lacks: "
            f"{', '.join(map(repr, unseen[:5]))}. Known: {', '.join(map(repr, known[:20]))}. "
            "Add rows with these labels there, or drop them here."
        )
    return np.array([number[label] for label in labels], dtype=np.int64)


def columns_of(rows: Dataset, roles: Mapping[str, str]) -> Columns:
    """Return what batches are made from, without a copy: ids, labels, and the text of each role."""
    return dict(_columns_of(rows.data.table, roles))


def _columns_of(table: pyarrow.Table, roles: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for role, kind in roles.items():
        if kind == "label":
            yield role, _one(table.column(f"{role}_id")).to_numpy()
        else:
            ids = _one(table.column(f"{role}_ids"))
            yield role, Ragged(ids.values.to_numpy(), ids.offsets.to_numpy())
            yield f"{role}_text", TextColumn(table.column(role))


def _one(column: pyarrow.ChunkedArray) -> Any:
    (chunk,) = column.chunks  # a split is written as one batch
    return chunk
