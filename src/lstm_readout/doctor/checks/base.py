"""What all checks share: a ``Subject`` and its rows go in; how far the logits change comes out.

A ``Check`` is one question with its texts; its ``run`` takes an ``Examination`` and returns a ``Verdict``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from lstm_readout.doctor.module_under_test import Broken, Subject
from lstm_readout.doctor.ragged_batch import Rows, even
from lstm_readout.doctor.report import Report, Result, Status

_SHORT, _LONG = 4, 32  # tokens of rows of one length


class Verdict(NamedTuple):
    """What a check found."""

    status: Status
    difference: str
    fix: str | None = None  # replaces the check's own if more is known


class Check(NamedTuple):
    """One question about a module."""

    name: str
    done: str
    expected: str
    fix: str
    run: Callable[[Examination], Verdict]
    explained_by: tuple[str, ...] = ()  # checks whose failure also fails this one

    def of(self, side: str) -> Check:
        """Return the same check of one side of a translator."""
        names = tuple(f"{side}_{name}" for name in self.explained_by)
        return self._replace(name=f"{side}_{self.name}", explained_by=(*self.explained_by, *names))


class Examination:
    """A module, its rows, and how its logits respond to changes.

    Args:
        subject: the module.
        rows: a few short ones, see ``small``.
        given: all rows, in full length.
        vocabulary: two or more ids that may replace each other.
    """

    def __init__(self, subject: Subject, rows: Rows, given: Rows, vocabulary: Tensor) -> None:
        self.subject, self.rows, self.given, self.vocabulary = subject, rows, given, vocabulary
        self.even, self.long = even(rows, _SHORT, len(rows.ids)), even(given, _LONG, len(rows.ids))

    @cached_property
    def logits(self) -> Tensor:
        """Return the logits of ``rows``: (B, C) or (B, T, C)."""
        return self.subject.logits(self.rows)

    @cached_property
    def scores(self) -> Tensor:
        """Return the logits of all predictions: (predictions, C)."""
        if not self.subject.each_step:
            return self.logits
        real = self.rows.real().to(self.logits.device)
        return self.logits[:, : real.shape[1]][real[:, : self.logits.shape[1]]]

    @property
    def tolerance(self) -> float:
        """Return how far two calls may differ, relative to the logits' size: sums are taken in another order."""
        cuda = self.logits.is_cuda  # TF32
        return max(5e-3 if cuda else 1e-4, 50 * torch.finfo(self.subject.dtype).eps)

    @property
    def least(self) -> float:
        """Return the smallest difference that counts as a change."""
        return torch.finfo(self.subject.dtype).eps

    def other(self, ids: Tensor, shift: int = 1) -> Tensor:
        """Return other ids of the vocabulary to replace these."""
        number = len(self.vocabulary)
        place = torch.searchsorted(self.vocabulary, ids.contiguous()).clamp(max=number - 1)
        place = (place + 1 + (shift - 1) % (number - 1)) % number
        return self.vocabulary[place]

    def random_texts(self, rows: Rows, seed: int) -> Rows:
        """Replace all tokens by random ones of the vocabulary; seed 0 leaves the rows as they are."""
        if seed == 0:
            return rows
        generator = torch.Generator().manual_seed(seed)
        places = torch.randint(len(self.vocabulary), rows.ids.shape, generator=generator)
        return rows._replace(ids=self.vocabulary[places.to(self.vocabulary.device)])

    def moved(self, first: Tensor, second: Tensor, steps: Tensor | None = None) -> Tensor:
        """Return how far each row's logits differ, relative to the logits' size: (B,).

        Args:
            first, second: logits of the same rows.
            steps: (B,) for predictions at every step: how many of them count; default: all real ones.
        """
        difference = (first - second) if first.shape == second.shape else _common(first, second)
        difference = difference.abs().nan_to_num(torch.inf)
        if self.subject.each_step:
            steps = self.rows.lengths[: len(first)] if steps is None else steps
            counts = torch.arange(difference.shape[1], device=difference.device) < steps.to(difference.device)[:, None]
            difference = difference.amax(-1).masked_fill(~counts, 0)
        return difference.amax(-1) / self.scores.abs().max().clamp(min=1e-30)

    def same(self, first: Tensor, second: Tensor, steps: Tensor | None = None) -> Verdict:
        """Compare logits that must not differ."""
        greatest = float(self.moved(first, second, steps).max())
        return passed(greatest) if greatest <= self.tolerance else failed(share(greatest))

    @cached_property
    def dependence(self) -> Tensor:
        """Return ``depends`` of the rows."""
        return self.depends(self.rows)

    def depends(self, rows: Rows) -> Tensor:
        """Return whether the tokens of row i change the logits of row j: (i, j) bool."""
        before, found = self.subject.logits(rows), []
        for i in range(len(rows.ids)):
            ids = rows.ids.clone()
            length = int(rows.lengths[i])
            ids[i, :length] = self.other(ids[i, :length])
            found.append(self.moved(before, self.subject.logits(rows._replace(ids=ids)), rows.lengths))
        return torch.stack(found) > self.tolerance


def examine(checks: Sequence[tuple[Examination, Check]], found: dict[str, Verdict] | None = None) -> Report:
    """Run checks one after another; skip what a failed check explains.

    Args:
        checks: each with its examination.
        found: a failure that is already known and explains all others.
    """
    results: list[Result] = []
    begun = next(iter(found or {}), None)
    found = dict(found or {})
    for examination, check in checks:
        bad = [name for name, verdict in found.items() if verdict.status == "failed"]
        cause = next((name for name in bad if name == begun or name in check.explained_by), None)
        if check.name not in found:
            found[check.name] = skipped(f"explained by {cause}") if cause else _run(examination, check)
        verdict = found[check.name]
        fix = check.fix if verdict.fix is None else verdict.fix
        results.append(Result(check.name, verdict.status, check.done, check.expected, verdict.difference, fix))
    return Report(results)


def passed(difference: float | str) -> Verdict:
    """Return the verdict of a check that passed."""
    return Verdict("passed", difference if isinstance(difference, str) else share(difference))


def failed(difference: str, fix: str | None = None) -> Verdict:
    """Return the verdict of a check that found a mistake."""
    return Verdict("failed", difference, fix)


def warned(difference: str, fix: str | None = None) -> Verdict:
    """Return the verdict of a check that found something worth a look."""
    return Verdict("warned", difference, fix)


def skipped(reason: str) -> Verdict:
    """Return the verdict of a check that does not apply."""
    return Verdict("skipped", reason)


def share(value: float) -> str:
    """Describe a difference relative to the logits' size."""
    return "no difference" if value == 0 else f"logits differ by {value:.1g} of their size"


def _run(examination: Examination, check: Check) -> Verdict:
    try:
        return check.run(examination)
    except Broken as broken:
        return failed(str(broken))


def _common(first: Tensor, second: Tensor) -> Tensor:
    steps = min(first.shape[1], second.shape[1])
    return first[:, :steps] - second[:, :steps]
