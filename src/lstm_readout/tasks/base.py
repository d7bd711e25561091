"""What the three tasks share: a model and its vocabulary go in, a LightningModule that trains and measures comes out.

A task of your own is one subclass: say ``name``, ``roles``, ``batch_type`` and ``model_type``, and write ``sizes``,
``loss``, ``measure``, ``measured`` and ``answer``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import Self

from lstm_readout.checkpoint import hyper_parameters, read_checkpoint
from lstm_readout.data.corpus import Role
from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.optimizers import adamw
from lstm_readout.tokenizer import Vocabulary

Stage = Literal["train", "val", "test"]


class Task(LightningModule):
    """Training, validation and test of one model.

    Args:
        model: the plain ``nn.Module``.
        vocabulary: tokenizers and labels; saved with the model.
        optimizer: parameters -> optimizer; AdamW where not given.
        scheduler: (optimizer, total_steps) -> schedule of the learning rate, stepped after every batch; None: constant.
            ``total_steps`` is None where nobody knows it: a streamed corpus has no length.
        monitor: the metric that chooses the best checkpoint.
        mode: whether the best is its ``min`` or its ``max``.
        config: the run's configuration as plain values, kept in the checkpoint.
    """

    name: ClassVar[str]
    roles: ClassVar[Mapping[str, Role]]
    batch_type: ClassVar[type]
    model_type: ClassVar[Callable[..., nn.Module]]
    embeddings: ClassVar[Mapping[str, str]] = {}  # text role -> where the model holds its nn.Embedding
    model: Any  # the nn.Module; each task knows its own

    def __init__(
        self,
        *,
        model: nn.Module,
        vocabulary: Vocabulary,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary
        self.optimizer = optimizer or adamw
        self.scheduler = scheduler
        self.monitor, self.mode = monitor, mode
        self.config = config or {}

    # What a task says of itself

    @classmethod
    def sizes(cls, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the arguments of the model that follow from the data."""
        raise NotImplementedError

    def loss(self, batch: Any, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean loss of a batch, in nats, and how many predictions it is the mean of."""
        raise NotImplementedError

    def measure(self, batch: Any, stage: Stage) -> None:
        """Take a batch of validation or test into account."""
        raise NotImplementedError

    def measured(self, stage: Stage) -> dict[str, float]:
        """Return the metrics of the whole split, and forget them."""
        raise NotImplementedError

    def answer(self, batch: Any) -> str:
        """Say in one line, with this batch's shape, which output of the LSTM this task reads."""
        raise NotImplementedError

    def split_metrics(self, data: TextDataModule, split: str, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Return final metrics that need the data as well as ``metrics``: units, signatures."""
        return {}

    def baselines(self, data: TextDataModule) -> dict[str, float]:
        """Return what needs no LSTM: name and metric -> score on the test (else validation) split."""
        return {}

    def write_figures(self, folder: Path) -> None:
        """Write what does not fit in a table of metrics, after the last test."""

    # What Lightning calls

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss on one batch."""
        loss, predictions = self.loss(batch, "train")
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=predictions)
        return loss

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
        """Build the optimizer and, if asked for, the schedule over all steps of the run."""
        optimizer = self.optimizer(self.parameters())
        if self.scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches  # of a stream max_steps, which is -1 where it is not given
        schedule = self.scheduler(optimizer, total_steps=int(steps) if 0 <= steps < math.inf else None)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes the file self-contained."""
        arguments: dict[str, Any] = self.model.arguments  # pyright: ignore[reportAssignmentType]
        checkpoint["hyper_parameters"] = hyper_parameters(self.name, arguments, self.vocabulary, self.config)

    @classmethod
    def load_from_checkpoint(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, checkpoint_path: str | os.PathLike, map_location: torch.device | str = "cpu", **arguments: Any
    ) -> Self:
        """Rebuild a trained task from its file alone: no Hydra, no data, no pickled code.

        Raises:
            UserError: the file is missing, broken or of another task.
        """
        checkpoint = read_checkpoint(Path(checkpoint_path), cls.name)
        model = cls.model_type(**checkpoint.model)
        model.load_state_dict(checkpoint.weights)
        task = cls(model=model, vocabulary=checkpoint.vocabulary, config=checkpoint.config, **arguments)
        return task.to(map_location)

    def _log_measured(self, stage: Stage) -> None:
        metrics = {f"{stage}/{name}": value for name, value in self.measured(stage).items()}
        self.log_dict(metrics, prog_bar=False, sync_dist=False)
