"""Checks of the module's last operation: logits may have any sign and size, probabilities may not."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, skipped, warned

_MOVES = (  # operations that only move numbers, and leave their values
    "View|UnsafeView|ReshapeAlias|Alias|Squeeze|Unsqueeze|Expand|Transpose|T|Permute|Select|Slice|Index|Gather|Clone|ToCopy|"
    "MaskedFill|PadPackedSequence|Stack|Cat|CopySlices|IndexSelect|Unbind|Split"
)
_ACTIVATIONS = (
    "Sigmoid|Tanh|Relu|Softmax|LogSigmoid|Softplus|Elu|LeakyRelu|Gelu|Silu|Mish|Hardtanh|Hardsigmoid|Hardswish|Exp|"
    "Threshold|PreluKernel|RreluWithNoise"
)
_LARGE = 1000.0
_DRAWS = 8  # of random weights; the scores of one class may all have the sign of its bias


def _softmax(examination: Examination) -> Verdict:
    scores = examination.scores
    if scores.shape[-1] < 2:
        return skipped("one class only")
    normalized = (scores.sum(-1) - 1).abs().max() < 1e-3
    if scores.min() >= 0 and scores.max() <= 1 and normalized:
        return failed("every row of scores sums to 1, each in 0..1")
    if scores.logsumexp(-1).abs().max() < 1e-3:
        if is_adaptive(examination):
            return passed("log probabilities of an adaptive softmax, which has its own loss")
        return warned(
            "the scores are log probabilities: right for nll_loss, but cross_entropy would take the log softmax again"
        )
    return passed("not normalized")


def is_adaptive(examination: Examination) -> bool:
    """Return whether the module ends with an adaptive softmax."""
    return any(isinstance(one, nn.AdaptiveLogSoftmaxWithLoss) for one in examination.subject.module.modules())


def _activation(examination: Examination) -> Verdict:
    if examination.scores.logsumexp(-1).abs().max() < 1e-3 and examination.scores.shape[-1] > 1:
        return passed("log probabilities: see softmax")
    name = _last_operation(examination.subject.with_graph(examination.even))
    if re.fullmatch(_ACTIVATIONS, name):
        return warned(f"the last operation is {name.lower()}", _fix(name))
    if _is_saturated(examination):
        return warned(
            "with weights 1000 times as large, the logits stay within -1 and 1: a tanh or a sigmoid", _fix("")
        )
    if _has_one_sign(examination):
        return warned(f"with {_DRAWS} draws of random weights, the logits never change sign: a relu, exp or square")
    return passed("logits of any sign and size")


def _fix(name: str) -> str:
    if name in ("Sigmoid", "Hardsigmoid", ""):
        return (
            "Drop it before cross_entropy or binary_cross_entropy_with_logits, which take it themselves; right before "
            "binary_cross_entropy (BCELoss)."
        )
    return "Return self.head(x) as it is: cross_entropy wants logits of any sign and size."


def _last_operation(logits: Tensor) -> str:
    """Return the name of the last operation that computes the values of the logits."""
    node = logits.grad_fn
    while node is not None:
        name = re.sub(r"Backward.*", "", node.name().removeprefix("_").split("::")[-1])
        if not re.fullmatch(_MOVES, name) or not node.next_functions:
            return name
        node = node.next_functions[0][0]
    return ""


def _is_saturated(examination: Examination) -> bool:
    """Return whether very large weights only bring the scores close to -1, 0 and 1."""
    with examination.subject.replaced(lambda weight: weight * _LARGE):
        scores = examination.subject.logits(examination.even).abs()
    near = torch.minimum(scores, (1 - scores).abs()) < 0.01
    return bool(scores.max() <= 1.001 and scores.max() > 0.5 and near.float().mean() > 0.9)


def _has_one_sign(examination: Examination) -> bool:
    """Return whether the scores are never negative, or never positive, whatever the weights."""
    sign = 1 if examination.scores.mean() >= 0 else -1
    if (examination.scores * sign).min() < 0:
        return False
    draws = _DRAWS if examination.scores.shape[-1] > 1 else 3 * _DRAWS
    return all((_redrawn(examination, seed) * sign).min() >= 0 for seed in range(draws))


def _redrawn(examination: Examination, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    with examination.subject.replaced(lambda weight: torch.randn(weight.shape, generator=generator).to(weight)):
        return examination.subject.logits(examination.even)


SOFTMAX = Check(
    "softmax",
    "looked at the scores of each prediction",
    "logits, not probabilities: cross_entropy takes the softmax itself",
    "Drop softmax from the module's last line, and take it where probabilities are shown.",
    _softmax,
    ("logits",),
)
ACTIVATION = Check(
    "activation",
    "looked at the last operation, and at the logits of larger and of other weights",
    "logits of any sign and size",
    "Return self.head(x) as it is: cross_entropy wants logits of any sign and size.",
    _activation,
    ("logits", "softmax"),
)
