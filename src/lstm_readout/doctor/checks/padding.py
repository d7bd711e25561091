"""Checks of padding: it stands behind the text, and neither its amount nor its ids may change any logits."""

from __future__ import annotations

import torch

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, share, warned
from lstm_readout.doctor.checks.rows import LEAKS, is_out_of_order
from lstm_readout.doctor.module_under_test import Broken
from lstm_readout.doctor.ragged_batch import Rows, beside_short_ones, longer, padded_on_the_left, padding_id

_EXTRA = 3  # columns of padding


def _left_padding(examination: Examination) -> Verdict:
    if padded_on_the_left(examination.given):
        return failed("the short rows begin with padding, where their lengths say that there is text")
    return passed("none")


def _padding(examination: Examination) -> Verdict:
    padding = padding_id(examination.rows)
    wide = longer(examination.rows, _EXTRA, padding)
    verdict = examination.same(examination.logits, examination.subject.logits(wide))
    if verdict.status == "failed":
        return verdict._replace(difference=f"with {_EXTRA} more columns: {verdict.difference}")
    verdict = _taken_away(examination)
    return verdict if verdict.status == "failed" else _other_ids(examination, wide, padding)


def _taken_away(examination: Examination) -> Verdict:
    """Compare each row with itself as the longest of its batch."""
    if is_out_of_order(examination.dependence):
        return passed("rows are out of order")
    greatest = 0.0
    for place in range(len(examination.rows.ids)):
        rows = beside_short_ones(examination.rows, place)
        try:
            first = examination.subject.logits(rows)[:1]
        except Broken as broken:
            return failed(f"with row {place} as the longest: {broken}")
        before, steps = examination.logits[place : place + 1], rows.lengths[:1]
        greatest = float(examination.moved(before, first, steps if examination.subject.each_step else None).max())
        if greatest > examination.tolerance:
            return failed(f"without the padding of row {place}, beside shorter rows: {share(greatest)}")
    return passed(greatest)


def _other_ids(examination: Examination, wide: Rows, padding: int) -> Verdict:
    others = wide._replace(ids=torch.where(wide.real(), wide.ids, examination.other(wide.ids)))
    try:
        verdict = examination.same(examination.logits, examination.subject.logits(others))
    except Broken as broken:
        verdict = failed(str(broken))
    if verdict.status == "passed":
        return verdict
    return warned(  # right if the module finds padding by its id
        f"with other ids as padding: {verdict.difference}; with more or less of id {padding} none",
        f"Right if the module finds padding by id {padding} and no text contains that id; otherwise use lengths.",
    )


LEFT_PADDING = Check(
    "left_padding",
    "looked at both ends of the short rows",
    "text first, then padding",
    "Pad on the right: pad_sequence(rows, batch_first=True), or tokenizer.padding_side = 'right'. If the module needs "
    "padding on the left, move it there in an adaptor.",
    _left_padding,
)
PADDING = Check(
    "padding",
    "added three columns of padding, took all padding from each row, then replaced its ids",
    "the same logits",
    "pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False) and read h_n; or read "
    "output[torch.arange(batch), lengths - 1]; leave padding out of means, maxima and attention, by each row's own "
    "length.",
    _padding,
    LEAKS,
)
