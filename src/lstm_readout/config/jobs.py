"""A command line for Hydra goes in; the configs of the jobs that it asks for come out, and no folder is made.

What Hydra would refuse with a long text or a traceback is raised here as a ``UserError``.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import (
    create_automatic_config_search_path,
    detect_calling_file_or_module_from_task_function,
    get_args_parser,
)
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lstm_readout.config.compose import Composer
from lstm_readout.errors import UserError

VERSION_BASE = "1.3"
_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def compose_jobs(
    arguments: list[str], *, run: Callable[..., Any], config_name: str, config_module: str
) -> list[DictConfig]:
    """Return the configs to check: one, or for a sweep one for each value of each swept key.

    A sweep's other keys keep their first value meanwhile, and a range, interval or glob is stood for by its
    first value: as many configs as there are values, not as there are jobs. Empty where nothing is to run.

    Raises:
        UserError: Hydra would refuse the command line; lists every override that is at fault.
    """
    flags = get_args_parser().parse_intermixed_args(arguments)
    _refuse_flags(flags)
    if flags.help or flags.hydra_help or flags.info or flags.shell_completion or flags.experimental_rerun:
        return []
    version.setbase(VERSION_BASE)
    setup_globals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Hydra gives the same ones again when it runs
        loader = ConfigLoaderImpl(_search_path(flags, run, config_module))
        jobs = _jobs(Composer(loader, flags.config_name or config_name), flags)
    return [] if flags.cfg else jobs


def overrides_first(arguments: list[str]) -> list[str]:
    """Return the command line with its overrides before its flags: Hydra takes no ``a=1 -m b=2,3``."""
    overrides = get_args_parser().parse_intermixed_args(arguments).overrides
    left = list(overrides)
    flags = [word for word in arguments if word not in left or left.remove(word)]
    return [*overrides, *flags]


def _refuse_flags(flags: Namespace) -> None:
    asked = ("run", "cfg", "multirun", "shell_completion", "info")
    given = [f"--{name.replace('_', '-')}" for name in asked if getattr(flags, name)]
    if len(given) > 1:
        raise UserError(f"Only one of {' and '.join(given)} can be given.")
    if flags.resolve and not (flags.cfg or flags.help):
        raise UserError("--resolve goes with --cfg, for example --cfg job --resolve.")


def _search_path(flags: Namespace, run: Callable[..., Any], config_module: str) -> ConfigSearchPath:
    calling = detect_calling_file_or_module_from_task_function(run)
    path = create_automatic_config_search_path(*calling, flags.config_path or f"pkg://{config_module}")
    if flags.config_dir is not None:
        folder = Path(flags.config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir: there is no folder '{flags.config_dir}'.")
        path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return path


def _jobs(composer: Composer, flags: Namespace) -> list[DictConfig]:
    overrides = [composer.parse(text) for text in flags.overrides]
    first = composer.compose([_first(composer, one) for one in overrides])
    several = flags.multirun or first.hydra.mode == RunMode.MULTIRUN
    swept_in_config = list(_sweeper_overrides(composer, first, overrides)) if several else []
    if swept_in_config:
        overrides = swept_in_config + overrides
        first = composer.compose([_first(composer, one) for one in overrides])
    all_swept = [one for one in overrides if one.is_sweep_override()]
    for swept in all_swept:
        _refuse_sweep(swept, several, first)
    jobs = [_without_hydra(first)]
    for swept in all_swept:
        for value in _values(swept)[1:]:
            jobs.append(_job_with(composer, overrides, jobs[0], composer.parse(f"{swept.get_key_element()}={value}")))
    return jobs


def _job_with(composer: Composer, overrides: list[Override], job: DictConfig, chosen: Override) -> DictConfig:
    key = chosen.key_or_group
    if composer.loader.repository.group_exists(key) or chosen.package or OmegaConf.select(job, key) is None:
        same_key = chosen.get_key_element()
        chosen_for = [chosen if one.get_key_element() == same_key else _first(composer, one) for one in overrides]
        return _without_hydra(composer.compose(chosen_for))
    job = copy.deepcopy(job)  # ten times cheaper than to compose anew
    OmegaConf.update(job, key, chosen.value(), merge=True, force_add=True)
    return job


def _without_hydra(config: DictConfig) -> DictConfig:
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config


def _first(composer: Composer, override: Override) -> Override:
    if not override.is_sweep_override():
        return override
    return composer.parse(f"{override.get_key_element()}={_values(override)[0]}")


def _values(swept: Override) -> list[str]:
    if swept.is_interval_sweep():
        return [f"{float(getattr(swept.value(), 'start')):g}"]  # noqa: B009 (of a union; 1 and not 1.0: fits an int)
    every_one = swept.value_type in (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.CHOICE_SWEEP)
    values = list(itertools.islice(swept.sweep_string_iterator(), None if every_one else 1))
    if not values:
        raise UserError(f"'{swept.input_line}' stands for no value at all.")
    return values


def _refuse_sweep(swept: Override, several: bool, config: DictConfig) -> None:
    line = swept.input_line
    if swept.is_hydra_override():
        raise UserError(f"'{line}' names several values, but Hydra's own settings cannot be swept.")
    if not several:
        as_list = f", or write {swept.get_key_element()}=[{swept.get_value_string()}] for a list"
        is_plain = swept.value_type is ValueType.SIMPLE_CHOICE_SWEEP
        raise UserError(f"'{line}' names several values: add -m to run each{as_list if is_plain else ''}.")
    if swept.is_interval_sweep() and config.hydra.sweeper.get("_target_") == _BASIC_SWEEPER:
        raise UserError(f"'{line}': the basic sweeper cannot draw from an interval; list values or use range(...).")


def _sweeper_overrides(composer: Composer, config: DictConfig, given: list[Override]) -> Iterator[Override]:
    """Give the sweep of a config file (``hydra.sweeper.params``), less what the command line replaces."""
    sweeper = config.hydra.sweeper
    keys = {one.get_key_element() for one in given}
    if sweeper.get("_target_") == _BASIC_SWEEPER:
        parsed = (composer.parse(f"{key}={value}") for key, value in (sweeper.get("params") or {}).items())
        yield from (one for one in parsed if one.get_key_element() not in keys)
