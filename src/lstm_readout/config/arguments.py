"""Command-line arguments before Hydra reads them: free text is quoted, and a checkpoint names its task."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import OmegaConf

from lstm_readout.config.hydra_main import refuse
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import RENAMED, Checkpoint, read_checkpoint

_FREE_TEXT = (
    "text",
    "target",
    "attention_map",
    "input",
    "output",
    "checkpoint",
    "data.path",
    "vectors.path",
    "init_from",
)  # values that are not expressions of Hydra's grammar


def with_task_of_checkpoint(arguments: list[str], group: str) -> tuple[list[str], Checkpoint | None]:
    """Add ``group=<the checkpoint's task>``, unless a task is given; exit with 2 if the file is unusable.

    Returns:
        The arguments with free text quoted, and the checkpoint if it was read.
    """
    path = _value_of(arguments, "checkpoint")
    if path is None or _value_of(arguments, group) is not None:
        return _quoted(arguments), None
    try:
        checkpoint = read_checkpoint(path)
    except UserError as error:
        refuse(error)
    return _quoted([f"{group}={checkpoint.task}", *arguments]), checkpoint


def with_checkpoint(arguments: list[str]) -> tuple[list[str], Checkpoint | None]:
    """Let the checkpoint supply the task, model, tokenizer and data unless they are given; see above."""
    if _value_of(arguments, "checkpoint") in (None, "null"):
        return _quoted(arguments), None
    groups = [group for group in ("data", "model", "tokenizer") if _value_of(arguments, group) is None]
    return with_task_of_checkpoint([*(f"~{group}" for group in groups), *arguments], "task")


def of_run(arguments: list[str], needed: str) -> list[str]:
    """Prepare the arguments of a command that creates a run folder; exit with 2 if the folder is unusable.

    Args:
        arguments: of the command line.
        needed: what the folder of ``resume=FOLDER`` must contain.
    """
    try:
        arguments = _quoted(_with_resumed(arguments, needed))
        _check_folder(arguments)
    except UserError as error:
        refuse(error)
    return arguments


def _with_resumed(arguments: list[str], needed: str) -> list[str]:
    """Put the overrides of the resumed run before those given now; the run continues in its own folder."""
    resumed = _value_of(arguments, "resume")
    if resumed in (None, "null"):
        return arguments
    recorded = Path(resumed) / ".hydra" / "overrides.yaml"
    if not recorded.is_file() or not (Path(resumed) / needed).exists():
        raise UserError(f"resume: '{resumed}' is not a run folder with a {needed}.")
    earlier = [_with_new_name(str(line)) for line in OmegaConf.load(recorded)]
    config, trains = recorded.with_name("config.yaml"), needed.endswith(".ckpt")
    if trains and config.is_file() and "settings" not in OmegaConf.load(config):  # a run of an earlier version
        earlier.insert(0, "settings=fixed")
    return [*(line for line in earlier if not line.startswith("resume=")), *arguments, f"hydra.run.dir={resumed}"]


def _with_new_name(override: str) -> str:
    """Return an earlier run's override under its current key."""
    key, separator, value = override.partition("=")
    name = key.lstrip("+~")
    return f"{key.removesuffix(name)}{RENAMED.get(name, name)}{separator}{value}"


def _check_folder(arguments: list[str]) -> None:
    """Refuse a folder that contains a run: Hydra would overwrite its configuration before anything else."""
    folder = _value_of(arguments, "hydra.run.dir")
    if folder is not None and _value_of(arguments, "resume") is None and (Path(folder) / ".hydra").exists():
        raise UserError(f"hydra.run.dir: '{folder}' already holds a run. Name another folder, or resume={folder}.")


def _value_of(arguments: list[str], key: str) -> str | None:
    """Return the value of ``key=value``, the last one if there are several."""
    values = [argument.split("=", 1)[1] for argument in arguments if argument.startswith(f"{key}=")]
    return values[-1] if values else None


def _quoted(arguments: list[str]) -> list[str]:
    """Quote the values of free text, so that Hydra takes commas, brackets and ``${`` in them literally."""
    return [
        f"{key}={_quote(value)}"
        if key in _FREE_TEXT and separator and (key in ("text", "target") or not _is_plain(value))
        else argument
        for argument in arguments
        for key, separator, value in (argument.partition("="),)
    ]


def _is_plain(value: str) -> bool:
    """Return whether a path needs no quotes, or has them already; a text is always quoted.

    ``{role: path, ...}`` is not a path but several of them.
    """
    return value == "null" or re.fullmatch(r"[\w./+-]+|'[^']*'|\"[^\"]*\"|\{.+:.+\}", value) is not None


def _quote(value: str) -> str:
    # Hydra would read a backslash before a quote as an escape, and ${ as an interpolation
    value = re.sub(r"(\\*)'", r"\1\1\\'", value)
    value = re.sub(r"(\\+)$", r"\1\1", value)
    return "'" + value.replace("${", "\\${") + "'"
