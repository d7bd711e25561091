"""What is trained: the ``variants`` of a configuration go in, one checked configuration for each comes out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.build import build_task, task_class_of
from lstm_readout.config.check import check_targets
from lstm_readout.config.settings import choose_settings, choose_tokenizer
from lstm_readout.config.values import leaves, plain_values
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError, did_you_mean

log = logging.getLogger(__name__)

_FIELDS = ("name", "against", "wrong", "probe", "change")
_CHECKED = ("data", "model", "task", "optimizer", "scheduler", "trainer", "callbacks")
_TRAINED = (*_CHECKED, "tokenizer", "vectors", "seed", "init_from", "init_into", "init_tokenizer", "init_from_counts")


class Variant(NamedTuple):
    """One configuration of a comparison."""

    key: str
    name: str  # in the table
    against: str | None  # key of the variant it is compared with; None: others are compared with it
    wrong: bool  # a mistake, expected to lose
    probe: bool  # the model of its first seed is examined
    change: dict[str, Any]  # what it changes in the configuration
    config: dict[str, Any]  # resolved, with the change

    @property
    def overrides(self) -> list[str]:
        """Return the change as overrides of the command line."""
        return sorted(f"{key}={value}" for key, value in leaves(self.change))


def read_variants(config: DictConfig, data: TextDataModule) -> list[Variant]:
    """Return the variants in their order.

    A variant that does not fit the configuration, or changes nothing in it, is left out, and the log says so.

    Raises:
        UserError: a variant is described wrongly, or there is none.
    """
    variants: dict[str, Variant] = {}
    unchanged: list[str] = []
    for key, node in (config.get("variants") or {}).items():
        if node is None:
            continue
        variant = _variant(str(key), node, config)
        if variant.against is None:
            _check(variant, data, f"variants.{key}: ")
        elif _trained(variant) == _trained(_against(variant, variants)):
            unchanged.append(variant.name)
            continue
        else:
            try:
                _check(variant, data)
            except UserError as error:
                log.warning("left out: %s (%s)", variant.name, error)
                continue
        variants[variant.key] = variant
    if unchanged:
        log.info("left out, because they change nothing here: %s", ", ".join(unchanged))
    if not variants:
        raise UserError("variants: there is none. Choose one, for example variants=classify.")
    return list(variants.values())


def _variant(key: str, node: Any, config: DictConfig) -> Variant:
    if not OmegaConf.is_dict(node):
        raise UserError(
            f"variants.{key}: wanted name, change and, if it is compared with another, against; got {node}."
        )
    unknown = sorted(set(node) - set(_FIELDS))
    if unknown:
        raise UserError(f"variants.{key}: there is no '{unknown[0]}' here. Valid: {', '.join(_FIELDS)}.")
    change = plain_values(node.get("change") or OmegaConf.create({}), resolve=False)
    changed = cast(DictConfig, OmegaConf.merge(OmegaConf.create(plain_values(config, resolve=False)), change))
    names = [name for name in _TRAINED if name in changed]
    trained = plain_values(OmegaConf.masked_copy(changed, names))
    choose_tokenizer(trained, task_class_of(trained).roles)
    return Variant(
        key=key,
        name=str(node.get("name", key)),
        against=node.get("against"),
        wrong=bool(node.get("wrong")),
        probe=bool(node.get("probe")),
        change=change,
        config=trained,
    )


def _against(variant: Variant, earlier: Mapping[str, Variant]) -> Variant:
    """Return the variant that this one is compared with."""
    references = {key: one for key, one in earlier.items() if one.against is None}
    if variant.against not in references:
        raise UserError(
            f"variants.{variant.key}.against: no earlier variant '{variant.against}' without an against of its own. "
            f"{did_you_mean(str(variant.against), references)}"
        )
    return references[variant.against]


def _trained(variant: Variant) -> dict[str, Any]:
    """Return what decides its training; a callback of null is the same as none."""
    callbacks = {name: node for name, node in variant.config.get("callbacks", {}).items() if node is not None}
    return variant.config | {"callbacks": callbacks}


def _check(variant: Variant, data: TextDataModule, where: str = "") -> None:
    """Build the model, so that what cannot be built is refused before anything is trained."""
    try:
        check_targets(OmegaConf.create({name: variant.config[name] for name in _CHECKED if name in variant.config}))
        choose_settings(variant.config, data)
        build_task(variant.config, data)
    except UserError as error:
        raise UserError(f"{where}{error}") from error
