"""A composed configuration goes in; a sentence for each fault of the keys at its top comes out.

Deeper keys have a schema, the signature of a ``_target_``: see ``check.py``. At the top the files of this package say
which keys there are; a user's own key is used where another value refers to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import GroupDefault
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.values import plain_values
from lstm_readout.errors import did_you_mean

RECIPES = ("experiment", "debug", "doctor")  # groups whose files change other parts of the configuration
_OPTIONAL = (*RECIPES, "callbacks", "logger", "scheduler", "settings", "vectors")  # runs do without
_OF_PARTS = ("callbacks", "logger")  # their values are built, by name
_BUILT = ("data", "model", "optimizer", "pipeline", "scheduler", "tokenizer", "trainer", "vectors")


def top_key_faults(
    loader: ConfigLoaderImpl, config_name: str, config: DictConfig, overrides: Sequence[Override], defined: set[str]
) -> list[str]:
    """Return a sentence for each fault of a key at the top.

    Args:
        loader: knows the groups.
        config_name: of the command.
        config: composed.
        overrides: of the command line.
        defined: the keys of the files that may define some.
    """
    missing, switches = _missing(loader, config_name, config), _switches(loader, config_name, config)
    groups = {**_defaults_of(loader, config_name), **config.hydra.runtime.choices}
    return [*_unknown(loader, config, overrides, defined), *missing, *switches, *_without_target(config, groups)]


def _unknown(
    loader: ConfigLoaderImpl, config: DictConfig, overrides: Sequence[Override], defined: set[str]
) -> Iterator[str]:
    groups = {name.partition("/")[0] for name in config.hydra.runtime.choices}
    known = (groups - {*RECIPES}) | defined
    if "experiment" in groups:  # a recipe is one of a training, or of a comparison
        given = {one.key_or_group.partition(".")[0] for one in overrides}
        known |= {*loader.list_groups("")} - {*RECIPES} | _keys_of(loader, "train")
        known |= _keys_of(loader, "compare") - given
    referred = set(re.findall(r"\$\{(?:oc\.select:)?(\w+)", OmegaConf.to_yaml(config)))
    for key in map(str, config):
        if key not in known | referred:
            yield _unknown_key(key, config.hydra.runtime.choices.get(key), known | groups)


def _unknown_key(key: str, choice: str | None, known: set[str]) -> str:
    if key in RECIPES and choice is not None:
        return (
            f"{key}={choice}: nothing in this file is used, because its first line names no package. "
            "Write '# @package _global_' there."
        )
    if key in RECIPES:
        return f"'{key}' names a file and has no keys of its own. Write {key}=NAME."
    return f"Could not find '{key}'. {did_you_mean(key, known - {'hydra'})}"


def _missing(loader: ConfigLoaderImpl, config_name: str, config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each key that the command line took out and the command cannot do without."""
    yield from (f"{key}: must be given, for example {key}=..." for key in _open(loader, config_name, config))
    of_checkpoint = isinstance(config.get("checkpoint"), str)  # it has a model and data of its own
    choices = {} if of_checkpoint else _defaults_of(loader, config_name)
    left = {*map(str, config)}  # also those that are ???
    for key in (*_keys_of(loader, config_name), *choices):
        if key in left or key in _OPTIONAL or (key in choices and choices[key] is None):
            continue
        options = loader.get_group_options(key) if key in choices else []
        hint = f"Choose one: {', '.join(f'{key}={name}' for name in options[:4])}." if options else f"Set {key}=..."
        yield f"{key}: it cannot be left out. {hint}"


def _open(loader: ConfigLoaderImpl, config_name: str, config: DictConfig) -> Iterator[str]:
    """Yield the keys that have to be given, where null was."""
    primary: Any = loader.repository.load_config(config_name)
    for key in map(str, primary.config):
        if (
            OmegaConf.is_missing(primary.config, key)
            and not OmegaConf.is_missing(config, key)
            and config.get(key) is None
        ):
            yield key


def _switches(loader: ConfigLoaderImpl, config_name: str, config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each key that is true or false, where something else was given."""
    primary: Any = loader.repository.load_config(config_name)
    values = plain_values(config, resolve=False)
    for key, default in plain_values(primary.config, resolve=False).items():
        value = values.get(key, default)
        if type(default) is bool and type(value) is not bool and not str(value).startswith("${"):
            yield f"{key}: wanted true or false, got {value}."


def _without_target(config: DictConfig, groups: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each node that would be built but does not say from what."""
    values = plain_values(config, resolve=False)
    if isinstance(values.get("settings"), Mapping):
        yield "settings: it has no keys of its own. Write settings=auto or settings=fixed."
    for group, choice in groups.items():
        node = values.get(group)
        if group in _BUILT and choice is not None and node is not None and not _has_target(node):
            yield f"{group}: it has no _target_, so nothing is built from it. Choose a file: {group}=NAME."
        if group in _OF_PARTS and isinstance(node, Mapping):
            for name, part in node.items():
                if part is not None and not _has_target(part):
                    yield f"{group}.{name}: it has no _target_, so nothing is built from it. Name a class there."


def _has_target(node: Any) -> bool:
    return isinstance(node, Mapping) and node.get("_target_") is not None


def _defaults_of(loader: ConfigLoaderImpl, config_name: str) -> dict[str, Any]:
    """Return the groups of a primary config and its choices in them."""
    loaded: Any = loader.repository.load_config(config_name)
    groups = [one for one in loaded.defaults_list if isinstance(one, GroupDefault) and not one.override]
    return {str(one.group): one.value for one in groups}


def _keys_of(loader: ConfigLoaderImpl, config_name: str) -> set[str]:
    loaded: Any = loader.repository.load_config(config_name)
    return set() if loaded is None else {str(key) for key in loaded.config if key != "hydra"}
