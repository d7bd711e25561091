"""A program that takes a config goes in; it runs as ``@hydra.main`` runs it, but the config is checked first.

A mistake of the user's ends as ``error: ...`` on stderr with exit code 2: before Hydra makes a folder if the
command line shows it, else from inside the run, and then it stands in the run's log as well.

The schema of a node is the signature of its ``_target_``: see ``schema``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import hydra
from omegaconf import DictConfig

from lstm_readout.config.check import check_targets
from lstm_readout.config.jobs import VERSION_BASE, compose_jobs, overrides_first
from lstm_readout.errors import UserError

__all__ = ["check_targets", "hydra_main", "refuse"]

log = logging.getLogger(__name__)


def hydra_main(
    run: Callable[[DictConfig], Any],
    *,
    config_name: str,
    config_module: str = "lstm_readout.configs",
    arguments: list[str] | None = None,
) -> None:
    """Compose ``config_name`` with the command line's overrides as ``hydra.main`` does, and call ``run``.

    Args:
        run: the program; what it returns goes to Hydra's sweeper.
        config_name: name of the primary config, without ``.yaml``.
        config_module: the package that holds the configs.
        arguments: stand in for ``sys.argv[1:]``; all of Hydra's flags hold.

    Raises:
        SystemExit: 2 after a mistake of the user's, 130 after an interrupt, else what Hydra exits with.
    """
    with _command_line(overrides_first(sys.argv[1:] if arguments is None else arguments)):
        try:
            jobs = compose_jobs(sys.argv[1:], run=run, config_name=config_name, config_module=config_module)
            _check_jobs(jobs)
            main = hydra.main(f"pkg://{config_module}", config_name, VERSION_BASE)
            main(_guard(run))()
        except UserError as error:
            refuse(error)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None


@contextlib.contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *arguments]  # where hydra.main reads them
    try:
        yield
    finally:
        sys.argv = before


def _check_jobs(jobs: list[DictConfig]) -> None:
    """Check all jobs of a sweep and tell each fault once, though many of them may share it."""
    faults: dict[str, None] = {}
    for job in jobs:
        try:
            check_targets(job)
        except UserError as error:
            faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise UserError("\n".join(faults))


def _guard(run: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Return the program with its errors told: Hydra itself writes none of them to the run's log."""

    @functools.wraps(run)
    def guarded(config: DictConfig) -> Any:
        try:
            check_targets(config)  # again: a sweeper that draws its values was stood for by one of them
            return run(config)
        except UserError as error:
            _write_to_log(str(error), error, traceback=False)
            # SystemExit passes through Hydra; of a UserError it would print the traceback and exit with 1.
            refuse(error)
        except KeyboardInterrupt as error:
            _write_to_log("interrupted", error, traceback=False)
            raise
        except Exception as error:
            _write_to_log(f"{run.__name__} failed", error, traceback=True)
            raise
        finally:
            _close_log_files()

    return guarded


def _close_log_files() -> None:
    """End the run's log with the run: a later line of the same process is none of its own."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()


def _write_to_log(text: str, error: BaseException, *, traceback: bool) -> None:
    """Write to the run's log file alone: the console gets the error from ``refuse`` or from Hydra."""
    about = (type(error), error, error.__traceback__) if traceback else None
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (), about)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def refuse(error: UserError) -> NoReturn:
    """Tell a mistake in one message and exit with 2."""
    print("error: " + str(error).replace("\n", "\n       "), file=sys.stderr)
    raise SystemExit(2) from None
