"""A configuration and overrides with several values go in; the jobs of that sweep come out, to be checked.

Meanwhile the other keys keep their first value, and a range, an interval or a glob is represented by its first value:
one job per value, not per combination.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

from hydra.core.override_parser.types import Override, ValueType
from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.compose import Composer, without_hydra
from lstm_readout.errors import UserError

_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def jobs_of_sweep(composer: Composer, first: DictConfig, overrides: list[Override]) -> list[DictConfig]:
    """Return one configuration per value of each swept key.

    Args:
        composer: composes further jobs.
        first: the configuration of ``first_values``.
        overrides: of the command line.

    Raises:
        UserError: an override cannot be swept.
    """
    swept_in_config = list(_sweeper_overrides(composer, first, overrides))
    if swept_in_config:
        overrides = swept_in_config + overrides
        first = composer.compose(first_values(composer, overrides))
    all_swept = [one for one in overrides if one.is_sweep_override()]
    for swept in all_swept:
        _refuse_sweep(swept, first)
    jobs = [without_hydra(first)]
    for swept in all_swept:
        for value in _values(swept)[1:]:
            jobs.append(_job_with(composer, overrides, jobs[0], composer.parse(f"{swept.get_key_element()}={value}")))
    return jobs


def _job_with(composer: Composer, overrides: list[Override], job: DictConfig, chosen: Override) -> DictConfig:
    key = chosen.key_or_group
    if composer.loader.repository.group_exists(key) or chosen.package or OmegaConf.select(job, key) is None:
        same_key = chosen.get_key_element()
        chosen_for = [chosen if one.get_key_element() == same_key else _first(composer, one) for one in overrides]
        return without_hydra(composer.compose(chosen_for))
    job = copy.deepcopy(job)  # ten times cheaper than composing again
    OmegaConf.update(job, key, chosen.value(), merge=True, force_add=True)
    return job


def first_values(composer: Composer, overrides: list[Override]) -> list[Override]:
    """Return the overrides with the first of their values."""
    return [_first(composer, one) for one in overrides]


def refuse_values(overrides: list[Override]) -> None:
    """Raise ``UserError`` for an override with several values: nothing is swept."""
    for one in overrides:
        if one.is_sweep_override():
            as_list = f", or write {one.get_key_element()}=[{one.get_value_string()}] for a list"
            hint = as_list if one.value_type is ValueType.SIMPLE_CHOICE_SWEEP else ""
            _refuse_hydras_own(one)
            raise UserError(f"'{one.input_line}' names several values: add -m to run each{hint}.")


def _first(composer: Composer, override: Override) -> Override:
    if not override.is_sweep_override():
        return override
    return composer.parse(f"{override.get_key_element()}={_values(override)[0]}")


def _values(swept: Override) -> list[str]:
    if swept.is_interval_sweep():
        return [f"{float(getattr(swept.value(), 'start')):g}"]  # noqa: B009 (of a union; 1, not 1.0, fits an int)
    every_one = swept.value_type in (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.CHOICE_SWEEP)
    values = list(itertools.islice(swept.sweep_string_iterator(), None if every_one else 1))
    if not values:
        raise UserError(f"'{swept.input_line}' has no value at all.")
    return values


def _refuse_sweep(swept: Override, config: DictConfig) -> None:
    _refuse_hydras_own(swept)
    if swept.is_interval_sweep() and config.hydra.sweeper.get("_target_") == _BASIC_SWEEPER:
        raise UserError(
            f"'{swept.input_line}': the basic sweeper cannot draw from an interval; list values or use range(...)."
        )


def _refuse_hydras_own(swept: Override) -> None:
    if swept.is_hydra_override():
        raise UserError(f"'{swept.input_line}' names several values, but Hydra's own settings cannot be swept.")


def _sweeper_overrides(composer: Composer, config: DictConfig, overrides: list[Override]) -> Iterator[Override]:
    """Yield the sweep of a config file (``hydra.sweeper.params``), without the keys that the command line replaces."""
    sweeper = config.hydra.sweeper
    keys = {one.get_key_element() for one in overrides}
    if sweeper.get("_target_") == _BASIC_SWEEPER:
        parsed = (composer.parse(f"{key}={value}") for key, value in (sweeper.get("params") or {}).items())
        yield from (one for one in parsed if one.get_key_element() not in keys)
