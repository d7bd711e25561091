"""A command goes in; it runs as ``@hydra.main`` would run it, but its configuration is checked first.

A user's mistake ends as ``error: ...`` on stderr with exit code 2. A run that is refused before its first step
leaves no folder; a job of a sweep leaves its log.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hydra
from hydra._internal.utils import run_and_report
from omegaconf import DictConfig

from lstm_readout.config.check import check_jobs
from lstm_readout.config.job import guarded, refuse
from lstm_readout.config.jobs import VERSION_BASE, as_hydra_reads, read_command_line
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
    job = guarded(run, plain, options, failed)
    given, words = sys.argv, as_hydra_reads(sys.argv[1:] if arguments is None else arguments)
    with _command_line(words):
        try:
            line = read_command_line(words, run=run, config_name=config_name, config_module=config_module)
            check(line.jobs)
            if line.single is None:  # a sweep, or only printing
                hydra.main(f"pkg://{config_module}", config_name, VERSION_BASE)(job)()
                if failed:
                    raise UserError(f"refused, of the jobs of this sweep: {', '.join(failed)}; their logs say why.")
            else:
                sys.argv[1:1] = [config_name] if given[1:2] == [config_name] else []  # as further processes are started
                run_and_report(functools.partial(line.single.run, config_name, job, []))
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
