"""Checks along a row: later tokens must not change a prediction, and every token before it must."""

from __future__ import annotations

import torch

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, share, skipped
from lstm_readout.doctor.checks.places import described, reads, unread
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
    places, steps = unread(examination)
    if places:
        return failed(f"of {steps} tokens, these change nothing: {described(places)}")
    return passed("every token changes them")


def _steps(examination: Examination) -> Verdict:
    rows = examination.even
    last = rows.ids.shape[1] - 1
    if not reads(examination, rows, last):
        if reads(examination, rows, last, train=True):
            return skipped(
                "the target is read in train mode only: in eval mode the module reads what it writes. To check it, "
                "pass an adaptor that gives it the target in eval mode too"
            )
        return failed(f"token {last} does not change the logits at step {last}")
    if last and not reads(examination, rows, last - 1):
        return failed(f"token {last - 1} does not change the logits at step {last}: nothing is carried over")
    places, steps = unread(examination) if examination.subject.is_recurrent() else ([], 0)
    if places:
        return failed(f"tokens {described(places)} do not change the logits at step {steps - 1}: the state is lost")
    return passed("every token so far changes them")


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
    "looked at each of up to 32 tokens: does it change the logits?",
    "every token does, from the first to the last",
    "Read the step where the layer has read everything: h_n[-1], not output[:, 0]; and pass the whole row on, not "
    "token_ids[:, :k] or every second step.",
    _ends,
    LEAKS,
)
STEPS = Check(
    "steps",
    "changed the token of a step, then those before it",
    "the logits at that step change each time",
    "Read output at every step, unshifted: step t has read tokens 0..t. The state must pass from step to step.",
    _steps,
    LEAKS,
)
