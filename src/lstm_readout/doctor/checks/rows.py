"""Checks between rows: no row may depend on other rows, on their number, or on its place in the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, skipped
from lstm_readout.doctor.module_under_test import Broken
from lstm_readout.doctor.ragged_batch import Rows


def _batch_first(examination: Examination) -> Verdict:
    if not examination.subject.layers():
        return skipped("no nn.LSTM, nn.GRU or nn.RNN in it")
    if not _leaks(examination):
        return passed("rows are independent")
    swapped = [found for found in _inputs(examination) if _is_swapped(*found[1:], examination.rows)]
    if not swapped:
        return passed("rows leak in another way")
    name, layer, shape = swapped[0]
    batch, steps = examination.rows.ids.shape
    return failed(
        f"{name} has batch_first={layer.batch_first} and got an input of shape {shape} for {batch} rows and {steps} "
        f"steps; {_finding(examination.dependence)}",
        f"nn.{type(layer).__name__}(..., batch_first={not layer.batch_first}); h_n stays (layers * directions, batch, "
        "hidden) either way.",
    )


def _h_n_view(examination: Examination) -> Verdict:
    stacks = {_states(layer) for _, layer in examination.subject.layers()} - {1}
    if not stacks:
        return skipped("no recurrent layer with several layers or directions")
    if not _leaks(examination):
        return passed("rows are independent")
    for number in sorted(stacks):
        rows = examination.rows
        if number >= len(rows.ids):  # every row would depend on all; more rows tell this from a mean over the batch
            rows = rows.take(torch.arange(number + 1) % len(rows.ids))
        if torch.equal(examination.depends(rows).cpu(), _viewed(number, len(rows.ids))):
            return failed(f"{_finding(examination.dependence)}: the pattern of .view on h_n ({number}, batch, hidden)")
    return passed("rows leak in another way")


def _rows(examination: Examination) -> Verdict:
    dependence = examination.dependence
    if _others(dependence).any() and not _is_order(dependence):
        return failed(_finding(dependence))
    return passed("no two rows change the same logits")


def _order(examination: Examination) -> Verdict:
    if is_out_of_order(examination.dependence):
        return failed(_finding(examination.dependence))
    index = torch.arange(len(examination.rows.ids), device=examination.rows.ids.device).roll(1)
    turned = examination.subject.logits(examination.rows.take(index))
    inverse = index.argsort()
    return examination.same(examination.logits, turned[inverse.to(turned.device)])


def _batch_size(examination: Examination) -> Verdict:
    rows = examination.rows
    greatest = 0.0
    for i in range(len(rows.ids)):
        alone = examination.subject.logits(rows.take(torch.tensor([i], device=rows.ids.device)))
        steps = rows.lengths[i : i + 1] if examination.subject.each_step else None
        greatest = max(greatest, float(examination.moved(examination.logits[i : i + 1], alone, steps).max()))
    verdict = passed(greatest)
    return verdict if greatest <= examination.tolerance else failed(verdict.difference)


def _inputs(examination: Examination) -> list[tuple[str, nn.RNNBase, tuple[int, ...]]]:
    names = {layer: name for name, layer in examination.subject.layers()}
    return [(names[layer], layer, shape) for layer, shape in examination.subject.inputs(examination.rows)]


def _is_swapped(layer: nn.RNNBase, shape: tuple[int, ...], rows: Rows) -> bool:
    batch, steps = rows.ids.shape
    return len(shape) == 3 and shape[:2] == ((steps, batch) if layer.batch_first else (batch, steps))


def _states(layer: nn.RNNBase) -> int:
    return layer.num_layers * (2 if layer.bidirectional else 1)


def _viewed(number: int, batch: int) -> Tensor:
    """Return whether ``h_n.view(batch, -1)`` puts states of row i into row j: (i, j) bool."""
    pattern = torch.zeros(batch, batch, dtype=torch.bool)
    for j in range(batch):
        pattern[[(j * number + k) % batch for k in range(number)], j] = True
    return pattern


def _leaks(examination: Examination) -> bool:
    try:
        return bool(_others(examination.dependence).any()) and not _is_order(examination.dependence)
    except Broken:  # the check named rows reports it
        return False


def _others(dependence: Tensor) -> Tensor:
    """Return which rows change another row's logits."""
    return dependence & ~torch.eye(len(dependence), dtype=torch.bool, device=dependence.device)


def _is_order(dependence: Tensor) -> bool:
    """Return whether each row changes one row's logits, and no two the same: that is their order."""
    return bool((dependence.sum(0) == 1).all() and (dependence.sum(1) == 1).all())


def is_out_of_order(dependence: Tensor) -> bool:
    """Return whether each row changes one row's logits, and not always its own."""
    return _is_order(dependence) and not bool(dependence.diagonal().all())


def _finding(dependence: Tensor) -> str:
    i, j = _others(dependence).nonzero()[0].tolist()
    return f"row {i}'s tokens change row {j}'s logits"


_CALLS = ("logits", "random")
_SIDES = ("batch_first", "h_n_view", "rows")
LEAKS = (*_CALLS, *_SIDES, *(f"source_{name}" for name in _SIDES))  # if one of these fails, every comparison differs
_PADDING = ("padding", "source_padding")  # a row that reads padding depends on the rows beside it

BATCH_FIRST = Check(
    "batch_first",
    "changed one row's tokens, and looked at the input of the recurrent layers",
    "only that row's logits change",
    "batch_first=True, where the input is (batch, steps, features).",
    _batch_first,
    _CALLS,
)
H_N_VIEW = Check(
    "h_n_view",
    "changed one row's tokens",
    "only that row's logits change",
    "h_n.transpose(0, 1).reshape(batch, -1), or torch.cat((h_n[-2], h_n[-1]), dim=-1): .view never swaps axes.",
    _h_n_view,
    (*_CALLS, "batch_first"),
)
ROWS = Check(
    "rows",
    "changed one row's tokens",
    "only that row's logits change",
    "Look for .view or .reshape where axes must be swapped (transpose), or a mean, softmax, norm or indexing over the "
    "batch axis.",
    _rows,
    (*_CALLS, "batch_first", "h_n_view"),
)
ORDER = Check(
    "order",
    "rotated the rows by one place",
    "the logits rotate with them",
    "pack_padded_sequence(..., enforce_sorted=False) sorts and undoes it; if you sort yourself: "
    "logits[order.argsort()].",
    _order,
    (*LEAKS, *_PADDING),
)
BATCH_SIZE = Check(
    "batch_size",
    "passed each row alone",
    "the same logits as within the batch",
    "Create h_0 in forward from the input's size, or pass none, and keep none from the previous call; squeeze with a "
    "dim, so that a batch of one keeps its axis.",
    _batch_size,
    (*LEAKS, "order", *_PADDING),
)
