"""Checks along a row: later tokens must not change a prediction, and tokens that are read must change it."""

from __future__ import annotations

import torch

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, share, skipped
from lstm_readout.doctor.checks.rows import LEAKS


def _future(examination: Examination) -> Verdict:
    rows = examination.rows
    longest = int(rows.lengths.max())
    if longest < 2:
        return skipped("no row of two tokens")
    greatest = 0.0
    for step in sorted({0, longest // 2 - 1, longest - 2}):
        later = rows.real() & (torch.arange(rows.ids.shape[1], device=rows.ids.device) > step)
        ids = torch.where(later, examination.other(rows.ids), rows.ids)
        moved = examination.moved(
            examination.logits, examination.subject.logits(rows._replace(ids=ids)), rows.lengths.clamp(max=step + 1)
        )
        greatest = max(greatest, float(moved.max()))
        if greatest > examination.tolerance:
            return failed(f"logits at step {step} and before: {share(greatest)}")
    return passed(greatest)


def _ends(examination: Examination) -> Verdict:
    last = examination.even.ids.shape[1] - 1
    unread = [name for name, place in {"first": 0, "last": last}.items() if not _reads(examination, place)]
    if unread:
        return failed(
            f"the {' and the '.join(unread)} token of {last + 1} {'change' if unread[1:] else 'changes'} nothing"
        )
    return passed("both change them")


def _steps(examination: Examination) -> Verdict:
    last = examination.even.ids.shape[1] - 1
    if not _reads(examination, last):
        return failed(f"token {last} does not change the logits at step {last}")
    if last and not _reads(examination, last - 1):
        return failed(f"token {last - 1} does not change the logits at step {last}: nothing is carried over")
    return passed("both change them")


def _reads(examination: Examination, place: int) -> bool:
    """Return whether the token at ``place`` of rows of one length changes the last prediction of any of them."""
    rows, subject = examination.even, examination.subject
    before = subject.logits(rows)
    last = rows.ids.shape[1] - 1
    for shift in (1, 2, 3):
        ids = rows.ids.clone()
        ids[:, place] = examination.other(ids[:, place], shift)
        after = subject.logits(rows._replace(ids=ids))
        moved = (after - before)[:, last] if subject.each_step else after - before
        if moved.abs().max() > examination.least * before.abs().max():
            return True
    return False


FUTURE = Check(
    "future",
    "changed all tokens after a step, for several steps",
    "the logits at that step and before stay the same",
    "bidirectional=False: at every step the backward direction has read the tokens that are to be predicted.",
    _future,
    LEAKS,
)
ENDS = Check(
    "ends",
    "changed the first, then the last token of rows of one length",
    "the logits change each time",
    "Read the step where the layer has read everything: h_n[-1], not output[:, 0].",
    _ends,
    LEAKS,
)
STEPS = Check(
    "steps",
    "changed the token of a step, then the one before it",
    "the logits at that step change each time",
    "Read output at every step, unshifted: step t has read tokens 0..t. The state must pass from step to step.",
    _steps,
    LEAKS,
)
