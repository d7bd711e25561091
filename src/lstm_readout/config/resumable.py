"""The composed configuration of a resumed run goes in; it is checked against the run before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from lstm_readout.config.build import build_data, task_class_of
from lstm_readout.config.check import check_jobs
from lstm_readout.config.run_lock import hold
from lstm_readout.config.run_record import (
    comparable,
    differences,
    read_record,
    readable_values,
    refuse_another_run,
    refuse_other_rows,
)
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.training.checkpoint_files import LAST, PREVIOUS

log = logging.getLogger(__name__)


def check_resumable(jobs: Sequence[DictConfig], given: Sequence[str]) -> None:
    """Check the configurations of a command line; that of a resumed run against the run as well.

    Args:
        jobs: one configuration, or those of a sweep.
        given: the words of the command line, without those that the run recorded.

    Raises:
        UserError: a configuration is faulty, or the run would not be the one that was interrupted.
    """
    check_jobs(jobs)
    for job in jobs:
        if job.get("resume") is not None:
            _check(job, given)


def newest_checkpoint(folder: Path, task: str) -> tuple[Path, Checkpoint]:
    """Return the newest checkpoint of a run folder that is whole, and its content.

    Raises:
        UserError: there is none.
    """
    last, previous = folder / "checkpoints" / LAST, folder / "checkpoints" / PREVIOUS
    try:
        return last, read_checkpoint(last, task)
    except UserError as error:
        if not previous.is_file():
            raise
        checkpoint = read_checkpoint(previous, task)
        log.warning("%s Continuing from the checkpoint before it, '%s'.", error, previous)
        return previous, checkpoint


def _check(job: DictConfig, given: Sequence[str]) -> None:
    folder, values = Path(job["resume"]), readable_values(job)
    if values.get("find_lr"):
        raise UserError("find_lr=true needs a new run: leave out resume=.")
    record = read_record(folder)
    refuse_another_run(differences(comparable(values), record, given), given)
    _, checkpoint = newest_checkpoint(folder, task_class_of(values).name)
    data = build_data(values, checkpoint)
    refuse_other_rows(data, record)
    hold(folder)
