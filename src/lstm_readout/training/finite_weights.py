"""Weights go in; the name of one that is not finite comes out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def not_finite(weights: Iterable[tuple[str, Tensor]]) -> str | None:
    """Return the name of the first weight that is not finite; None if all are."""
    named = [(name, weight.detach()) for name, weight in weights if weight.is_floating_point()]
    sums = torch.stack([weight.sum(dtype=torch.float32) for _, weight in named] or [torch.zeros(())])
    suspects = (~sums.isfinite()).nonzero().flatten().tolist()  # waits for the device, once
    return next((name for name, weight in (named[one] for one in suspects) if not weight.isfinite().all()), None)
