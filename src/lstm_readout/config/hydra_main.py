"""A command goes in; it runs as ``@hydra.main`` would run it, but its configuration is checked first.

A user's mistake ends as ``error: ...`` on stderr with exit code 2. A run that is refused before its first step
leaves no folder; a job of a sweep leaves its log.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra._internal.utils import run_and_report
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lstm_readout.config.check import check_job, check_jobs
from lstm_readout.config.jobs import VERSION_BASE, as_hydra_reads, command_line, read_command_line
from lstm_readout.config.new_folder import NewFolder
from lstm_readout.config.refuse import print_error, refuse
from lstm_readout.config.run_log import close_log_files, write_to_log
from lstm_readout.config.values import plain_values
from lstm_readout.errors import UserError


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
    failed: list[str] = []  # jobs of a sweep
    job = _guarded(run, plain, options, failed)
    given, words = sys.argv, as_hydra_reads(sys.argv[1:] if arguments is None else arguments)
    with command_line(words):
        try:
            line = read_command_line(words, run=run, config_name=config_name, config_module=config_module)
            check(line.jobs)
            if line.single is None:  # a sweep, or only printing
                hydra.main(f"pkg://{config_module}", config_name, VERSION_BASE)(job)()
                if failed:
                    raise UserError(f"refused, of the jobs of this sweep: {', '.join(failed)}; their logs say why.")
            else:
                sys.argv[1:1] = [config_name] if given[1:2] == [config_name] else []  # as further processes are started
                with NewFolder(line.single.folder).removed_after_refusal():
                    run_and_report(functools.partial(line.single.run, config_name, job, []))
        except UserError as error:
            refuse(error)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None


def _guarded(run: Callable[..., Any], plain: bool, options: dict[str, Any], failed: list[str]) -> Callable[..., Any]:
    """Return the command as a Hydra job that also logs its errors: Hydra itself does not.

    Args:
        run, plain, options: see ``hydra_main``.
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
            print_error(error)
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
