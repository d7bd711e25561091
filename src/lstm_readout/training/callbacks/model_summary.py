"""A task goes in; the layers of its model come out as a table, without the task's metrics."""

from __future__ import annotations

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary as LightningModelSummary
from rich import get_console
from rich.table import Table
from torch import nn


class ModelSummary(LightningModelSummary):
    """Print name, type and number of parameters of each module of ``task.model``.

    Lightning's own lists every module of the task, torchmetrics among them.

    Args:
        max_depth: levels of modules; -1: all; 0: no table.
    """

    def __init__(self, max_depth: int = -1) -> None:
        super().__init__(max_depth)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table in the first process."""
        if self._max_depth and trainer.is_global_zero:
            get_console().print(model_table(pl_module.get_submodule("model"), self._max_depth))


def model_table(model: nn.Module, max_depth: int = -1) -> Table:
    """Return one row per module, children below their parent, and the totals; see ``ModelSummary``."""
    table = Table(box=None, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    table.add_column("type")
    table.add_column("parameters", justify="right")
    for name, module in model.named_modules():
        depth = name.count(".") + 1 if name else 0
        if max_depth < 0 or depth <= max_depth:
            table.add_row("  " * depth + (name.rpartition(".")[2] or "model"), _type(module), f"{_size(module):,}")
    frozen = _size(model) - _size(model, trainable=True)
    table.caption = f"{frozen:,} of them frozen" if frozen else None
    return table


def _type(module: nn.Module) -> str:
    """Return the class, with ``nn.`` if it is PyTorch's, and the sizes of its layer."""
    kind = type(module)
    name = f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__
    if isinstance(module, nn.RNNBase):
        return f"{name}({module.input_size}, {module.hidden_size}, num_layers={module.num_layers})"
    if isinstance(module, nn.Embedding):
        return f"{name}({module.num_embeddings}, {module.embedding_dim})"
    if isinstance(module, nn.Linear):
        return f"{name}({module.in_features}, {module.out_features})"
    return name


def _size(module: nn.Module, *, trainable: bool = False) -> int:
    return sum(one.numel() for one in module.parameters() if one.requires_grad or not trainable)
