"""Which scores compare: a measured task and its data go in, the plain values of ``card.json`` come out.

Two scores compare if they were measured on the same rows, byte for byte, in the same unit and, for a loss per token,
with the same tokenizer. The card records this beside ``metrics.json``, without paths or names of machines.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import lightning
import torch
from lightning import Trainer

from lstm_readout.data.module import TextDataModule
from lstm_readout.data.row_hashes import corpus_hash, split_hash
from lstm_readout.tasks.base import Task
from lstm_readout.tokenizer import TextTokenizer

FORMAT = 1
UNITS = {  # by the end of a metric's name
    "accuracy": "share of the rows, 0 to 1",
    "macro_f1": "0 to 1",
    "bleu": "0 to 100, cased, detokenised",
    "bleu_lowercase": "0 to 100, lower-cased, detokenised",
    "chrf": "0 to 100, cased, detokenised",
    "perplexity": "exp of the loss",
    "share": "share of the tokens, 0 to 1",
}
_LOSSES = {"classify": "nats per row", "translate": "nats per target token", "generate": "nats per token"}
_LEFT_OUT = ("hydra", "logger", "doctor", "debug", "experiment", "resume", "seed")  # keys that are not part of a recipe
# From the first slash of a path, its ~ or its drive, to its last slash
_FOLDERS = re.compile(
    r"""(?:(?<=[\s:=,\[{'"(])|^)(?:file://)?(?!//)(?:~[^/\\,'"]*|[A-Za-z]:)?"""
    r"""[/\\](?:[^,'"\[\]{}]*[/\\])?(?=[^/\\\s,'"\[\]{}])"""
)


def card_of(
    task: Task,
    data: TextDataModule,
    trainer: Trainer,
    metrics: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    overrides: Sequence[str] = (),
    seconds: float | None = None,
) -> dict[str, Any]:
    """Return the comparability card of ``metrics``.

    Args:
        task: the measured task.
        data: what it was measured on.
        trainer: what measured it.
        metrics: what ``measure`` returned.
        config: the configuration, as plain values.
        overrides: of the command line.
        seconds: of the whole command; None if unknown.
    """
    recipe = {key: value for key, value in config.items() if key not in _LEFT_OUT}
    if isinstance(recipe.get("trainer"), Mapping):
        recipe["trainer"] = {key: value for key, value in recipe["trainer"].items() if key != "default_root_dir"}
    names = [key for key, value in metrics.items() if not isinstance(value, str)]
    units = {name: unit for name in names if (unit := unit_of(name, task.name)) is not None}
    signatures = {key.split("/")[-1]: value for key, value in metrics.items() if key.endswith("_signature")}
    return {
        "format": FORMAT,
        "task": task.name,
        "corpus": corpus_of(data),
        "tokenizers": {role: tokenizer_of(tokenizer) for role, tokenizer in data.vocabulary.tokenizers.items()},
        "units": units,
        "signatures": {key.removesuffix("_signature"): value for key, value in signatures.items()},
        "parameters": metrics.get("parameters"),
        "seed": config.get("seed"),
        "seconds": seconds,
        "device": _device_of(trainer),
        "versions": versions(),
        "overrides": [without_folders(one) for one in overrides if not one.startswith("resume=")],
        "config": without_folders(recipe),
    }


def corpus_of(data: TextDataModule) -> dict[str, Any]:
    """Return the name, and the number and hash of each split's rows; for a streamed split, of its head."""
    texts = data.texts
    corpus: dict[str, Any] = {"name": data.corpus.name, "columns": _columns(data)}
    corpus["sha256"] = corpus_hash(texts)
    corpus["splits"] = {split: {"rows": len(rows), "sha256": split_hash(rows)} for split, rows in texts.items()}
    if data.streaming:
        corpus["splits"]["train"]["streamed"] = True
    return corpus


def tokenizer_of(tokenizer: TextTokenizer) -> dict[str, Any]:
    """Return its kind, its number of ids, and the hash of its form in a checkpoint."""
    saved = json.dumps(tokenizer.to_dict(), sort_keys=True, ensure_ascii=False)
    sha256 = hashlib.sha256(saved.encode()).hexdigest()
    return {"kind": tokenizer.kind, "ids": len(tokenizer), "sha256": sha256}


def unit_of(name: str, task: str) -> str | None:
    """Return the unit of a metric of ``metrics.json``; None if it has none or is unknown."""
    name = name.split("/")[-1]
    if (counted := re.search(r"bits_per_(\w+)$", name)) is not None:
        return f"bits per {counted[1].replace('_', ' ')}"
    if re.search(r"(^|_)loss(_|$)", name):  # loss_fresh_256: of another protocol
        return _LOSSES.get(task)
    return next((unit for end, unit in UNITS.items() if re.search(rf"(^|_){end}$", name)), None)


def _device_of(trainer: Trainer) -> dict[str, Any]:
    """Return the device, its threads and the precision."""
    device = trainer.strategy.root_device
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability()
    return {
        "kind": device.type,
        "name": name,
        "processes": trainer.world_size,
        "threads": torch.get_num_threads(),
        "precision": str(trainer.precision),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, torch, Lightning and this project."""
    python = ".".join(map(str, sys.version_info[:3]))
    own = version("lstm-readout")
    return {"python": python, "torch": torch.__version__, "lightning": lightning.__version__, "lstm-readout": own}


def without_folders(value: Any) -> Any:
    """Return plain values with every path from the root, a home or a drive reduced to its last part."""
    if isinstance(value, Mapping):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(one) for one in value]
    return _FOLDERS.sub("", value) if isinstance(value, str) else value


def _columns(data: TextDataModule) -> dict[str, str]:
    return {role: data.corpus.column_of(role) for role in data.roles}
