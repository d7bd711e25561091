"""Optimizers and schedules of the learning rate, as configs name them.

PyTorch's own: this file only chooses the fused kernel where the installed torch has it for the device, and counts
warm-up in shares of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lstm_readout.errors import UserError


def adamw(
    parameters: Iterable[nn.Parameter],
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019); its fused kernel, several times cheaper, from torch 2.4 on CPU too."""
    _check_lr(lr)
    parameters = list(parameters)
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    fused = version >= (2, 4) or not on_cpu
    return AdamW(parameters, lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), fused=fused)


def sgd(
    parameters: Iterable[nn.Parameter], *, lr: float = 1.0, momentum: float = 0.0, weight_decay: float = 0.0
) -> Optimizer:
    """Return stochastic gradient descent."""
    _check_lr(lr)
    return SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def cosine(optimizer: Optimizer, *, total_steps: int | None, warmup: float = 0.05, final: float = 0.0) -> LambdaLR:
    """Rise linearly over the first ``warmup`` share of the run, then fall along half a cosine to ``final`` times lr.

    Raises:
        UserError: nobody knows how long the run is.
    """
    if total_steps is None:
        raise UserError(
            "scheduler=cosine: wanted the number of steps, but a streamed corpus has no length. "
            "Set trainer.max_steps=..., or scheduler=constant."
        )
    warm = max(1, round(warmup * total_steps))

    def scale(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        progress = min(1.0, (step - warm) / max(1, total_steps - warm))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, scale)


def constant(optimizer: Optimizer, *, total_steps: int | None) -> LambdaLR:
    """Leave the learning rate as it is."""
    return LambdaLR(optimizer, lambda step: 1.0)


def _check_lr(lr: float) -> None:
    if not lr > 0:
        raise UserError(f"optimizer.lr: wanted more than 0, got {lr}.")
