"""The arguments of a command that reads a checkpoint go in; those that the checkpoint supplies come out with them."""

from __future__ import annotations

from lstm_readout.config.hydra_main import refuse
from lstm_readout.config.words import is_given, value_of
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint


def with_task_of_checkpoint(arguments: list[str], group: str) -> tuple[list[str], Checkpoint | None]:
    """Add ``group=<the checkpoint's task>``, unless a task is given; exit with 2 if the file is unusable.

    Returns:
        The arguments, and the checkpoint if it was read.
    """
    path = value_of(arguments, "checkpoint")
    if path is None or is_given(arguments, group):
        return arguments, None
    try:
        checkpoint = read_checkpoint(path)
    except UserError as error:
        refuse(error)
    return [f"{group}={checkpoint.task}", *arguments], checkpoint


def with_checkpoint(arguments: list[str]) -> tuple[list[str], Checkpoint | None]:
    """Let the checkpoint supply the task, model, tokenizer and data unless they are given; see above."""
    if value_of(arguments, "checkpoint") is None:
        return arguments, None
    groups = [group for group in ("data", "model", "tokenizer") if not is_given(arguments, group)]
    return with_task_of_checkpoint([*(f"~{group}" for group in groups), *arguments], "task")
