"""Losses and weights of a training go in; once it has diverged, an error comes out that says where, and what to try."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer

from lstm_readout.errors import UserError
from lstm_readout.training.checkpoint_files import LAST
from lstm_readout.training.finite_weights import not_finite

_FIRST_SHARE = 0.1  # of the first loss: a best loss below it counts as this much, so one odd row is no divergence


class Divergence(Callback):
    """Stop a training whose loss or weights are not finite, or whose loss is many times its best.

    Each loss is looked at after its own step on one CPU. On other devices, where a look waits for the device, and with
    several processes, the losses since the last look are read together: every ``every`` steps and at the end of an
    epoch. The weights are looked at as often as that everywhere, and before each checkpoint (``Task``). A step that a
    gradient scaler skips changes no weight, so it is no divergence.

    Args:
        factor: a loss of more than this many times the best is a divergence.
        every: steps between two looks; 0: only at the end of an epoch.

    Raises:
        UserError: while training; earlier checkpoints stay.
    """

    def __init__(self, factor: float = 1000.0, every: int = 50) -> None:
        if not factor > 1:
            raise UserError(f"callbacks.divergence.factor: wanted more than 1, got {factor}.")
        self.factor, self.every = factor, every
        self._lowest = {"loss": _Lowest(), "validation loss": _Lowest()}
        self._steps: list[_Step] = []  # since the last look
        self._now = _Step(0, math.nan)

    def state_dict(self) -> dict[str, Any]:
        """Return the first and the best losses, with which a resumed run compares its own."""
        return {name: [lowest.first, lowest.best] for name, lowest in self._lowest.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self._lowest = {name: _Lowest(*losses) for name, losses in state_dict.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the weights that the training starts from."""
        self._steps.clear()
        _check_weights(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the step and its learning rate: at its end the schedule has the next one."""
        self._now = _Step(trainer.global_step + 1, _rate_of(trainer))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss, and look at it if it is time."""
        if outputs:
            self._steps.append(self._now._replace(loss=outputs["loss"]))
        ends = trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps
        at_interval = ends or bool(self.every and trainer.global_step % self.every == 0)
        alone = trainer.world_size == 1
        if at_interval or (alone and pl_module.device.type == "cpu"):
            self._check_losses(trainer, pl_module)
        if at_interval and alone:  # several processes have the same weights: those of the next checkpoint
            _check_weights(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the validation loss before it chooses a checkpoint."""
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not trainer.sanity_checking:
            lowest = self._lowest["validation loss"]
            if not lowest.accepts(float(loss), self.factor):
                raise diverged(trainer, pl_module, f"the validation loss is {float(loss):.4g}{lowest.text()}")

    def _check_losses(self, trainer: Trainer, pl_module: LightningModule) -> None:
        lowest, wrong = self._lowest["loss"], None
        losses = torch.stack([step.loss for step in self._steps]).tolist() if self._steps else []  # waits for a device
        for step, part in zip(self._steps, losses, strict=True):
            loss = part * trainer.accumulate_grad_batches  # which Lightning divides by
            if not lowest.accepts(loss, self.factor):
                wrong = step._replace(loss=loss)
                break
        self._steps.clear()
        if not trainer.strategy.reduce_boolean_decision(wrong is not None, all=False):  # of all processes
            return
        if wrong is None:
            raise diverged(trainer, pl_module, "the loss of another process is not finite, or far above its best")
        what = f"the loss is {wrong.loss:.4g}{lowest.text()}"
        raise diverged(trainer, pl_module, what, wrong)


class _Step(NamedTuple):
    """What is known of a step."""

    number: int  # from 1
    rate: float
    loss: Any = None  # a Tensor on the device of the model, or a number


class _Lowest:
    """The first loss and the best so far."""

    def __init__(self, first: float | None = None, best: float = math.inf) -> None:
        self.first, self.best = first, best

    def accepts(self, loss: float, factor: float) -> bool:
        """Return whether a loss is finite and no more than ``factor`` times the best, and remember it."""
        if not math.isfinite(loss):
            return False
        if self.first is None:
            self.first = loss
        limit = factor * max(self.best, _FIRST_SHARE * self.first)
        if 0 < limit < loss:
            return False
        self.best = min(self.best, loss)
        return True

    def text(self) -> str:
        return "" if math.isinf(self.best) else f" (best {self.best:.4g})"


def diverged(trainer: Trainer, module: LightningModule, what: str, at: _Step | None = None) -> UserError:
    """Return the error of a training that has diverged.

    Args:
        trainer, module: while they train.
        what: was found.
        at: the step; None: the last one.
    """
    step, rate, _ = at or _Step(trainer.global_step, _rate_of(trainer))
    updates = trainer.global_step if at is None else step - 1  # before what was found
    norm = _gradient_norm(module)
    clipped = " after clipping" if trainer.gradient_clip_val else ""
    of_norm = "" if norm is None else f", gradient norm {norm:.4g}{clipped}"
    clip = "" if clipped else ", trainer.gradient_clip_val=1"
    half = ", trainer.precision=32-true" if "16" in str(trainer.precision) else ""
    if not updates:
        advice = "No learning rate can mend this: look at vectors and init_from, with doctor=default"
    else:
        advice = f"Try a smaller optimizer.lr (find_lr=true suggests one){clip}{half}"
    kept = ", ".join(_checkpoints_of(trainer))
    kept = f" Earlier checkpoints stay: {kept}." if kept else ""
    return UserError(
        f"the training diverged at step {step}: {what}; learning rate {rate:.4g}{of_norm}. {advice}.{kept}"
    )


def _checkpoints_of(trainer: Trainer) -> Iterator[str]:
    """Yield the newest file of each callback that saves."""
    for callback in trainer.checkpoint_callbacks:
        folder = getattr(callback, "folder", None)
        path = Path(getattr(callback, "best_model_path", "")) if folder is None else Path(folder, LAST)
        if path.is_file():
            yield os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _rate_of(trainer: Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else math.nan


def _check_weights(trainer: Trainer, module: LightningModule) -> None:
    if (name := not_finite(module.named_parameters())) is not None:
        raise diverged(trainer, module, f"{name} is not finite")


def _gradient_norm(module: LightningModule) -> float | None:
    """Return the norm of all gradients that are there; None without any."""
    gradients = [one.grad for one in module.parameters() if one.grad is not None]
    return float(torch.stack([one.float().norm().cpu() for one in gradients]).norm()) if gradients else None
