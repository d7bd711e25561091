"""Callbacks that let a stopped run resume to the same weights: random state in checkpoints, another learning
rate, and a graceful stop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.trainer.states import TrainerFn
from torch.distributed import all_gather_object

from lstm_readout.errors import UserError
from lstm_readout.training.callbacks.last_checkpoint import between_steps, save_last

log = logging.getLogger(__name__)

_RATES = {"lr", "initial_lr", "max_lr", "min_lr"}  # of a parameter group; the last two are those of OneCycleLR
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class RandomState(Callback):
    """Save the random state in every checkpoint: Lightning does not, and a resumed run would differ."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the state of every process."""
        states: list[Any] = [_random_state()]
        if trainer.world_size > 1:
            states *= trainer.world_size
            all_gather_object(states, states[0])
        checkpoint["random_state"], checkpoint["random_state_of_others"] = states[0], states[1:]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the state until training starts: building the loaders draws numbers.

        Raises:
            UserError: the checkpoint holds weights alone, from which training would silently begin anew.
        """
        missing = [key for key in ("loops", "optimizer_states") if not checkpoint.get(key)]
        if missing and trainer.state.fn == TrainerFn.FITTING:
            raise UserError(f"resume: the checkpoint has no {' and no '.join(missing)} to continue. Start a new run.")
        states = [checkpoint.get("random_state"), *checkpoint.get("random_state_of_others", [])]
        self._loaded = states[trainer.global_rank] if trainer.global_rank < len(states) else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state."""
        if self._loaded is not None:
            _set_random_state(self._loaded)
        self._loaded = None


@contextlib.contextmanager
def continuing(path: Path | None) -> Iterator[None]:
    """Raise as ``UserError`` what fails because the checkpoint that training continues from is not whole.

    Args:
        path: of the checkpoint; None: training begins anew.
    """
    try:
        yield
    except (UserError, MisconfigurationException):
        raise
    except Exception as error:
        steps = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if path is None or ("_run_stage" in steps and _set_random_state.__name__ not in steps):
            raise  # training itself failed
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"resume: cannot continue from '{path}': {type(error).__name__}: {reason[:200]}. "
            "It is not whole, or not of this version. Start a new run."
        ) from error


def _random_state() -> dict[str, Any]:
    """Return Python's, NumPy's and torch's state as plain values."""
    version, words, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    keys, position = numpy["state"]["key"].tolist(), int(numpy["state"]["pos"])
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [numpy["bit_generator"], keys, position, int(numpy["has_gauss"]), float(numpy["gauss"])],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


class LearningRateRestart(Callback):
    """Continue with another ``optimizer.lr`` than that of the checkpoint, whose own Lightning would restore.

    The schedule stays where it is: every learning rate is scaled by the same factor.
    """

    def __init__(self) -> None:
        self._wanted: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the learning rates of the configuration: the checkpoint's are restored after this."""
        self._wanted = [_unscheduled(group) for one in trainer.optimizers for group in one.param_groups]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Scale those of the checkpoint if they differ."""
        groups = [group for one in trainer.optimizers for group in one.param_groups]
        before = [_unscheduled(group) for group in groups]
        for group, old, new in zip(groups, before, self._wanted, strict=True):
            group.update({name: _scaled(group[name], old, new) for name in _RATES & group.keys()})
        for config in trainer.lr_scheduler_configs:
            if hasattr(config.scheduler, "base_lrs"):
                rates = zip(config.scheduler.base_lrs, before, self._wanted, strict=True)
                config.scheduler.base_lrs = [_scaled(*rate) for rate in rates]


def _scaled(rate: Any, old: Any, new: Any) -> Any:
    return rate if old == new else new if rate == old else rate * new / old


def _unscheduled(group: dict[str, Any]) -> float:
    return group.get("initial_lr", group["lr"])


class GracefulStop(Callback):
    """On Ctrl-C, SIGTERM or SIGHUP finish the step, save ``last.ckpt``, and stop; a second signal stops at once.

    Args:
        folder: where ``last.ckpt`` goes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.signal: int | None = None
        self._process = 0  # workers of a loader inherit the handlers
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install handlers in place of Lightning's own, which end a SIGTERM with exit code 0."""
        self._process = os.getpid()
        for number in _SIGNALS:
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks
                self._before[number] = signal.signal(number, self._remember)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and stop after a signal."""
        if between_steps(trainer, batch_idx) and self._is_asked(trainer):
            save_last(trainer, self.folder)
            raise Stopped(self.signal or signal.SIGTERM)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after a signal that came in the last validation: the epoch's checkpoint is saved."""
        if self._is_asked(trainer):
            raise Stopped(self.signal or signal.SIGTERM)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous handlers."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the previous handlers."""
        self._restore()

    def _is_asked(self, trainer: Trainer) -> bool:
        asked = self.signal is not None
        return trainer.strategy.reduce_boolean_decision(asked, all=False) if trainer.world_size > 1 else asked

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return
        if self.signal is not None:
            raise Stopped(number, saved=False)
        log.warning("stopping after this step or validation; send the signal again to stop at once")
        self.signal = number

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}


class Stopped(BaseException):  # no Exception: a library that catches all of those would go on
    """The run was stopped by a signal.

    Args:
        number: of the signal.
        saved: whether its state was saved just now.
    """

    def __init__(self, number: int, *, saved: bool = True) -> None:
        saved_when = "saved" if saved else "at once; the last checkpoint is an earlier one"
        super().__init__(f"stopped by {signal.Signals(number).name}; {saved_when}")
        self.exit_code = 128 + number
