"""An override that Hydra refused goes in; a sentence with the nearest valid name comes out."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException
from omegaconf import DictConfig

from lstm_readout.config.check import renamed
from lstm_readout.config.signature import parameters_of
from lstm_readout.config.values import flatten, plain_values
from lstm_readout.errors import did_you_mean
from lstm_readout.models.checkpoint import RENAMED

_PARTS = {"data/base", "model/lstm", "model/translate/side", "tokenizer/base"}  # files that choices share


def chosen_parts(loader: ConfigLoaderImpl, config: DictConfig) -> list[str]:
    """Return a sentence for each choice that is only a part of other choices."""
    choices = {group: name for group, name in config.hydra.runtime.choices.items() if f"{group}/{name}" in _PARTS}
    return [
        f"{group}={name}: this file is a part of other choices. "
        f"{_choices(group, name, loader.repository.get_group_options(group))}"
        for group, name in choices.items()
    ]


def _choices(group: str, name: str, options: Iterable[str]) -> str:
    return did_you_mean(name, (option for option in options if f"{group}/{option}" not in _PARTS))


def explain_failure(loader: ConfigLoaderImpl, config_name: str, error: Exception) -> str:
    """Return a sentence for an error that no override caused."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file == config_name:
        options = set(loader.get_group_options("", ObjectType.CONFIG)) - {"_dummy_empty_config_"}
        return f"Could not find the config '{config_name}'. {did_you_mean(config_name, options)}"
    return f"Cannot read a config file: {brief(error)}" if isinstance(error, yaml.YAMLError) else brief(error)


def explain_refusal(loader: ConfigLoaderImpl, override: Override, error: Exception, config: DictConfig | None) -> str:
    """Return a sentence for a refused override.

    Args:
        loader: knows the groups.
        override: what was refused.
        error: as Hydra raised it.
        config: composed without it; None where that is impossible.
    """
    key, line = override.key_or_group, str(override.input_line)
    if key in RENAMED:
        return renamed(key, line.partition("=")[2])
    if isinstance(error, MissingConfigException) and error.options is not None:
        option = str(error.missing_cfg_file)
        name = option.removeprefix(f"{key}/")
        return f"Could not find '{option}'. {_choices(key, name, error.options)}"
    if override.is_add():
        return f"'{key}' is already in the config: write {line.lstrip('+')} to change it."
    if config is not None and str(error).startswith((f"Could not override '{key}'", "Could not delete from")):
        return _unknown(loader, key, line, config) or brief(error)
    return brief(error)


def _unknown(loader: ConfigLoaderImpl, key: str, line: str, config: DictConfig) -> str | None:
    """Return a sentence for a key that does not exist, None if it does."""
    values = plain_values(config, resolve=False)
    groups = {*loader.list_groups(""), *config.hydra.runtime.choices} - {"__pycache__"}
    if not key.startswith("hydr"):  # Hydra's own settings would hide the program's
        values.pop("hydra")
        groups = {group for group in groups if group.partition("/")[0] != "hydra"}
    every = dict(flatten(values))
    if key in every or key in groups:
        return None
    parent = key.rpartition(".")[0]
    while parent and not isinstance(every.get(parent), dict):
        parent = parent.rpartition(".")[0]
    node = every[parent] if parent else values
    valid = {name for name in node if not str(name).startswith("_")} | (set() if parent else groups)
    taken = _parameters(node) if parent else set()
    if key.removeprefix(f"{parent}.") in taken and not line.startswith("~"):
        return f"'{key}' is not in the config, but '{node['_target_']}' takes it: write +{line} to add it."
    candidates = [*every, *groups, *(f"{parent}.{name}" for name in taken)]
    candidates = [name for name in candidates if not key.startswith(f"{name}.")]
    nearest = difflib.get_close_matches(key, candidates, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    where = f" in {parent}" if parent else ""
    return f"Could not find '{key}'.{hint} Valid{where}: {', '.join(sorted(map(str, valid | taken)))}."


def is_about(error: Exception, override: Override) -> bool:
    """Return whether Hydra raised the error because of this override."""
    key, text = override.get_key_element().lstrip("+~"), str(error)
    if isinstance(error, MissingConfigException):
        value = override.value()
        options = value if isinstance(value, list) else [value]
        return error.missing_cfg_file in [f"{override.key_or_group}/{option}" for option in options]
    quoted = f"'{key}'" in text or f"'{key}=" in text or f"override {override.input_line}" in text
    return quoted or (override.is_add() and text.startswith(f"Multiple values for {key}."))


def _parameters(node: dict[Any, Any]) -> set[str]:
    try:
        return set(parameters_of(node["_target_"]).kinds)
    except (KeyError, LookupError, AttributeError):
        return set()


def brief(error: Exception) -> str:
    """Return an error of Hydra's on one line, with OmegaConf's reason and without search path and links."""
    shown = itertools.takewhile(lambda line: not line.startswith("Config search path"), str(error).splitlines())
    lines = [line.strip() for line in shown if line.strip(" ^") and not line.startswith("See https")]
    cause = str(error.__cause__ or "").partition("\n")[0]
    if cause not in " ".join(lines):
        lines.append(cause)
    return " ".join(line if line.endswith((".", "?", ":")) else f"{line}." for line in dict.fromkeys(lines))
