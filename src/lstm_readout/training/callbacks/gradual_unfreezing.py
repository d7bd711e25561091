"""A callback for models initialised from trained weights: it unfreezes one layer per epoch, from the head down."""

from __future__ import annotations

import logging

from lightning import Callback, LightningModule, Trainer
from torch import nn

from lstm_readout.errors import UserError
from lstm_readout.training.parameter_groups import layers_below_head

log = logging.getLogger(__name__)


class GradualUnfreezing(Callback):
    """Train the head alone in the first epoch, and one more layer from the top in each later one (Howard and Ruder
    2018, "Universal Language Model Fine-tuning for Text Classification", section 3.3).

    What was frozen before, for example by ``vectors.freeze``, stays frozen. A frozen layer costs no backward pass, and
    the optimizer skips it: it has no gradient.

    Raises:
        UserError: the run has several processes, which fix the trained parameters before the first step.
    """

    def __init__(self) -> None:
        self._depths: dict[nn.Parameter, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the depth of each trainable parameter."""
        if stage != "fit":
            return
        if trainer.world_size > 1:
            raise UserError("callbacks.unfreeze: only one process can unfreeze layers. Set trainer.devices=1.")
        parameters = {name: one for name, one in pl_module.named_parameters() if one.requires_grad}
        depths = layers_below_head(parameters)
        self._depths = {parameter: depths[name] for name, parameter in parameters.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze what this epoch does not train; a resumed run may start inside an epoch."""
        self._train_layers_of(trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train one more layer."""
        self._train_layers_of(trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Unfreeze all parameters again."""
        self._train_layers_of(max(self._depths.values(), default=0))

    def _train_layers_of(self, epoch: int) -> None:
        deepest = max(self._depths.values(), default=0)
        before = sum(parameter.requires_grad for parameter in self._depths)
        for parameter, depth in self._depths.items():
            parameter.requires_grad_(depth <= epoch)
        if before != sum(parameter.requires_grad for parameter in self._depths):
            log.info("now training the head and %d of %d layers below it", min(epoch, deepest), deepest)
