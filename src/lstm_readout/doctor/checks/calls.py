"""Checks of single calls: shape, randomness, state kept between calls, and the first loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, skipped, warned
from lstm_readout.doctor.checks.last_operation import is_adaptive
from lstm_readout.doctor.module_under_test import Broken


def _logits(examination: Examination) -> Verdict:
    bad = int((~examination.scores.isfinite()).sum())
    if bad:
        return failed(f"{bad} of {examination.scores.numel()} scores are not finite")
    shape = tuple(examination.logits.shape)
    return passed(f"{shape[:1] if examination.subject.one_score else shape}")


def _random(examination: Examination) -> Verdict:
    subject, rows = examination.subject, examination.even
    return examination.same(subject.logits(rows), subject.logits(rows, seed=1), rows.lengths)


def _state(examination: Examination) -> Verdict:
    subject, rows = examination.subject, examination.even
    first = subject.logits(rows)
    verdict = examination.same(first, subject.logits(rows, fresh=False), rows.lengths)
    if verdict.status == "failed":
        return verdict._replace(difference=f"second call: {verdict.difference}")
    subject.logits(rows._replace(ids=examination.other(rows.ids)), fresh=False, train=True)
    verdict = examination.same(first, subject.logits(rows, fresh=False), rows.lengths)
    if verdict.status == "passed":
        return verdict
    subject.restore_buffers()
    if examination.same(first, subject.logits(rows, fresh=False), rows.lengths).status == "passed":
        return passed("train mode updates running statistics, as it should")
    return verdict._replace(difference=f"after a call in train mode: {verdict.difference}")


def _detached(examination: Examination) -> Verdict:
    subject, rows = examination.subject, examination.even
    weights = subject.recurrent_weights() or list(subject.module.parameters())
    weights = [parameter for parameter in weights if parameter.requires_grad]
    if not weights:
        return skipped("no parameter is trained")
    fresh = True
    for step in ("first", "second"):
        try:
            loss = subject.with_graph(rows, fresh=fresh, train=True).square().mean()
            if not loss.requires_grad:
                return skipped("the logits carry no gradient")
            torch.autograd.grad(loss, weights, allow_unused=True)
        except (Broken, RuntimeError) as error:
            if step == "first":
                return skipped(f"the first training step {error}")
            return failed(f"the second step raised: {str(error).split('. ')[0][:90]}")
        fresh = False
    return passed("two steps done")


def _start_loss(examination: Examination) -> Verdict:
    if is_adaptive(examination):
        return skipped("an adaptive softmax gives all rare labels together the probability of one frequent label")
    scores = examination.scores
    uniform = math.log(scores.shape[-1])
    # A bias may know how frequent each label is: what it adds to every row is no fault
    without_bias = scores - scores.flatten(0, -2).mean(0)
    loss = min(_mean_over_labels(scores), _mean_over_labels(without_bias))
    finding = f"{loss:.2f}, log(classes) = {uniform:.2f}"
    return passed(finding) if loss - uniform < 0.5 else warned(finding)


def _mean_over_labels(scores: Tensor) -> float:
    """Return the mean loss over all labels, each equally likely."""
    return float((scores.logsumexp(-1) - scores.mean(-1)).mean())


LOGITS = Check(
    "logits",
    "called the module in eval mode",
    "finite scores of shape (batch, classes), or (batch, steps, vocabulary) to generate",
    "Return one row of scores for each row of token_ids, batch first. For another layout pass "
    "adaptor=lambda module, token_ids, lengths: ...",
    _logits,
)
RANDOM = Check(
    "random",
    "called the module twice in eval mode, with two seeds",
    "the same logits",
    "F.dropout(x, p, training=self.training), or an nn.Dropout created in __init__; h_0 of zeros, not torch.randn.",
    _random,
    ("logits",),
)
STATE = Check(
    "state",
    "called it twice, and again after a call in train mode on other rows",
    "the same logits: nothing is left from the previous call",
    "Do not keep self.hidden between calls: pass (h, c) in and return it, or reset it to None where a new text begins.",
    _state,
    ("logits", "random"),
)
DETACHED = Check(
    "detached",
    "took two training steps, one after the other",
    "each backward pass ends at its own step",
    "Carry (h.detach(), c.detach()) into the next step; retain_graph=True only hides it.",
    _detached,
    ("logits",),
)
START_LOSS = Check(
    "start_loss",
    "took the mean cross-entropy of the untrained module over all labels, equally weighted",
    "log(classes), or less than 0.5 above it",
    "Initialise the last layer with smaller weights (with tied weights: the embedding, std=0.1).",
    _start_loss,
    ("logits", "softmax"),
)
