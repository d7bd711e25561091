"""The learning-rate schedules that configs name: an optimizer and the number of steps go in, a scheduler comes out.

PyTorch's own, with a warm-up given as a share of the run or as a number of steps. ``total_steps`` is None for a run of
unknown length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from lstm_readout.errors import UserError


def cosine(optimizer: Optimizer, *, total_steps: int | None, warmup: float = 0.05, final: float = 0.0) -> LambdaLR:
    """Rise linearly over the warm-up, then fall along half a cosine to ``final`` times lr.

    Args:
        optimizer, total_steps: see the file.
        warmup: share of the run; 1 or more: a number of steps.
        final: share of lr at the end.

    Raises:
        UserError: the length of the run is unknown, or an option is out of range.
    """
    return _falling(optimizer, "cosine", total_steps, warmup, final, lambda x: 0.5 * (1 + math.cos(math.pi * x)))


def linear(optimizer: Optimizer, *, total_steps: int | None, warmup: float = 0.05, final: float = 0.0) -> LambdaLR:
    """Rise linearly over the warm-up, then fall along a straight line to ``final`` times lr: see ``cosine``."""
    return _falling(optimizer, "linear", total_steps, warmup, final, lambda x: 1 - x)


def constant(optimizer: Optimizer, *, total_steps: int | None, warmup: float = 0.0) -> LambdaLR:
    """Rise linearly over the warm-up, see ``cosine``; then keep the learning rate constant."""
    warm = _warm_steps("constant", warmup, total_steps)
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm))


def inverse_sqrt(optimizer: Optimizer, *, total_steps: int | None, warmup: float = 0.05) -> LambdaLR:
    """Rise linearly over the warm-up to lr, then fall with the square root of the steps (Vaswani et al. 2017,
    "Attention Is All You Need", section 5.3).

    ``warmup``: see ``cosine``. Given in steps, the schedule needs no ``total_steps``.
    """
    warm = _warm_steps("inverse_sqrt", warmup, total_steps)
    return LambdaLR(optimizer, lambda step: min((step + 1) / warm, math.sqrt(warm / (step + 1))))


def slanted_triangular(
    optimizer: Optimizer, *, total_steps: int | None, cut_frac: float = 0.1, ratio: float = 32.0
) -> LambdaLR:
    """Rise for a short while, then fall for the rest (Howard and Ruder 2018, section 3.2, equation 3).

    Args:
        optimizer, total_steps: see the file.
        cut_frac: the share of the run that rises: its warm-up.
        ratio: lr divided by the smallest learning rate.

    Raises:
        UserError: the length of the run is unknown, or an option is out of range.
    """
    total = _known("slanted_triangular", total_steps)
    if not 0 < cut_frac < 1:
        raise UserError(f"scheduler.cut_frac: wanted more than 0 and less than 1, got {cut_frac}.")
    if not ratio >= 1:
        raise UserError(f"scheduler.ratio: wanted 1 or more, got {ratio}.")
    cut = max(1, math.floor(total * cut_frac))

    def scale(step: int) -> float:
        # total - cut is the paper's cut * (1 / cut_frac - 1), but does not go below zero where cut was rounded
        p = step / cut if step < cut else max(0.0, 1 - (step - cut) / max(1, total - cut))
        return (1 + p * (ratio - 1)) / ratio

    return LambdaLR(optimizer, scale)


class _OneCycle(OneCycleLR):
    """``OneCycleLR`` with the length of the current run: a resumed run may have more epochs."""

    def state_dict(self) -> dict[str, Any]:
        """Return plain values: torch 2.3 adds its annealing function, which makes a checkpoint unreadable."""
        return {name: value for name, value in super().state_dict().items() if not callable(value)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the position."""
        own = {"total_steps": self.total_steps, "_schedule_phases": self._schedule_phases}
        super().load_state_dict(state_dict | own)


