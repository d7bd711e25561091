"""Vectors, a linear layer and targets go in, their cross-entropy comes out; only a block of logits exists at a time.

The loss of a block and its gradients come from the same logits, which are then overwritten by the next block's, as in
Hsu et al. 2024, "Liger Kernel", and Wijmans et al. 2024, "Cut Your Losses in Large-Vocabulary Language Models". Nothing
is computed twice, and nothing is left out: the numbers are those of ``cross_entropy(linear(...))``.

Shapes: N rows, O features, V classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy, linear

MOST_LOGITS = 2**25  # 128 MiB in float32; fewer are slower: each block adds to the whole gradient of the weight
FEW_CLASSES = 512  # below, the calls take most of the time, and torch's own two are fewer
_LINE = 64  # bytes: matrix products are up to 1.6 times faster where each row of logits starts a cache line


def linear_cross_entropy(
    vectors: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Return ``cross_entropy(linear(vectors, weight, bias), targets)`` with at most ``MOST_LOGITS`` logits at a time.

    Under autocast the matrix products are in its precision, softmax and sums in float32. Differentiable once.

    Args:
        vectors: (N, O).
        weight: (V, O).
        bias: (V,) or None.
        targets: (N,) each 0 or more and less than V.
        label_smoothing: share of the target probability spread over all classes.
        reduction: mean over rows or their sum.
    """
    if len(weight) < FEW_CLASSES and len(targets) * len(weight) <= MOST_LOGITS:
        logits = linear(vectors, weight, bias)
        return cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction=reduction)
    precision = linear(vectors[:0], weight[:0]).dtype  # autocast decides, on every device
    how = _How(precision, label_smoothing, 1 / max(len(targets), 1) if reduction == "mean" else 1.0)
    if torch.is_grad_enabled():
        apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
        loss = apply(vectors, weight, bias, targets, how)
    else:
        loss, _ = _in_blocks(vectors, weight, bias, targets, how, (False, False, False))
    return loss if len(targets) or reduction == "sum" else loss + torch.nan  # as the mean over no rows


class _How(NamedTuple):
    precision: torch.dtype  # of the matrix products
    label_smoothing: float
    scale: float  # of the sum over rows


_Gradients = list[Tensor | None]  # of vectors, weight and bias; None: not needed


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, how: _How) -> Tensor:
        ctx.save_for_backward(vectors, weight, bias, targets)
        ctx.how = how
        loss, ctx.gradients = _in_blocks(vectors, weight, bias, targets, how, ctx.needs_input_grad[:3])
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, *grad_outputs)


@once_differentiable
def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    # Handed over, not copied: the receiver may change them in place
    gradients: _Gradients = ctx.gradients
    ctx.gradients = None
    if gradients is None:  # a second backward pass through a retained graph
        _, gradients = _in_blocks(*ctx.saved_tensors, how=ctx.how, wanted=ctx.needs_input_grad[:3])
    if upstream.device.type != "cpu" or upstream != 1:  # on a GPU the comparison would wait for it
        gradients = [None if gradient is None else gradient.mul_(upstream) for gradient in gradients]
    return (*gradients, None, None)


def _in_blocks(
    vectors: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, how: _How, wanted: tuple[bool, ...]
) -> tuple[Tensor, _Gradients]:
    """Return the loss and those of its gradients that are ``wanted``."""
    number, classes = len(targets), len(weight)
    wide = torch.promote_types(how.precision, torch.float32)
    total = torch.zeros((), dtype=wide, device=vectors.device)
    parts = zip((vectors, weight, bias), wanted, strict=True)
    gradients = [torch.empty_like(x) if x is not None and want else None for x, want in parts]
    of_vectors, of_weight, of_bias = gradients
    if not number:
        return total, [None if gradient is None else gradient.zero_() for gradient in gradients]
    blocks = -(-number * classes // MOST_LOGITS)
    size = -(-number // blocks)
    in_line = _LINE // how.precision.itemsize
    space = torch.empty(size, -(-classes // in_line) * in_line, dtype=how.precision, device=vectors.device)
    space[:, classes:] = -torch.inf  # the padding of a row has no probability
    matrix = weight.to(how.precision)
    shift = space.new_zeros(classes) if bias is None else bias.to(how.precision)
    for start in range(0, number, size):
        block, chosen = vectors[start : start + size].to(how.precision), targets[start : start + size, None]
        logits = space[: len(block)]
        torch.addmm(shift, block, matrix.T, out=logits[:, :classes])
        score = logits[:, :classes].gather(1, chosen).to(wide)  # (N, 1)
        highest = logits.amax(1, keepdim=True).to(wide)
        probabilities = torch.softmax(logits, -1, dtype=wide)
        # The maximum is exp(0) / sum, which gives the denominator
        normalizer = highest - probabilities.amax(1, keepdim=True).log()
        if how.label_smoothing:
            mean = logits[:, :classes].mean(1, keepdim=True, dtype=wide)
            score = (1 - how.label_smoothing) * score + how.label_smoothing * mean
        total += (normalizer - score).sum() * how.scale
        if not any(wanted):
            continue
        # From here on the gradient of the logits: softmax - target
        if how.label_smoothing:
            probabilities -= how.label_smoothing / classes
        probabilities.scatter_add_(1, chosen, torch.full_like(score, how.label_smoothing - 1))
        of_logits = probabilities.to(how.precision)[:, :classes]
        if of_vectors is not None:
            _add_product(of_vectors[start : start + size], of_logits, matrix, how.scale, replace=True)
        if of_weight is not None:
            _add_product(of_weight, of_logits.T, block, how.scale, replace=not start)
        if of_bias is not None:
            ones = torch.ones_like(score)
            _add_product(of_bias[:, None], probabilities[:, :classes].T, ones, how.scale, replace=not start)
    return total, gradients


def _add_product(total: Tensor, left: Tensor, right: Tensor, scale: float, *, replace: bool) -> None:
    """Add ``scale * left @ right`` to the total in place, or replace it: sums stay in the total's precision."""
    if total.dtype == left.dtype:
        total.addmm_(left, right, beta=0 if replace else 1, alpha=scale)
    elif replace:
        total.copy_(left @ right).mul_(scale)
    else:
        total.add_(left @ right, alpha=scale)
