"""What the three tasks share: a model and its vocabulary go in, a LightningModule that trains and measures comes out.

Your own task is one subclass: set ``name``, ``roles``, ``batch_type`` and ``model_type``, and implement ``sizes``,
``loss``, ``measure``, ``measured`` and ``describe_readout``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import Self

from lstm_readout.data.batches import Columns
from lstm_readout.data.corpus import Role
from lstm_readout.data.module import TextDataModule, data_of
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.checkpoint import Checkpoint, hyper_parameters, read_checkpoint
from lstm_readout.models.rebuild import rebuild
from lstm_readout.models.weights_digest import WEIGHTS_SHA256, digest
from lstm_readout.tasks.means import RunningMean, Stage
from lstm_readout.tasks.scored_as import scored_as
from lstm_readout.tokenizer import Vocabulary
from lstm_readout.tokenizer.ragged import Ragged
from lstm_readout.training.callbacks.divergence import diverged
from lstm_readout.training.finite_weights import not_finite
from lstm_readout.training.optimizers import adamw
from lstm_readout.training.parameter_groups import build_optimizer


def text_of(columns: Columns, role: str = "text") -> Ragged:
    """Return the encoded texts of a role."""
    column = columns[role]
    if not isinstance(column, Ragged):
        raise TypeError(f"{role}: wanted encoded texts, got a {type(column).__name__}.")
    return column


class Task(LightningModule):
    """Training, validation and test of one model.

    Args:
        model: the plain ``nn.Module``.
        vocabulary: tokenizers and labels; saved with the model.
        optimizer: parameters -> optimizer; AdamW by default.
        scheduler: (optimizer, total_steps) -> one or more learning rate schedules, stepped after every batch (a
            ``ReduceLROnPlateau``: after every validation); None: constant. ``total_steps`` is None for a streamed
            corpus, which has no length.
        no_decay, layer_lr_decay: parameter groups, see ``build_optimizer``.
        monitor: the metric that chooses the best checkpoint.
        mode: whether the best value is its ``min`` or its ``max``.
        config: the run's configuration as plain values, saved in the checkpoint.
    """

    name: ClassVar[str]
    roles: ClassVar[Mapping[str, Role]]
    batch_type: ClassVar[type]
    model_type: ClassVar[Callable[..., nn.Module]]
    judged_by: ClassVar[str] = "loss"  # the metric that is compared with baselines; any but a loss is better if higher
    embeddings: ClassVar[Mapping[str, str]] = {}  # text role -> path of its nn.Embedding in the model
    model: Any  # the nn.Module; its type differs per task

    def __init__(
        self,
        *,
        model: nn.Module,
        vocabulary: Vocabulary,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler | Sequence[LRScheduler]] | None = None,
        no_decay: Sequence[str] = (),
        layer_lr_decay: float = 1.0,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary
        self.optimizer = optimizer or adamw
        self.scheduler = scheduler
        self.grouping = {"no_decay": list(no_decay), "layer_lr_decay": layer_lr_decay}
        self.monitor, self.mode = monitor, mode
        self.config = config or {}
        self.standard_error = 0.0  # of the monitored metric on the last measured split; 0: not known
        self.confusion: Tensor | None = None  # (C, C), last measured split: row = true label, column = predicted
        self._losses = RunningMean()
        self._plateaus: list[ReduceLROnPlateau] = []

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the hook name, which Lightning sets 40 times per step, skips ``nn.Module``'s checks."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    # What a task defines

    @classmethod
    def sizes(cls, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the model's arguments that follow from the data."""
        raise NotImplementedError

    @classmethod
    def init_from_counts(cls, model: Any, data: TextDataModule) -> None:
        """Let the weights of a new model start from counts of the training split; by default they stay random."""

    def loss(self, batch: Any, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean loss of a batch, in nats, and the number of predictions."""
        raise NotImplementedError

    def measure(self, batch: Any, stage: Stage) -> None:
        """Add a batch of the validation or test split."""
        raise NotImplementedError

    def measured(self, stage: Stage) -> dict[str, float]:
        """Return the metrics of the whole split, and reset them."""
        raise NotImplementedError

    def describe_readout(self, batch: Any) -> str:
        """Describe in one line which LSTM output this task reads, with its shape on this batch."""
        raise NotImplementedError

    def split_metrics(self, data: TextDataModule, split: str, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Return final metrics that need the data as well as ``metrics``: units, signatures."""
        return {}

    def baselines(self, data: TextDataModule, *, full: bool = False) -> dict[str, Any]:
        """Return scores of methods without an LSTM on the test (else validation) split, as ``<method>_<metric>``.

        Args:
            data: has a training split.
            full: use all of it, however large; otherwise as much as takes under a minute, with a ``<method>_note``.
        """
        return {}

    # What Lightning calls

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss on one batch."""
        loss, predictions = self.loss(batch, "train")
        self._losses.add(loss, predictions)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the mean loss since the last log: logging every step would cost a small model a tenth of its speed."""
        trainer, every = self.trainer, self.trainer.log_every_n_steps  # pyright: ignore  # Lightning sets it late
        ends = trainer.is_last_batch or trainer.should_stop or trainer.global_step == trainer.max_steps
        if ends or (every and trainer.global_step % every == 0):
            mean, number = self._losses.take()
            processes = trainer.world_size > 1
            self.log("train/loss", mean, on_step=True, on_epoch=True, sync_dist=processes, batch_size=number)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of all gradients at once: torch's foreach kernels, which never wait for the device.

        Lightning does the same, but refuses fused optimizers in mixed precision, because it assumes scaled gradients;
        in bfloat16 they are not scaled.
        """
        if self.trainer.precision != "bf16-mixed":
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            clip = clip_grad_value_ if gradient_clip_algorithm == "value" else clip_grad_norm_
            clip([p for group in optimizer.param_groups for p in group["params"]], gradient_clip_val)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Measure one batch."""
        self.measure(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Measure one batch."""
        self.measure(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split."""
        self._log_measured("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test split."""
        self._log_measured("test")

    def configure_optimizers(self) -> Any:
        """Build the optimizer, and the schedule over all steps of the run if there is one."""
        optimizer = build_optimizer(self.optimizer, dict(self.named_parameters()), **self.grouping)
        if self.scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches  # for a stream: max_steps, which is -1 if not set
        built = self.scheduler(optimizer, total_steps=int(steps) if 0 <= steps < math.inf else None)
        schedules = [built] if isinstance(built, LRScheduler) else list(built)
        self._plateaus = [one for one in schedules if isinstance(one, ReduceLROnPlateau)]
        if self._plateaus and not self._validates():
            raise UserError(
                f"scheduler=plateau: it waits for {self.monitor}, but nothing is validated here. "
                "Set data.validation and trainer.limit_val_batches above 0, or choose another schedule."
            )
        # Lightning saves the plateau's state, but lr_scheduler_step steps it
        return [optimizer], [{"scheduler": one, "interval": "step", "reduce_on_plateau": False} for one in schedules]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule after a batch.

        A ``ReduceLROnPlateau`` is stepped at the end of each validation, before the checkpoint is written: Lightning
        would step it afterwards, and a run resumed from that checkpoint would miss a step.
        """
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes the checkpoint self-contained; refuse weights that are not finite."""
        parameters = {name for name, _ in self.named_parameters()}
        wrong = not_finite((name, value) for name, value in checkpoint["state_dict"].items() if name in parameters)
        if wrong is not None:
            raise diverged(self.trainer, self, f"{wrong} is not finite, so no checkpoint was written")
        config = self.config | ({} if self._trainer is None else scored_as(self.trainer))
        checkpoint["hyper_parameters"] = hyper_parameters(self.name, self.model.arguments, self.vocabulary, config)
        checkpoint[WEIGHTS_SHA256] = digest(checkpoint["state_dict"])  # last: a callback may have put an average there

    @classmethod
    def load_from_checkpoint(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, checkpoint_path: str | os.PathLike | Checkpoint, map_location: torch.device | str = "cpu", **arguments: Any
    ) -> Self:
        """Rebuild a trained task from its file alone: no Hydra, no data, no pickled code.

        Raises:
            UserError: the file is missing, broken or from another task.
        """
        file = checkpoint_path if isinstance(checkpoint_path, Checkpoint) else Path(checkpoint_path)
        checkpoint = read_checkpoint(file, cls.name)
        model = rebuild(checkpoint, cls.model_type)
        task = cls(model=model, vocabulary=checkpoint.vocabulary, config=checkpoint.config, **arguments)
        return task.to(map_location)

    def _log_measured(self, stage: Stage) -> None:
        metrics = {f"{stage}/{name}": value for name, value in self.measured(stage).items()}
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        if fitting and not math.isfinite(loss := metrics.get("val/loss", 0.0)):
            raise diverged(self.trainer, self, f"the validation loss is {loss}")
        self.log_dict(metrics, prog_bar=False, sync_dist=False)
        if fitting and not self.trainer.sanity_checking:
            for schedule in self._plateaus:
                if self.monitor not in metrics:
                    raise UserError(
                        f"scheduler=plateau: it waits for task.monitor={self.monitor}, which validation does not "
                        f"measure. {did_you_mean(self.monitor, metrics)}"
                    )
                schedule.step(metrics[self.monitor])
            self._refuse_monitors(metrics)

    def _refuse_monitors(self, metrics: Mapping[str, float]) -> None:
        """Refuse what a callback waits for in vain: Lightning's early stopping may be told not to mind."""
        known = {*metrics, *self.trainer.callback_metrics}
        for callback in (*self.trainer.checkpoint_callbacks, *self.trainer.early_stopping_callbacks):
            monitor = str(getattr(callback, "monitor", None))
            if monitor.startswith("val/") and monitor not in known:
                raise UserError(
                    f"{type(callback).__name__}: it waits for monitor={monitor}, which validation does not measure. "
                    f"{did_you_mean(monitor, metrics)}"
                )

    def _validates(self) -> bool:
        data = data_of(self.trainer)
        return (data is None or "validation" in data.columns) and bool(self.trainer.limit_val_batches)
