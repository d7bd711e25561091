"""The log file of a run: an error goes in, because Hydra itself does not write it there."""

from __future__ import annotations

import contextlib
import logging

log = logging.getLogger(__name__)


def close_log_files() -> None:
    """Close the run's log: later lines of the same process do not belong to it."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            with contextlib.suppress(OSError):  # the disk is full
                handler.close()


def write_to_log(text: str, error: BaseException, *, traceback: bool) -> None:
    """Write to the run's log file only: the console gets the error from ``refuse`` or from Hydra."""
    exc_info = (type(error), error, error.__traceback__) if traceback else None
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (), exc_info)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
