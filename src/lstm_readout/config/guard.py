"""A command goes in; a job for Hydra comes out, which also checks a sweeper's values and logs its errors."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lstm_readout.config.check import check_targets
from lstm_readout.config.values import plain_values
from lstm_readout.errors import UserError

log = logging.getLogger(__name__)


def guarded(run: Callable[..., Any], plain: bool, options: dict[str, Any]) -> Callable[[DictConfig], Any]:
    """Return the command as a job for Hydra, which itself writes no error to the run's log.

    Args:
        run, plain, options: see ``hydra_main``.
    """

    @functools.wraps(run)
    def job(config: DictConfig) -> Any:
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                check_targets(config)  # the sweeper may have drawn values that were not checked before
            return run(plain_values(config) if plain else config, **options)
        except UserError as error:
            _write_to_log(str(error), error, traceback=False)
            refuse(error)  # SystemExit passes through Hydra, which would print the traceback of a UserError
        except KeyboardInterrupt as error:
            _write_to_log("interrupted", error, traceback=False)
            raise
        except Exception as error:
            _write_to_log(f"{run.__name__} failed", error, traceback=True)
            raise
        finally:
            _close_log_files()

    return job


def _close_log_files() -> None:
    """Close the run's log: later lines of the same process do not belong to it."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()


def _write_to_log(text: str, error: BaseException, *, traceback: bool) -> None:
    """Write to the run's log file only: the console gets the error from ``refuse`` or from Hydra."""
    exc_info = (type(error), error, error.__traceback__) if traceback else None
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (), exc_info)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def refuse(error: UserError) -> NoReturn:
    """Print a mistake of the user's as one message and exit with 2."""
    print("error: " + str(error).replace("\n", "\n       "), file=sys.stderr)
    raise SystemExit(2) from None
