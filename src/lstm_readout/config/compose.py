"""Overrides go in, the composed config comes out; a refused one is a ``UserError`` with the nearest name.

The config is composed by Hydra's own loader, so its search path and order of precedence hold.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.check import renamed
from lstm_readout.config.signature import parameters_of
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.checkpoint import RENAMED


@dataclass
class Composer:
    """Hydra's loader, whose refusals come as ``UserError``."""

    loader: ConfigLoaderImpl
    config_name: str

    def parse(self, text: str) -> Override:
        """Return the override that one word of the command line stands for."""
        try:
            override = OverridesParser.create(config_loader=self.loader).parse_overrides([text])[0]
        except OverrideParseException as error:
            why = _brief(error).removeprefix(f"Error parsing override '{text}'. ")
            raise UserError(f"Cannot read '{text}': {why} Wanted key=value; quote what is text.") from error
        if not override.key_or_group:
            raise UserError(f"Cannot read '{text}': it has no key. Wanted key=value.")
        return override

    def compose(self, overrides: list[Override]) -> DictConfig:
        """Compose; where Hydra refuses an override go on without it, so that all faults are told at once."""
        refused: list[tuple[Override, Exception]] = []
        config: DictConfig | None = None
        left = list(overrides)
        while config is None:
            try:
                lines = [str(one.input_line) for one in left]
                config = self.loader.load_configuration(self.config_name, lines, RunMode.RUN)
            except (HydraException, ValueError, yaml.YAMLError) as error:
                culprit = next((one for one in left if _is_about(error, one)), None)
                if culprit is None and not refused:
                    raise UserError(self._without_culprit(error)) from error
                if culprit is None:
                    break  # the config needs the choice that was refused
                left.remove(culprit)
                refused.append((culprit, error))
        if refused:
            raise UserError("\n".join(self._explain(*one, config) for one in refused)) from refused[0][1]
        assert config is not None
        return config

    def _without_culprit(self, error: Exception) -> str:
        if isinstance(error, MissingConfigException) and error.missing_cfg_file == self.config_name:
            options = set(self.loader.get_group_options("", ObjectType.CONFIG)) - {"_dummy_empty_config_"}
            return f"Could not find the config '{self.config_name}'. {did_you_mean(self.config_name, options)}"
        return f"Cannot read a config file: {_brief(error)}" if isinstance(error, yaml.YAMLError) else _brief(error)

    def _explain(self, override: Override, error: Exception, config: DictConfig | None) -> str:
        key, line = override.key_or_group, str(override.input_line)
        if key in RENAMED:
            return renamed(key, line.partition("=")[2])
        if isinstance(error, MissingConfigException) and error.options is not None:
            option = str(error.missing_cfg_file)
            name = option.removeprefix(f"{key}/")
            return f"Could not find '{option}'. {did_you_mean(name, error.options)}"
        if override.is_add():
            return f"'{key}' is already in the config: write {line.lstrip('+')} to change it."
        if config is not None and str(error).startswith((f"Could not override '{key}'", "Could not delete from")):
            return self._unknown(key, line, config) or _brief(error)
        return _brief(error)

    def _unknown(self, key: str, line: str, config: DictConfig) -> str | None:
        """Return what to say of a key that is not there, None where it is."""
        plain: Any = OmegaConf.to_container(config, resolve=False)
        groups = {*self.loader.list_groups(""), *config.hydra.runtime.choices} - {"__pycache__"}
        if not key.startswith("hydr"):  # who means Hydra's own settings says so; else they hide the program's
            plain.pop("hydra")
            groups = {group for group in groups if group.partition("/")[0] != "hydra"}
        every = dict(_flatten(plain))
        if key in every or key in groups:
            return None
        parent = key.rpartition(".")[0]
        while parent and not isinstance(every.get(parent), dict):
            parent = parent.rpartition(".")[0]
        node = every[parent] if parent else plain
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


def _is_about(error: Exception, override: Override) -> bool:
    key, text = override.get_key_element().lstrip("+~"), str(error)
    if isinstance(error, MissingConfigException):
        value = override.value()
        options = value if isinstance(value, list) else [value]
        return error.missing_cfg_file in [f"{override.key_or_group}/{option}" for option in options]
    quoted = f"'{key}'" in text or f"'{key}=" in text or f"override {override.input_line}" in text
    return quoted or (override.is_add() and text.startswith(f"Multiple values for {key}."))


def _flatten(node: dict[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        where = f"{path}.{key}" if path else str(key)
        yield where, value
        if isinstance(value, dict):
            yield from _flatten(value, where)


def _parameters(node: dict[Any, Any]) -> set[str]:
    try:
        return set(parameters_of(node["_target_"]).kinds)
    except (KeyError, LookupError, AttributeError):
        return set()


def _brief(error: Exception) -> str:
    """Return an error of Hydra's on one line, with what OmegaConf said, less its search path and links."""
    told = itertools.takewhile(lambda line: not line.startswith("Config search path"), str(error).splitlines())
    lines = [line.strip() for line in told if line.strip(" ^") and not line.startswith("See https")]
    cause = str(error.__cause__ or "").partition("\n")[0]
    if cause not in " ".join(lines):
        lines.append(cause)
    return " ".join(line if line.endswith((".", "?", ":")) else f"{line}." for line in dict.fromkeys(lines))
