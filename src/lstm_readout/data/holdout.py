"""Splits that a corpus does not have are cut from its training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset

from lstm_readout.errors import UserError

_FEW = 50  # rows that are hardly a corpus
HOLDOUTS = ("stratified", "random", "last")


class Holdout(NamedTuple):
    """What is held out.

    Attributes:
        shares: split -> share of the training rows, 0 for none.
        how: ``stratified``: at random, the same share of each label, of which a row always stays; ``random``;
            ``last``: the last rows, or the last characters of one document.
        seed: of the draw.
        label: the column of labels; None: without it ``stratified`` is ``random``.
        name: what messages call the corpus.
    """

    shares: Mapping[str, float]
    how: str
    seed: int
    label: str | None
    name: str

    def apply(self, splits: dict[str, Dataset]) -> tuple[dict[str, Dataset], dict[str, Any]]:
        """Return all splits, and split -> how it was held out.

        Raises:
            UserError: there are too few rows.
        """
        told: dict[str, Any] = {}
        splits = dict(splits)
        for split, share in self.shares.items():
            if split in splits or not share or "train" not in splits:
                continue
            rows = splits["train"]
            if len(rows) == 1 and self.label is None and len(rows.column_names) == 1:
                splits["train"], splits[split] = _cut_document(rows, split, share)
                told[split] = {"how": "last", "of": None}
                continue
            held = self._draw(rows, split, share)
            kept = np.setdiff1d(np.arange(len(rows)), held)
            splits["train"], splits[split] = rows.select(kept), rows.select(held)
            told[split] = {"how": self.how if self.label is not None else self.how.replace("stratified", "random")}
            told[split] |= {"of": len(rows)}
            self._check_labels(splits["train"], splits[split], split)
        return splits, told

    def _draw(self, rows: Dataset, split: str, share: float) -> np.ndarray:
        """Return the sorted numbers of the rows that are held out."""
        number = max(1, round(share * len(rows)))
        if number >= len(rows):
            raise UserError(
                f"data: {self.name} has {len(rows)} row(s), too few to hold out a {split} split. "
                f"Give it more rows, or set data.{split}=0."
            )
        order = np.arange(len(rows))
        if self.how != "last":
            order = np.random.default_rng(self.seed).permutation(len(rows))
        if self.how != "stratified" or self.label is None:
            return np.sort(order[-number:])
        labels = rows[self.label][:]
        if len(set(labels)) == len(labels) < _FEW:
            raise UserError(
                f"data: {self.name} has {len(labels)} row(s), each with a label of its own: too few to hold out a "
                f"{split} split. Give it more rows, or set data.{split}=0."
            )
        if len(set(labels)) == len(labels):
            raise UserError(
                f"data.columns.{self.label}: each of the {len(labels):,} rows of {self.name} has a label of its own, "
                f"so that none can be held out. If that column is text, name that of the labels: "
                f"data.columns.{self.label}=NAME. Otherwise set data.{split}=0."
            )
        return np.sort(_of_each(labels, order, number))

    def _check_labels(self, train: Dataset, held: Dataset, split: str) -> None:
        if self.label is None or self.how == "stratified":
            return
        lost = sorted(set(held[self.label][:]) - set(train[self.label][:]))
        if lost:
            raise UserError(
                f"data.holdout={self.how}: all rows of {len(lost)} label(s) went to the {split} split: "
                f"{', '.join(map(repr, lost[:5]))}. Set data.holdout=stratified, which leaves a row of each to train."
            )


def _of_each(labels: Sequence[str], order: np.ndarray, number: int) -> np.ndarray:
    """Draw rows in the same share of each label, by largest remainders; a row of each label stays.

    Args:
        labels: of all rows.
        order: a permutation of the rows, whose last ones are drawn.
        number: how many to draw; fewer if nearly every row has a label of its own.
    """
    _, groups, counts = np.unique(np.asarray(labels, dtype=object), return_inverse=True, return_counts=True)
    exact = counts * (number / len(labels))
    drawn = np.minimum(np.floor(exact).astype(int), counts - 1)
    while drawn.sum() < number and (drawn < counts - 1).any():
        drawn[np.argmax(np.where(drawn < counts - 1, exact - drawn, -np.inf))] += 1
    by_label = np.split(order[np.argsort(groups[order], kind="stable")], np.cumsum(counts)[:-1])
    return np.concatenate([rows[len(rows) - some :] for rows, some in zip(by_label, drawn, strict=True)])


def _cut_document(rows: Dataset, split: str, share: float) -> tuple[Dataset, Dataset]:
    """Cut one long text: its last characters are held out."""
    (role,) = rows.column_names
    text: str = rows[role][0]
    border = len(text) - round(share * len(text))
    if not 0 < border < len(text):
        raise UserError(
            f"data: one text of {len(text)} character(s) is too short to hold out a {split} split. "
            f"Give it more text, or set data.{split}=0."
        )
    return Dataset.from_dict({role: [text[:border]]}), Dataset.from_dict({role: [text[border:]]})
