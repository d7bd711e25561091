"""One training run of a comparison: a variant and a seed go in, a statistic of every held-out row comes out.

Each finished run is one file in the folder, so that what was computed is never computed again.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.utils import get_class, instantiate
from lightning import seed_everything
from omegaconf import DictConfig, OmegaConf

from lstm_readout.compare.statistics import bleu_statistic
from lstm_readout.config.build import build_data, build_task
from lstm_readout.data.batches import ClassifyBatch, TranslateBatch
from lstm_readout.data.loaders import Batching
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import StreamDataset, evaluation_stream, join_stream
from lstm_readout.inference.decoding import translate
from lstm_readout.tasks.base import Task
from lstm_readout.training.allocator import keep_freed_memory
from lstm_readout.training.trainer import quiet_lightning


class Run(NamedTuple):
    """What a process needs to train one variant with one seed."""

    config: dict[str, Any]  # resolved, the variant's change made
    seed: int
    rows: int  # scored at most
    path: Path  # of the result; without its suffix
    probe: bool  # keep the trained model, to look into it


class Result(NamedTuple):
    """What came out of it."""

    statistics: np.ndarray  # (R, k), see ``statistics``
    seconds: float  # of training
    parameters: int

    def write(self, path: Path) -> None:
        """Write one file, whole or not at all."""
        about = {"seconds": self.seconds, "parameters": self.parameters}
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez_compressed(file, statistics=self.statistics, about=np.array(json.dumps(about)))
        partial.replace(path.with_suffix(".npz"))

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read it again."""
        with np.load(path.with_suffix(".npz")) as file:
            return cls(file["statistics"], **json.loads(str(file["about"])))


def perform(run: Run) -> None:
    """Train, score the held-out rows and write the result."""
    keep_freed_memory()
    warnings.filterwarnings("ignore", ".*(`val_dataloader`|validation loop|max_epochs).*")
    config = OmegaConf.create(run.config)
    data = encoded_data(config)
    data = data.batched(run.seed, data.batching.updated(run.config["data"]))
    seed_everything(run.seed, workers=True, verbose=False)
    task = build_task(config, data)
    trainer = instantiate(config.trainer, _partial_=True, _convert_="all")(
        default_root_dir=str(run.path.parent),
        callbacks=[instantiate(node) for node in config.get("callbacks", {}).values() if node is not None],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,  # a fixed number of epochs: nothing is chosen by validation
        use_distributed_sampler=False,
    )
    began = time.perf_counter()
    trainer.fit(task, datamodule=data)
    seconds = time.perf_counter() - began
    task.eval()
    statistics = np.concatenate([np.asarray(part, dtype=np.float64) for part in _scored(task, data, run.rows)])
    if run.probe:
        trainer.save_checkpoint(run.path.with_suffix(".ckpt"), weights_only=True)
    parameters = sum(parameter.numel() for parameter in task.model.parameters())
    Result(statistics, seconds, parameters).write(run.path)


def held_out(data: TextDataModule) -> str:
    """Return the split that is scored: test, or validation where there is no test."""
    return "test" if "test" in data.columns else "validation"


def held_out_rows(data: TextDataModule, number: int) -> Iterator[Any]:
    """Give the held-out rows in batches, the same ones in the same order in every run; at most ``number``."""
    columns = data.columns[held_out(data)]
    total = len(columns["label"]) if "label" in columns else len(next(iter(columns.values())).lengths)  # pyright: ignore
    chosen = np.sort(np.random.default_rng(0).permutation(total)[:number])
    for start in range(0, len(chosen), data.batching.eval_batch_size):
        yield data.batch_type.collate(columns, chosen[start : start + data.batching.eval_batch_size])  # pyright: ignore


@torch.inference_mode()
def _scored(task: Task, data: TextDataModule, rows: int) -> Iterator[Any]:
    """Give the statistics of the held-out rows, batch after batch: each (B, k)."""
    if task.name == "generate":
        stream = join_stream(data.columns[held_out(data)]["text"])
        yield stream_statistics(task, evaluation_stream(stream, data.batching.window))
        return
    for batch in held_out_rows(data, rows):
        if isinstance(batch, ClassifyBatch):
            correct = (task.model(batch.token_ids).argmax(-1) == batch.labels).double()
            yield torch.stack((correct, torch.ones_like(correct)), dim=1).numpy()
        else:
            assert isinstance(batch, TranslateBatch)
            tokenizer = task.vocabulary.tokenizers["target"]
            written = [tokenizer.decode(ids) for ids in translate(task.model, batch.source)]
            yield [bleu_statistic(*pair) for pair in zip(written, batch.references, strict=True)]


@torch.inference_mode()
def stream_statistics(task: Task, stream: StreamDataset) -> np.ndarray:
    """Return (nats, tokens) of each window of a stream, the state carried where the task carries it: (windows, 2)."""
    measured = [task.loss(stream[item], "test") for item in range(len(stream))]
    return np.array([(float(loss) * tokens, tokens) for loss, tokens in measured])


_encoded: dict[str, TextDataModule] = {}  # of this process: reading and encoding a corpus can take as long as a run


def encoded_data(config: DictConfig) -> TextDataModule:
    """Return the data of a configuration, which this process reads once for all runs on it."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # pyright: ignore[reportAssignmentType]
    rows = {key: value for key, value in plain["data"].items() if key not in Batching.names()}
    roles = dict(get_class(config.task._target_).roles)
    begun = [plain.get(name) for name in ("init_tokenizer", "init_from")]
    key = json.dumps([rows, plain["tokenizer"], begun[0] and begun, roles, plain["seed"]], sort_keys=True)
    if key not in _encoded:
        _encoded.clear()
        _encoded[key] = build_data(config)
    return _encoded[key]


def quiet_process(threads: int) -> None:
    """Prepare a process of its own: a number of threads, and no word but the result."""
    torch.set_num_threads(threads)
    quiet_lightning()
    for name in ("lstm_readout", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
