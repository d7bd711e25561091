"""Checks of what is read of a recurrent layer: ``h_n`` or ``c_n``, and both halves of two directions."""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, skipped, warned
from lstm_readout.doctor.checks.places import described
from lstm_readout.doctor.checks.rows import LEAKS
from lstm_readout.doctor.recurrent_calls import RecurrentCall, recurrent_calls, steps_of

_MOST_CALLS = 12  # of an LSTMCell in a loop
_ROUNDS = 24  # of other texts: a maximum over steps reads other steps in each


def _c_n(examination: Examination) -> Verdict:
    logits, calls = recurrent_calls(examination.subject, examination.even)
    with_cells = [call for call in calls if "c_n" in call.zeros]
    if not with_cells:
        return skipped("no LSTM seen")
    swapped = _swapped(with_cells[-_MOST_CALLS:])
    if swapped:
        return failed(
            f"{swapped}: its h_0 is made from a c_n, and its c_0 from the h_n",
            "output, (h_n, c_n) = encoder(x); decoder(y, (h_n, c_n)): h comes first in both.",
        )
    for name, call in {call.name: call for call in with_cells}.items():
        read = _read(examination, logits, call)
        if read == {"c_n"}:
            return warned(f"{name}: the logits depend on c_n, and neither on h_n nor on output")
    lost = _losing(with_cells[-_MOST_CALLS:])
    if lost:
        return warned(f"{lost}: from call to call it passes h_n on, and no c_n", "Carry both: h, c = cell(x, (h, c)).")
    return passed("h_n or output is read, or both h_n and c_n")


def _losing(calls: list[RecurrentCall]) -> str | None:
    """Return the name of a layer whose h_0 is its h_n of the call before, and whose c_0 is something else."""
    before: dict[str, RecurrentCall] = {}
    for call in calls:
        giver = before.get(call.name)
        if giver is not None and call.first is not None:
            h_0, c_0 = (_reached(part, giver) for part in call.first)
            if h_0 and not c_0:
                return call.name
        before[call.name] = call
    return None


def _swapped(calls: list[RecurrentCall]) -> str | None:
    """Return the name of a layer that takes another's h_n as c_0 and its c_n as h_0."""
    for i, call in enumerate(calls):
        for giver in calls[:i]:
            if call.first is not None and [_reached(part, giver) for part in call.first] == [["c_n"], ["h_n"]]:
                return call.name
    return None


def _reached(value: Tensor, giver: RecurrentCall) -> list[str]:
    """Return which parts of another call's state a first state depends on."""
    if not value.requires_grad:
        return []
    names = ["h_n", "c_n"]
    found = torch.autograd.grad(
        value.sum(), [giver.zeros[name] for name in names], retain_graph=True, allow_unused=True
    )
    return [name for name, gradient in zip(names, found, strict=True) if gradient is not None and gradient.any()]


def _read(examination: Examination, logits: Tensor, call: RecurrentCall) -> set[str]:
    found = examination.subject.mixed(logits, list(call.zeros.values()))
    return {name for name, one in zip(call.zeros, found, strict=True) if one is not None and bool(one.any())}


def _halves(examination: Examination) -> Verdict:
    if examination.long.ids.shape[1] < 3:
        return skipped("no row of three tokens")
    logits, calls = recurrent_calls(examination.subject, examination.even)
    if not any(_has_halves(call) for call in calls):
        return skipped("no bidirectional layer seen")
    added = next((call.name for call in calls if _has_halves(call) and _are_added(examination, logits, call)), None)
    if added:
        return warned(f"{added}: the logits depend on h_n[-2] + h_n[-1] alone: the head cannot tell the halves apart")
    return _ends_of_output(examination)


def _has_halves(call: RecurrentCall) -> bool:
    return bool(getattr(call.layer, "bidirectional", False))


def _are_added(examination: Examination, logits: Tensor, call: RecurrentCall) -> bool:
    """Return whether both halves of the last h_n have one gradient, and nothing else of the layer is read."""
    if _read(examination, logits, call) != {"h_n"}:
        return False
    (gradient,) = examination.subject.mixed(logits, [call.zeros["h_n"]])
    return gradient is not None and bool(gradient[-1].any()) and torch.equal(gradient[-2], gradient[-1])


def _ends_of_output(examination: Examination) -> Verdict:
    seen: dict[str, Tensor] = {}
    bad: dict[str, Tensor] = {}
    for seed in range(_ROUNDS):
        found = _steps_read(examination, seed)
        seen = {name: steps | seen.get(name, steps) for name, steps in found.items()}
        bad = {name: steps for name, steps in seen.items() if not _complete(steps)}
        if not bad:
            return passed("each is read where it has read every token")
    name, steps = next(iter(bad.items()))
    missing = described((~steps).nonzero().flatten().tolist())
    return failed(f"{name}: of {len(steps)} steps of output, these are not read: {missing}")


def _steps_read(examination: Examination, seed: int) -> dict[str, Tensor]:
    """Return which steps are read of each layer in two directions that is called once and read by ``output`` alone."""
    rows = examination.random_texts(examination.long, seed)
    logits, calls = recurrent_calls(examination.subject, rows)
    names = [call.name for call in calls]
    found: dict[str, Tensor] = {}
    for call in calls:
        if _has_halves(call) and names.count(call.name) == 1 and _read(examination, logits, call) == {"output"}:
            (gradient,) = examination.subject.mixed(logits, [call.zeros["output"]])
            steps = None if gradient is None else steps_of(call, gradient, rows)
            if steps is not None:
                found[call.name] = steps
    return found


def _complete(steps: Tensor) -> bool:
    """Return whether the first and the last step are read; ``directions`` reports one of them alone."""
    ends = int(steps[0]) + int(steps[-1])
    return ends == 2 or (ends == 1 and int(steps.sum()) == 1)


C_N = Check(
    "c_n",
    "took the gradient of the logits, and of every first state, with respect to h_n and c_n of each LSTM",
    "h_n is read, or output; a state is passed on as (h_n, c_n)",
    "output, (h_n, c_n) = lstm(x): read h_n[-1], which has passed the output gate. Right if c_n is meant.",
    _c_n,
    LEAKS,
)
HALVES = Check(
    "halves",
    "took the gradient of the logits with respect to h_n, and to each step of output, of layers in two directions",
    "both halves are read, each by itself; where output alone is read, so are its first and its last step",
    "torch.cat((h_n[-2], h_n[-1]), dim=-1) keeps the halves apart (a sum is right if meant). Over output, leave no "
    "step of the text out: mask with torch.arange(steps) < lengths[:, None].",
    _halves,
    (*LEAKS, "ends", "directions"),
)
