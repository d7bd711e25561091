"""Command-line arguments before Hydra reads them: free text is quoted, and a checkpoint names its task."""

from __future__ import annotations

import re

from lstm_readout.config.hydra_main import refuse
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint

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
    path = value_of(arguments, "checkpoint")
    if path is None or value_of(arguments, group) is not None:
        return quoted(arguments), None
    try:
        checkpoint = read_checkpoint(path)
    except UserError as error:
        refuse(error)
    return quoted([f"{group}={checkpoint.task}", *arguments]), checkpoint


def with_checkpoint(arguments: list[str]) -> tuple[list[str], Checkpoint | None]:
    """Let the checkpoint supply the task, model, tokenizer and data unless they are given; see above."""
    if value_of(arguments, "checkpoint") in (None, "null"):
        return quoted(arguments), None
    groups = [group for group in ("data", "model", "tokenizer") if value_of(arguments, group) is None]
    return with_task_of_checkpoint([*(f"~{group}" for group in groups), *arguments], "task")


def value_of(arguments: list[str], key: str) -> str | None:
    """Return the value of ``key=value``, the last one if there are several."""
    values = [argument.split("=", 1)[1] for argument in arguments if argument.startswith(f"{key}=")]
    return values[-1] if values else None


def quoted(arguments: list[str]) -> list[str]:
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
