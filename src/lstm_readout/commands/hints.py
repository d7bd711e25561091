"""The commands that a finished run prints: use the model, resume the run, measure what a language model was worth."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from lstm_readout.data.module import TextDataModule

log = logging.getLogger(__name__)

_OF_COMPARE = {"task", "model", "data", "tokenizer", "vectors", "optimizer", "scheduler", "trainer", "experiment"}


def print_hints(config: Mapping[str, Any], folder: Path, best: Path, data: TextDataModule) -> None:
    """Log where the run is and what to do with it.

    Args:
        config: the configuration of the run.
        folder: of the run.
        best: its best checkpoint.
        data: supplies a text to try the model on.
    """
    log.info("run folder: %s", folder)
    log.info("use it:     %s", command_line("predict", f"checkpoint={best}", f"text={_example_text(data)}"))
    if config.get("init_from"):
        log.info("its gain:   %s", command_line("compare", *_comparison(config)))


def command_line(name: str, *arguments: str) -> str:
    """Return a command line that works when pasted, even if the environment is not activated."""
    script = Path(sys.executable).with_name("lstm-readout")
    program = "lstm-readout" if shutil.which("lstm-readout") else os.path.relpath(script)
    return shlex.join([program, name, *arguments])


def _comparison(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the overrides of a comparison of this configuration with and without its language model."""
    overrides = HydraConfig.get().overrides.task
    yield "variants=transfer"
    yield from (line for line in overrides if _key(line).partition(".")[0] in _OF_COMPARE)
    yield from (line for line in overrides if _key(line).startswith("init_"))
    given = {_key(line) for line in overrides}
    defaults = {f"model.{name}": config["model"][name] for name in ("embedding_size", "hidden_size")}
    defaults["trainer.max_epochs"] = config["trainer"]["max_epochs"]
    yield from (f"{key}={value}" for key, value in defaults.items() if key not in given)  # compare has other defaults


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _example_text(data: TextDataModule) -> str:
    """Return the beginning of a held-out text."""
    role = next(role for role, kind in data.roles.items() if kind == "text")
    lines = (line for text in list(data.texts.values())[-1][role] for line in text.splitlines() if line.strip())
    return textwrap.shorten(next(lines, ""), 200, placeholder="")
