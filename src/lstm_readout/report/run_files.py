"""A finished run goes in; the files that it leaves in its folder come out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer

from lstm_readout.data.module import TextDataModule
from lstm_readout.report.card import card_of
from lstm_readout.report.json_writer import write_json
from lstm_readout.report.plots import plot_confusion, plot_learning_curve, plot_lr_finder
from lstm_readout.tasks.base import Task
from lstm_readout.training.callbacks.lr_finder import LossCurve

log = logging.getLogger(__name__)


def write_evidence(
    folder: Path,
    task: Task,
    data: TextDataModule,
    trainer: Trainer,
    metrics: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    overrides: Sequence[str],
    seconds: float | None,
) -> None:
    """Write ``metrics.json``, ``card.json``, ``learning_curve.png`` and, for a classifier, the confusion matrix.

    Args:
        folder: of the run.
        task, data, trainer, metrics, config, overrides, seconds: see ``card_of``.
    """
    card = card_of(task, data, trainer, metrics, config=config, overrides=overrides, seconds=seconds)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "card.json", card)
    if task.confusion is not None:
        _draw("confusion.png", partial(plot_confusion, task.confusion.tolist(), task.vocabulary.labels, folder))
    _draw("learning_curve.png", partial(plot_learning_curve, folder, task.monitor))


def _draw(name: str, plot: Callable[[], None]) -> None:
    """Draw a picture; one that cannot be drawn never costs the run."""
    try:
        plot()
    except Exception as error:
        log.warning("%s was not drawn: %s", name, " ".join(str(error).split()))


def write_loss_curve(curve: LossCurve, folder: Path) -> Path:
    """Write ``lr_finder.json`` and ``lr_finder.png``; return the path of the picture."""
    write_json(folder / "lr_finder.json", curve._asdict())
    marks = {"steepest fall": curve.suggestion, "lowest": curve.lowest}
    plot_lr_finder(curve.lr, curve.loss, curve.smoothed, marks, folder)
    return folder / "lr_finder.png"


def keep_earlier_metrics(folder: Path) -> None:
    """Rename ``metrics.csv`` to ``metrics.1.csv``, ...: Lightning's logger overwrites its file."""
    path = folder / "metrics.csv"
    if path.is_file():
        number = len(list(folder.glob("metrics.*.csv"))) + 1
        path.rename(path.with_name(f"metrics.{number}.csv"))
