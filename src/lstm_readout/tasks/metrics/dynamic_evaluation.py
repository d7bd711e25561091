"""Dynamic evaluation: the losses of a text go in, one window after another, and the weights of the model follow them.

Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lstm_readout.tasks.metrics.adaptation_settings import check_number, check_share, check_whole_number

_WHERE = "task.dynamic_evaluation"


@dataclass(frozen=True)
class DynamicEvaluation:
    """How the weights adapt to the text being scored.

    After a window is scored, ``w += decay * r * (trained - w) - lr * gradient / (r + epsilon)``. With ``rms``, ``r`` is
    the root mean square of a weight's gradients on training text over the mean of all weights; ``decay * r`` is at
    most 1. Without, ``r`` is 1 and ``epsilon`` 0, which is plain gradient descent.

    Args:
        lr: step size; None: no dynamic evaluation.
        window: tokens per step. They are scored before the model learns from them.
        decay: share of the way back to the trained weights at each step.
        rms: scale the steps by the gradients on training text.
        epsilon: limits the steps of weights whose gradients on training text are small.

    Raises:
        UserError: a value is out of range.
    """

    lr: float | None = None
    window: int = 20
    decay: float = 0.001
    rms: bool = True
    epsilon: float = 0.3

    def __post_init__(self) -> None:
        if self.lr is not None:
            check_number(f"{_WHERE}.lr", self.lr)
        check_whole_number(f"{_WHERE}.window", self.window)
        check_share(f"{_WHERE}.decay", self.decay)
        check_number(f"{_WHERE}.epsilon", self.epsilon)


class Learner:
    """The weights of a model, which learn from the text that ``score`` reads.

    Args:
        model: changed in place.
        how: the step.
        scale: ``r`` of each weight, see ``GradientSquares``; None: 1, without epsilon.
    """

    def __init__(self, model: nn.Module, how: DynamicEvaluation, scale: Sequence[Tensor] | None = None) -> None:
        self.window, self.weights = how.window, _trainable(model)
        self.trained = [weight.detach().clone() for weight in self.weights]
        ones = [torch.ones((), device=weight.device, dtype=weight.dtype) for weight in self.weights]
        self.lr = [(how.lr or 0.0) / (r + how.epsilon * (scale is not None)) for r in scale or ones]
        self.decay = [(how.decay * r).clamp(max=1) for r in scale or ones] if how.decay else []

    def learn(self, loss: Tensor) -> None:
        """Make one step, from the mean loss of a window that has been scored."""
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        with torch.no_grad():
            for weight, origin, decay in zip(self.weights, self.trained, self.decay, strict=False):
                weight.lerp_(origin, decay)
            for weight, gradient, lr in zip(self.weights, gradients, self.lr, strict=True):
                if gradient is not None:
                    weight.addcmul_(gradient, lr, value=-1)

    def forget(self) -> None:
        """Restore the trained weights."""
        with torch.no_grad():
            for weight, origin in zip(self.weights, self.trained, strict=True):
                weight.copy_(origin)


class GradientSquares:
    """The mean squares of a model's gradients, in place of a ``Learner``: the weights stay as they are.

    Args:
        model: the trained model.
        window: tokens per gradient.
    """

    def __init__(self, model: nn.Module, window: int) -> None:
        self.window, self.weights = window, _trainable(model)
        self.sums = [torch.zeros_like(weight) for weight in self.weights]

    def learn(self, loss: Tensor) -> None:
        """Add the squares of the gradients of a window's mean loss."""
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        for total, gradient in zip(self.sums, gradients, strict=True):
            if gradient is not None:
                total.addcmul_(gradient, gradient)

    def forget(self) -> None:
        """Do nothing: rows do not matter."""

    def scale(self) -> list[Tensor]:
        """Return ``r`` of each weight: the root of its mean square, over the mean of all roots."""
        roots = [total.sqrt() for total in self.sums]
        mean = sum(root.sum() for root in roots) / sum(root.numel() for root in roots)
        return [root / mean for root in roots]


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
