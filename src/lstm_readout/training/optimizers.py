"""The optimizers that configs name: PyTorch's own, with the fused kernel where the installed torch has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from lstm_readout.errors import UserError

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]  # one group, or groups in torch.optim's form


def adamw(
    parameters: Parameters,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019), with its fused kernel (on CPU from torch 2.4 on)."""
    _check_lr(lr)
    groups: list[Any] = list(parameters)
    every = [p for group in groups for p in (group["params"] if isinstance(group, dict) else [group])]
    on_cpu = all(parameter.device.type == "cpu" for parameter in every)
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    fused = version >= (2, 4) or not on_cpu
    return AdamW(groups, lr=lr, weight_decay=weight_decay, betas=(beta1, beta2), fused=fused)


def sgd(parameters: Parameters, *, lr: float = 1.0, momentum: float = 0.0, weight_decay: float = 0.0) -> Optimizer:
    """Return stochastic gradient descent."""
    _check_lr(lr)
    return SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def _check_lr(lr: float) -> None:
    if not lr > 0:
        raise UserError(f"optimizer.lr: wanted more than 0, got {lr}.")
