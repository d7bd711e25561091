"""The doctor before training: a run goes in; it starts, or stops with one message that says what to change."""

from __future__ import annotations

import logging
import time

from lightning import Callback, LightningModule, Trainer

from lstm_readout.data.module import data_of
from lstm_readout.doctor.report import Report
from lstm_readout.doctor.tasks import examine_task
from lstm_readout.errors import UserError
from lstm_readout.tasks import Task

log = logging.getLogger(__name__)


class Doctor(Callback):
    """Check the model for the classic mistakes on a few short rows of the training data, before the first step.

    Every process checks the same rows and gets the same results, so none waits for another.

    Raises:
        UserError: a check failed.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the checks."""
        began = time.perf_counter()
        report = _report(trainer, pl_module)
        if report is None:
            if trainer.is_global_zero:
                log.info(
                    "doctor: there are no checks for %s; check its model in Python with lstm_readout.doctor.check.",
                    type(pl_module).__name__,
                )
            return
        if report.failed:
            raise UserError(_message(report))
        if trainer.is_global_zero:
            for result in report.results:
                if result.status == "warned":
                    log.warning("doctor: %s: %s. %s", result.name, result.difference, result.fix)
            log.info("doctor: %d checks passed in %.1f s", len(report.passed), time.perf_counter() - began)


def _report(trainer: Trainer, task: LightningModule) -> Report | None:
    data = data_of(trainer)
    if not isinstance(task, Task) or data is None:
        return None
    return examine_task(task, data.columns, untrained=trainer.ckpt_path is None and not task.config.get("init_from"))


def _message(report: Report) -> str:
    lines = [f"doctor: the model has {len(report.failed)} mistake(s); nothing was trained."]
    for result in report.results:
        if result.status == "failed":
            lines.append(f"{result.name}: {result.done}; wanted: {result.expected}; {result.difference}. {result.fix}")
    return "\n".join([*lines, "To train anyway: doctor=off."])
