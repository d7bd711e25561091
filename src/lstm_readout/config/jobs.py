"""A command line for Hydra goes in; the configurations of the jobs that it asks for come out, and no folder is made.

What Hydra would refuse with a long text or a traceback is raised here as a ``UserError``.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import (
    create_automatic_config_search_path,
    detect_calling_file_or_module_from_task_function,
    detect_task_name,
    get_args_parser,
)
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig

from lstm_readout.config.compose import Composer, Loader, without_hydra
from lstm_readout.config.new_folder import check_writable
from lstm_readout.config.sweep import first_values, jobs_of_sweep, refuse_values
from lstm_readout.config.words import readable
from lstm_readout.errors import UserError

VERSION_BASE = "1.3"


class _ComposedHydra(Hydra):
    """Hydra for a single run with an already composed configuration."""

    def __init__(self, task_name: str, loader: ConfigLoaderImpl) -> None:
        super().__init__(task_name, loader)
        self.composed = DictConfig({})

    @property
    def folder(self) -> Path | None:
        """Return where the run writes; None for a command without a folder of its own."""
        own = self.composed.hydra.output_subdir is not None
        return Path(self.composed.hydra.run.dir) if own else None

    def compose_config(self, *arguments: Any, with_log_configuration: bool = False, **options: Any) -> DictConfig:
        """Return it instead of composing it again."""
        if with_log_configuration:
            configure_log(self.composed.hydra.hydra_logging, self.composed.hydra.verbose)
        return self.composed


class _CommandLine(NamedTuple):
    """What a command line asks for."""

    jobs: list[DictConfig]  # to check: one, or for a sweep one per value of each swept key; none where nothing runs
    single: _ComposedHydra | None  # runs the only job; None for a sweep, and where nothing runs


def read_command_line(
    arguments: list[str], *, run: Callable[..., Any], config_name: str, config_module: str
) -> _CommandLine:
    """Compose what the command line asks for.

    Raises:
        UserError: Hydra would refuse the command line; the message lists every faulty override.
    """
    flags = get_args_parser().parse_intermixed_args(arguments)
    _refuse_flags(flags)
    if flags.help or flags.hydra_help or flags.info or flags.shell_completion or flags.experimental_rerun:
        return _CommandLine([], None)
    version.setbase(VERSION_BASE)
    calling = detect_calling_file_or_module_from_task_function(run)
    loader = Loader(_search_path(flags, calling, config_module))
    hydra = _ComposedHydra(detect_task_name(*calling), loader)
    composer = Composer(loader, flags.config_name or config_name)
    overrides = [composer.parse(text) for text in flags.overrides]
    hydra.composed = composer.compose(first_values(composer, overrides))
    if flags.multirun or hydra.composed.hydra.mode == RunMode.MULTIRUN:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Hydra repeats them when it runs
            jobs = jobs_of_sweep(composer, hydra.composed, overrides)
        check_writable("hydra.sweep.dir", Path(hydra.composed.hydra.sweep.dir))
        return _CommandLine([] if flags.cfg else jobs, None)
    refuse_values(overrides)
    if hydra.folder is not None:
        check_writable("hydra.run.dir", hydra.folder)
    return _CommandLine([], None) if flags.cfg else _CommandLine([without_hydra(hydra.composed)], hydra)


def as_hydra_reads(arguments: list[str]) -> list[str]:
    """Return the command line in Hydra's grammar, overrides before flags: Hydra refuses ``a=1 -m b=2,3``."""
    arguments = readable(arguments)
    overrides = get_args_parser().parse_intermixed_args(arguments).overrides
    left = list(overrides)
    flags = [word for word in arguments if word not in left or left.remove(word)]
    return [*overrides, *flags]


def _refuse_flags(flags: Namespace) -> None:
    exclusive = ("run", "cfg", "multirun", "shell_completion", "info")
    given_flags = [f"--{name.replace('_', '-')}" for name in exclusive if getattr(flags, name)]
    if len(given_flags) > 1:
        raise UserError(f"Only one of {' and '.join(given_flags)} can be given.")
    if flags.resolve and not (flags.cfg or flags.help):
        raise UserError("--resolve goes with --cfg, for example --cfg job --resolve.")


def _search_path(flags: Namespace, calling: tuple[str | None, str | None], config_module: str) -> ConfigSearchPath:
    path = create_automatic_config_search_path(*calling, flags.config_path or f"pkg://{config_module}")
    if flags.config_dir is not None:
        folder = Path(flags.config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir: there is no folder '{flags.config_dir}'.")
        path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return path


@contextlib.contextmanager
def command_line(arguments: list[str]) -> Iterator[None]:
    """Let Hydra read these arguments instead of the process's own."""
    before = sys.argv
    sys.argv = [before[0], *arguments]  # where hydra.main reads them
    try:
        yield
    finally:
        sys.argv = before