def one_cycle(
    optimizer: Optimizer,
    *,
    total_steps: int | None,
    warmup: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    cycle_momentum: bool = False,
) -> OneCycleLR:
    """Rise from ``lr / div_factor`` to lr and fall far below it, along half cosines: ``torch``'s ``OneCycleLR``
    (Smith and Topin 2018, "Super-Convergence").

    Args:
        optimizer, total_steps: see the file.
        warmup: the share of the run that rises; 1 or more: a number of steps.
        div_factor: lr divided by the first learning rate.
        final_div_factor: the first learning rate divided by the last.
        cycle_momentum: also let momentum (Adam: beta1) fall from 0.95 to 0.85 and rise again, as in the paper.

    Raises:
        UserError: the length of the run is unknown, or an option is out of range.
    """
    total = _known("one_cycle", total_steps)
    for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        if not value > 0:
            raise UserError(f"scheduler.{name}: wanted more than 0, got {value}.")
    warm = _warm_steps("one_cycle", warmup, total)
    if cycle_momentum and not {"betas", "momentum"} & set(optimizer.defaults):
        raise UserError("scheduler.cycle_momentum=true: this optimizer has no momentum. Set it to false.")
    return _OneCycle(
        optimizer,
        max_lr=[float(group["lr"]) for group in optimizer.param_groups],
        total_steps=total,
        pct_start=min(max(2, warm), total - 1) / total if total > 2 else 0.0,  # torch divides by the steps of each part
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum=cycle_momentum,
    )


def plateau(
    optimizer: Optimizer,
    *,
    total_steps: int | None,
    warmup: float = 0.05,
    mode: Literal["min", "max"] = "min",
    factor: float = 0.1,
    patience: int = 2,
    threshold: float = 1e-4,
    min_lr: float = 0.0,
) -> list[LRScheduler]:
    """Rise linearly over the warm-up, then shrink lr by ``factor`` whenever ``task.monitor`` no longer improves.

    ``torch``'s ``LinearLR``, stepped after every batch, and its ``ReduceLROnPlateau``, stepped after every validation.

    Args:
        optimizer, total_steps: see the file.
        warmup: see ``cosine``.
        mode: whether smaller or larger is better.
        factor: what lr is multiplied by.
        patience: validations without improvement before that.
        threshold: the relative change that counts as an improvement.
        min_lr: the smallest lr.

    Raises:
        UserError: the length of the run is unknown and the warm-up a share of it, or an option is out of range.
    """
    warm = _warm_steps("plateau", warmup, total_steps)
    if not 0 < factor < 1:
        raise UserError(f"scheduler.factor: wanted more than 0 and less than 1, got {factor}.")
    if patience < 0:
        raise UserError(f"scheduler.patience: wanted 0 or more, got {patience}.")
    rising = [LinearLR(optimizer, start_factor=1 / warm, total_iters=warm - 1)] if warm > 1 else []
    falling = ReduceLROnPlateau(
        optimizer, mode, factor=factor, patience=patience, threshold=threshold, min_lr=min_lr, eps=0
    )
    return [*rising, falling]


def _falling(
    optimizer: Optimizer,
    name: str,
    total_steps: int | None,
    warmup: float,
    final: float,
    shape: Callable[[float], float],
) -> LambdaLR:
    total = _known(name, total_steps)
    warm = _warm_steps(name, warmup, total)

    def scale(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return final + (1 - final) * shape(min(1.0, (step - warm) / max(1, total - warm)))

    return LambdaLR(optimizer, scale)


def _known(name: str, total_steps: int | None) -> int:
    if total_steps is None:
        raise UserError(
            f"scheduler={name}: wanted the number of steps, but a streamed corpus has no length. "
            "Set trainer.max_steps=..., or scheduler=constant."
        )
    return total_steps


def _warm_steps(name: str, warmup: float, total_steps: int | None) -> int:
    """Return the steps of the warm-up; the last of them has the full lr."""
    if not warmup >= 0:
        raise UserError(f"scheduler.warmup: wanted 0 or more, got {warmup}.")
    if warmup >= 1 or warmup == 0:
        return max(1, round(warmup))
    if total_steps is None:
        raise UserError(
            f"scheduler={name}: scheduler.warmup={warmup} is a share of the run, but a streamed corpus has no length. "
            "Set trainer.max_steps=..., or scheduler.warmup to a number of steps."
        )
    return max(1, round(warmup * total_steps))
