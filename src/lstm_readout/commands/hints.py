"""The commands that a finished run prints: use the model, resume the run, measure what a language model was worth."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from lstm_readout.config.words import key_of
from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.base import Task

log = logging.getLogger(__name__)

_OF_COMPARE = {"task", "model", "data", "tokenizer", "vectors", "optimizer", "scheduler", "trainer", "experiment"}


def print_hints(config: Mapping[str, Any], folder: Path, best: Path, task: Task, data: TextDataModule) -> None:
    """Log where the run is and what to do with it.

    Args:
        config: the configuration of the run.
        folder: of the run.
        best: its best checkpoint.
        task: what was trained.
        data: supplies a text to try the model on.
    """
    log.info("run folder: %s", folder)
    log.info("use it:     %s", _how_to_use(task, best, data))
    if config.get("init_from"):
        log.info("its gain:   %s", command_line("compare", *_comparison(config)))


def command_line(name: str, *arguments: str) -> str:
    """Return a command line that works when pasted: without an activated environment, with the run's own configs."""
    script = Path(sys.executable).with_name("lstm-readout")
    program = "lstm-readout" if shutil.which("lstm-readout") else os.path.relpath(script)
    return shlex.join([program, name, *_own_configs(), *arguments])


def _own_configs() -> Iterator[str]:
    """Yield the arguments of this run that name folders of configurations of the user's own."""
    hydra = HydraConfig.get()
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line":
            yield from ("--config-dir", _short(Path(source.path)))
    yield from (line for line in hydra.overrides.hydra if line.startswith("hydra.searchpath="))


def _short(folder: Path) -> str:
    return os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else str(folder)


def _how_to_use(task: Task, best: Path, data: TextDataModule) -> str:
    """Return a command for the checkpoint, or a line of Python where no configuration has the name of the task."""
    if _is_config(f"pipeline/{task.name}"):
        return command_line("predict", f"checkpoint={best}", f"text={_example_text(data)}")
    if _is_config(f"task/{task.name}"):
        return command_line("evaluate", f"checkpoint={best}")
    name = type(task).__name__
    return f'from {type(task).__module__} import {name}; {name}.load_from_checkpoint("{best}")'


def _is_config(name: str) -> bool:
    """Return whether the next command finds this file, in the package or in a folder of the user's own."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [files("lstm_readout.configs"), *(Path(one.path) for one in sources if one.schema == "file")]
    return any(folder.joinpath(f"{name}.yaml").is_file() for folder in folders)


def _comparison(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the overrides of a comparison of this configuration with and without its language model."""
    overrides = HydraConfig.get().overrides.task
    yield "variants=transfer"
    yield from (line for line in overrides if key_of(line).partition(".")[0] in _OF_COMPARE)
    yield from (line for line in overrides if key_of(line).startswith("init_"))
    given = {key_of(line) for line in overrides}
    defaults = {f"model.{name}": config["model"][name] for name in ("embedding_size", "hidden_size")}
    defaults["trainer.max_epochs"] = config["trainer"]["max_epochs"]
    yield from (f"{key}={value}" for key, value in defaults.items() if key not in given)  # compare has other defaults


def _example_text(data: TextDataModule) -> str:
    """Return the beginning of a held-out text."""
    role = next(role for role, kind in data.roles.items() if kind == "text")
    lines = (line for text in list(data.texts.values())[-1][role] for line in text.splitlines() if line.strip())
    return textwrap.shorten(next(lines, ""), 200, placeholder="")
