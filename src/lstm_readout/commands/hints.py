"""The commands that a finished run prints: how to use the model, resume the run, or measure what a start was worth."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lstm_readout.data.module import TextDataModule


def comparison_of(config: DictConfig) -> list[str]:
    """Return the overrides of a comparison of this configuration with and without its language model."""
    groups = {"task", "model", "data", "tokenizer", "vectors", "optimizer", "scheduler", "trainer", "experiment"}
    given = [line for line in HydraConfig.get().overrides.task if _key(line).partition(".")[0] in groups]
    given += [line for line in HydraConfig.get().overrides.task if _key(line).startswith("init_")]
    # Where compare's own defaults differ
    sizes = [f"model.{name}={config.model[name]}" for name in ("embedding_size", "hidden_size")]
    sizes.append(f"trainer.max_epochs={config.trainer.max_epochs}")
    keys = {_key(line) for line in given}
    return ["variants=transfer", *given, *(line for line in sizes if _key(line) not in keys)]


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def command_line(name: str, *arguments: str) -> str:
    """Return a command line that works as it is pasted, also where the environment is not activated."""
    script = Path(sys.executable).with_name("lstm-readout")
    program = "lstm-readout" if shutil.which("lstm-readout") else os.path.relpath(script)
    return shlex.join([program, name, *arguments])


def example_text(data: TextDataModule) -> str:
    """Return the beginning of a held-out text that the model can be tried on."""
    role = next(role for role, kind in data.roles.items() if kind == "text")
    lines = (line for text in list(data.texts.values())[-1][role] for line in text.splitlines() if line.strip())
    return textwrap.shorten(next(lines, ""), 200, placeholder="")
