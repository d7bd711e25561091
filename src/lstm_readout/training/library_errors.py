"""What a library refuses goes in; a ``UserError`` on one line comes out."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Iterator

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from lstm_readout.errors import UserError

_CHECK_VALUES = ("lightning.", "torch.optim.", "torchmetrics.")  # what these raise themselves is about a setting
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@contextlib.contextmanager
def told_as(setting: str, trainer: Trainer | None = None) -> Iterator[None]:
    """Raise what a library refuses as a ``UserError`` about ``setting``; an error of the computation passes.

    Args:
        setting: the key that the error is about.
        trainer: knows whether the training has begun; the run's folder is kept if so.

    Raises:
        UserError: the error comes from Lightning, an optimizer or a metric themselves.
    """
    try:
        yield
    except Exception as error:
        refusal = _refusal(error, setting)
        if refusal is None:
            raise
        refusal.began = trainer is not None and trainer.global_step > 0
        if refusal is error:
            raise
        raise refusal from error


def _refusal(error: Exception, setting: str) -> UserError | None:
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return UserError(f"could not write: {error}. The checkpoints are whole: make room, then resume the run.")
    if isinstance(error, MisconfigurationException) or _raised_in(error).startswith(_CHECK_VALUES):
        return UserError(f"{setting}: {on_one_line(error)}")
    return None


def on_one_line(error: BaseException) -> str:
    """Return the text of an error without line breaks, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _raised_in(error: BaseException) -> str:
    """Return the name of the module that raised the error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", ""))
