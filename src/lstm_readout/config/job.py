"""A command goes in; a job for Hydra comes out, whose errors reach the run's log and end as one message."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lstm_readout.config.check import check_job
from lstm_readout.config.run_log import close_log_files, write_to_log
from lstm_readout.config.values import plain_values
from lstm_readout.errors import UserError, printable


class Refused(SystemExit):
    """The end of a command after a user's mistake: exit code 2.

    Attributes:
        began: whether a training had begun.
    """

    def __init__(self, *, began: bool) -> None:
        super().__init__(2)
        self.began = began


def refuse(error: UserError) -> NoReturn:
    """Print a user's mistake as one message and exit with 2."""
    _print(error)
    raise Refused(began=error.began) from None


def guarded(
    run: Callable[..., Any], plain: bool, options: dict[str, Any], failed: list[str]
) -> Callable[[DictConfig], Any]:
    """Return the command as a Hydra job that also logs its errors: Hydra itself does not.

    Args:
        run: the command.
        plain: give it plain values.
        options: further arguments of it.
        failed: gets the number of each job of a sweep that was refused; the others still run.
    """

    @functools.wraps(run)
    def job(config: DictConfig) -> Any:
        sweeps = HydraConfig.get().mode == RunMode.MULTIRUN
        try:
            if sweeps:
                check_job(config)  # the sweeper may have drawn values that were not checked before
            return run(plain_values(config) if plain else config, **options)
        except UserError as error:
            write_to_log(str(error), error, traceback=False)
            if not sweeps:
                refuse(error)  # SystemExit passes through Hydra, which would print the traceback of a UserError
            _print(error)
            failed.append(str(HydraConfig.get().job.num))
        except KeyboardInterrupt as error:
            write_to_log("interrupted", error, traceback=False)
            raise
        except Exception as error:
            write_to_log(f"{run.__name__} failed", error, traceback=True)
            raise
        finally:
            close_log_files()

    return job


def _print(error: UserError) -> None:
    print("error: " + printable(str(error)).replace("\n", "\n       "), file=sys.stderr)
