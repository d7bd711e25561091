"""A command goes in; it runs as ``@hydra.main`` would run it, but its configuration is checked first.

A user's mistake ends as ``error: ...`` on stderr with exit code 2. If the command line shows it, no folder is made;
otherwise the run's log records it as well.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import run_and_report
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lstm_readout.config.check import check_jobs, check_targets
from lstm_readout.config.jobs import VERSION_BASE, as_hydra_reads, read_command_line
from lstm_readout.config.run_log import close_log_files, write_to_log
from lstm_readout.config.values import plain_values
from lstm_readout.errors import UserError, printable


def hydra_main(
    run: Callable[..., Any],
    *,
    config_name: str,
    config_module: str = "lstm_readout.configs",
    arguments: list[str] | None = None,
    plain: bool = True,
    check: Callable[[Sequence[DictConfig]], None] = check_jobs,
    **options: Any,
) -> None:
    """Compose ``config_name`` with the overrides of the command line, check it and call ``run`` with it.

    Args:
        run: the command; what it returns goes to Hydra's sweeper.
        config_name: name of the primary config, without ``.yaml``.
        config_module: the package that holds the configs.
        arguments: replace ``sys.argv[1:]``; all of Hydra's flags work.
        plain: give ``run`` plain values; otherwise the ``DictConfig`` with unresolved interpolations.
        check: refuses configurations before anything is written.
        options: further arguments of ``run``.

    Raises:
        SystemExit: 2 after a user's mistake, 130 after an interrupt, else what Hydra exits with.
    """
    job = _guarded(run, plain, options)
    with _command_line(as_hydra_reads(sys.argv[1:] if arguments is None else arguments)):
        try:
            line = read_command_line(sys.argv[1:], run=run, config_name=config_name, config_module=config_module)
            check(line.jobs)
            if line.single is None:  # a sweep, or only printing
                hydra.main(f"pkg://{config_module}", config_name, VERSION_BASE)(job)()
            else:
                run_and_report(functools.partial(line.single.run, config_name, job, []))
        except UserError as error:
            refuse(error)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None


def refuse(error: UserError) -> NoReturn:
    """Print a user's mistake as one message and exit with 2."""
    print("error: " + printable(str(error)).replace("\n", "\n       "), file=sys.stderr)
    raise SystemExit(2) from None


def _guarded(run: Callable[..., Any], plain: bool, options: dict[str, Any]) -> Callable[[DictConfig], Any]:
    """Return the command as a Hydra job that also logs its errors: Hydra itself does not."""

    @functools.wraps(run)
    def job(config: DictConfig) -> Any:
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                check_targets(config)  # the sweeper may have drawn values that were not checked before
            return run(plain_values(config) if plain else config, **options)
        except UserError as error:
            write_to_log(str(error), error, traceback=False)
            refuse(error)  # SystemExit passes through Hydra, which would print the traceback of a UserError
        except KeyboardInterrupt as error:
            write_to_log("interrupted", error, traceback=False)
            raise
        except Exception as error:
            write_to_log(f"{run.__name__} failed", error, traceback=True)
            raise
        finally:
            close_log_files()

    return job


@contextlib.contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *arguments]  # where hydra.main reads them
    try:
        yield
    finally:
        sys.argv = before
