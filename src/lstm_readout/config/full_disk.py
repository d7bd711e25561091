"""A command goes in; it comes out with one message in place of the traceback of a full or read-only disk."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lstm_readout.errors import UserError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def told_where_full(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return the command; where the disk takes no more, it raises ``UserError``."""

    @functools.wraps(command)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            return command(*arguments, **options)
        except OSError as error:
            if error.errno not in _OF_THE_DISK:
                raise
            where = f" '{error.filename}'" if error.filename else ""
            raise UserError(
                f"could not write{where}: {error.strerror}. The checkpoints that are there are whole: make room, then "
                "resume the run."
            ) from error

    return run
