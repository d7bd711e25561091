"""Validation scores go in; the checkpoint that counts as the best one comes out: the last that is about as good."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor


class BestCheckpoint(ModelCheckpoint):
    """``ModelCheckpoint`` that can prefer a later epoch unless its score is clearly worse than the best.

    On 50 validation rows the best of 20 epochs is a matter of chance, and a later epoch had a lower learning rate. This
    is the rule of Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3, which prefers the simplest
    of the models that are about as good.

    Args:
        standard_errors: an epoch is clearly worse if it is more than this many standard errors below the best score.
            The task gives them in ``standard_error``. 0: only a better epoch replaces the best.
        options: those of ``ModelCheckpoint``.
    """

    def __init__(self, *, standard_errors: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.standard_errors = standard_errors
        self.best_score = -math.inf
        self.margin = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask the task how exact its score is, then save as usual."""
        self.margin = self.standard_errors * float(getattr(pl_module, "standard_error", 0.0))
        super().on_validation_end(trainer, pl_module)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether the current score is better than the best so far, or hardly worse."""
        if current is None or not self.standard_errors:
            return super().check_monitor_top_k(trainer, current)
        score = float(current) if self.mode == "max" else -float(current)
        score = -math.inf if math.isnan(score) else score
        keeps = score >= self.best_score - self.margin
        self.best_score = max(score, self.best_score)
        return trainer.strategy.reduce_boolean_decision(keeps)

    def state_dict(self) -> dict[str, Any]:
        """Add the best score so far, which need not be that of the saved checkpoint."""
        return super().state_dict() | {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scores of the checkpoints that are here, wherever the run folder was when they were saved."""
        models = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        models = {path: score for path, score in models.items() if Path(path).is_file()}
        if state_dict["best_k_models"] and not models:
            return  # only the last checkpoint was copied: the next best one is new here
        places = {key: self._here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path")}
        super().load_state_dict(state_dict | places | {"dirpath": self.dirpath, "best_k_models": models})
        self.best_score = state_dict.get("best_score", -math.inf)

    def _here(self, path: str) -> str:
        return str(Path(self.dirpath or "", Path(path).name)) if path else path
