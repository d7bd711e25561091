"""One training run of a comparison: a variant and a seed go in, a statistic of every held-out row comes out.

Each finished run is one file, so that an interrupted comparison resumes with the runs that are missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Trainer, seed_everything

from lstm_readout.compare.held_out import held_out_statistics
from lstm_readout.config.build import build_data, build_task, instantiate, task_class_of
from lstm_readout.config.build_trainer import bare_trainer
from lstm_readout.data.loaders import Batching
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.callbacks.divergence import Divergence
from lstm_readout.training.trainer import quiet_lightning


class Run(NamedTuple):
    """What a process needs to train one variant with one seed."""

    config: dict[str, Any]  # resolved, with the variant's change
    seed: int
    rows: int  # scored at most
    path: Path  # of the result, without its suffix
    probe: bool  # save the trained model, for a probe to read

    @property
    def finished(self) -> bool:
        """Return whether there is a result."""
        return self.path.with_suffix(".npz").exists()

    @property
    def settings(self) -> str:
        """Return a hash of what decides the result, independent of the folder."""
        trainer = {key: value for key, value in self.config["trainer"].items() if key != "default_root_dir"}
        plain = json.dumps([self.config | {"trainer": trainer}, self.seed, self.rows], sort_keys=True, default=str)
        return hashlib.sha256(plain.encode()).hexdigest()

    def result(self) -> Result:
        """Read the result.

        Raises:
            UserError: it was measured with other settings.
        """
        result = Result.read(self.path)
        if result.settings not in (None, self.settings):
            raise UserError(
                f"'{self.path}.npz' was measured with other settings. Resume with those of the earlier comparison, or "
                "delete it to train the run again."
            )
        return result


class Result(NamedTuple):
    """What a run measured."""

    statistics: np.ndarray  # (R, k), see ``statistics``
    seconds: float  # of training
    parameters: int
    settings: str | None = None  # see ``Run.settings``; None in a result of an earlier version

    def write(self, path: Path) -> None:
        """Write one file, whole or not at all."""
        description = json.dumps({key: value for key, value in self._asdict().items() if key != "statistics"})
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez_compressed(file, statistics=self.statistics, about=np.array(description))
        partial.replace(path.with_suffix(".npz"))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what ``write`` wrote."""
        with np.load(path.with_suffix(".npz")) as file:
            return cls(file["statistics"], **json.loads(str(file["about"])))


def perform(run: Run) -> None:
    """Train, score the held-out rows and write the result.

    Raises:
        UserError: the settings cannot be trained, or the training diverged.
    """
    keep_freed_memory()
    data = encoded_data(run.config)
    data = data.batched(run.seed, data.batching.updated(run.config["data"]))
    seed_everything(run.seed, workers=True, verbose=False)
    task = build_task(run.config, data)
    trainer = _trainer(run.config, run.path.parent)
    began = time.perf_counter()
    trainer.fit(task, datamodule=data)
    seconds = time.perf_counter() - began
    statistics = held_out_statistics(task.eval(), data, run.rows)
    if not np.isfinite(statistics).all():
        raise UserError("the held-out loss is not finite: the training diverged. Try a smaller optimizer.lr.")
    if run.probe:
        trainer.save_checkpoint(run.path.with_suffix(".ckpt"), weights_only=True)
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    Result(statistics, seconds, parameters, run.settings).write(run.path)


def _trainer(config: dict[str, Any], folder: Path) -> Trainer:
    """Return a Trainer that trains a fixed number of epochs: nothing is chosen by validation."""
    warnings.filterwarnings("ignore", ".*(`val_dataloader`|validation loop|max_epochs).*")
    return bare_trainer(
        config,
        default_root_dir=str(folder),
        callbacks=[
            Divergence(),
            *(instantiate(node) for node in config.get("callbacks", {}).values() if node is not None),
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )


_encoded: dict[str, TextDataModule] = {}  # per process: reading and encoding a corpus can take as long as a run


def encoded_data(config: dict[str, Any]) -> TextDataModule:
    """Return the data of a configuration, which this process reads once for all runs on it."""
    rows = {key: value for key, value in config["data"].items() if key not in Batching.names()}
    roles = dict(task_class_of(config).roles)
    initial = [config.get(name) for name in ("init_tokenizer", "init_from")]
    key = json.dumps([rows, config["tokenizer"], initial[0] and initial, roles, config["seed"]], sort_keys=True)
    if key not in _encoded:
        _encoded.clear()
        _encoded[key] = build_data(config)
    return _encoded[key]


def quiet_process(threads: int) -> None:
    """Prepare a worker process: a number of threads, and no log lines except errors."""
    torch.set_num_threads(threads)
    quiet_lightning()
    for name in ("lstm_readout", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
