"""Overrides go in, the composed configuration comes out; a refused override is a ``UserError`` with the nearest name.

Hydra's own loader composes, so its search path and order of precedence apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.refusals import brief, chosen_parts, explain_failure, explain_refusal, is_about
from lstm_readout.config.top_keys import RECIPES, top_key_faults
from lstm_readout.config.values import flatten, plain_values
from lstm_readout.errors import UserError

_MUST_BE_GIVEN = "???"


class Loader(ConfigLoaderImpl):
    """Hydra's loader, except that a ``???`` also replaces the value from an earlier file.

    OmegaConf keeps that value, so an experiment could not require what ``train.yaml`` sets to null.

    Attributes:
        defined: the keys at the top of the files that may define some: all but a user's recipes.
    """

    def __init__(self, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self.defined: set[str] = set()
        self._open: set[str] = set()  # keys whose last value is ???

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        self._open, self.defined = set(), {"hydra"}
        config = super()._compose_config_from_defaults_list(defaults, repo)
        for key in self._open:
            OmegaConf.update(config, key, _MUST_BE_GIVEN)
        return config

    def _load_single_config(self, default: ResultDefault, repo: Any) -> ConfigResult:
        loaded = super()._load_single_config(default, repo)
        if isinstance(loaded.config, DictConfig):
            group = (default.config_path or "").partition("/")[0]
            if loaded.path.startswith("pkg://") or group not in RECIPES:
                self.defined |= {str(key) for key in loaded.config}
            values = dict(flatten(plain_values(loaded.config, resolve=False)))
            self._open -= values.keys()
            program = {key: value for key, value in values.items() if key.partition(".")[0] != "hydra"}
            self._open |= {key for key, value in program.items() if value == _MUST_BE_GIVEN}
        return loaded


@dataclass
class Composer:
    """Hydra's loader, with its refusals raised as ``UserError``."""

    loader: Loader
    config_name: str

    def parse(self, text: str) -> Override:
        """Return the override in one word of the command line."""
        try:
            override = OverridesParser.create(config_loader=self.loader).parse_overrides([text])[0]
        except OverrideParseException as error:
            why = brief(error).removeprefix(f"Error parsing override '{text}'. ")
            raise UserError(f"Cannot read '{text}': {why} Wanted key=value; quote text.") from error
        key = override.key_or_group
        if not key:
            raise UserError(f"Cannot read '{text}': it has no key. Wanted key=value.")
        if self.loader.repository.group_exists(key) and not override.is_delete() and override.value() is None:
            raise UserError(f"'{text}' names no file. To leave the group out, write ~{key}.")
        return override

    def compose(self, overrides: list[Override]) -> DictConfig:
        """Compose; continue without an override that Hydra refuses, so that one error lists all faults."""
        refused: list[tuple[Override, Exception]] = []
        left = list(overrides)
        while True:
            try:
                lines = [str(one.input_line) for one in left]
                config = self.loader.load_configuration(self.config_name, lines, RunMode.RUN)
                break
            except (HydraException, ValueError, yaml.YAMLError) as error:
                culprit = next((one for one in left if is_about(error, one)), None)
                if culprit is None and not refused:
                    raise UserError(explain_failure(self.loader, self.config_name, error)) from error
                if culprit is None:
                    config = None  # the config needs the choice that was refused
                    break
                left.remove(culprit)
                refused.append((culprit, error))
        faults = [explain_refusal(self.loader, override, error, config) for override, error in refused]
        if config is not None:
            faults += chosen_parts(self.loader, config)
            faults += top_key_faults(self.loader, self.config_name, config, overrides, self.loader.defined)
        if config is None or faults:
            raise UserError("\n".join(faults)) from (refused[0][1] if refused else None)
        return config


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the program's part of a configuration."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
