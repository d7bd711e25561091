"""What is trained: the ``variants`` of a configuration go in, one checked configuration each comes out."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from lstm_readout.config.build import build_task
from lstm_readout.config.check import check_targets
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError, did_you_mean

log = logging.getLogger(__name__)


class Variant(NamedTuple):
    """One way to read the LSTM."""

    key: str
    name: str  # as the table shows it
    against: str | None  # key of the right one it is measured by; None: others are measured by it
    wrong: bool  # a mistake, expected to lose
    probe: bool  # its first seed's model is looked into
    change: dict[str, Any]  # what it changes in the configuration
    config: dict[str, Any]  # resolved, the change made

    @property
    def overrides(self) -> list[str]:
        """Return the change as overrides of the command line."""
        return sorted(f"{key}={value}" for key, value in _flat(self.change))


def read_variants(config: DictConfig, data: TextDataModule) -> list[Variant]:
    """Return the variants in their order; one that does not fit the configuration is left out, and said so.

    Raises:
        UserError: a variant is not described as it must be, or nothing is left to compare with.
    """
    described = {key: node for key, node in (config.get("variants") or {}).items() if node is not None}
    variants: dict[str, Variant] = {}
    for key, node in described.items():
        variant = _variant(str(key), node, config)
        if variant.against is not None and variant.against not in variants:
            known = [name for name, one in variants.items() if one.against is None]
            raise UserError(
                f"variants.{key}.against: there is no '{variant.against}' before it that stands for itself. "
                f"{did_you_mean(variant.against, known)}"
            )
        try:
            check_targets(
                OmegaConf.create({name: variant.config[name] for name in ("data", "model", "task", "trainer")})
            )
            build_task(variant.config, data)  # what cannot be built is told before anything is trained
        except UserError as error:
            if variant.against is None:
                raise UserError(f"variants.{key}: {error}") from error
            log.warning("left out: %s (%s)", variant.name, error)
            continue
        variants[str(key)] = variant
    if not variants:
        raise UserError("variants: there is none. Choose one, for example variants=classify.")
    return list(variants.values())


def _variant(key: str, node: Any, config: DictConfig) -> Variant:
    if not OmegaConf.is_dict(node):
        raise UserError(f"variants.{key}: wanted name, change and, if it is measured by another, against; got {node}.")
    unknown = set(node) - {"name", "against", "wrong", "probe", "change"}
    if unknown:
        raise UserError(
            f"variants.{key}: there is no '{sorted(unknown)[0]}' here. Valid: name, against, wrong, probe, change."
        )
    change: dict[str, Any] = OmegaConf.to_container(node.get("change") or OmegaConf.create({}))  # pyright: ignore
    merged = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(config, resolve=False)), change)
    assert isinstance(merged, DictConfig)
    keys = ("task", "model", "data", "tokenizer", "vectors", "optimizer", "scheduler", "trainer", "callbacks", "seed")
    keys += ("init_from", "init_into", "init_tokenizer")
    plain: dict[str, Any] = OmegaConf.to_container(  # pyright: ignore[reportAssignmentType]
        OmegaConf.masked_copy(merged, [name for name in keys if name in merged]), resolve=True
    )
    return Variant(
        key,
        str(node.get("name", key)),
        node.get("against"),
        bool(node.get("wrong")),
        bool(node.get("probe")),
        change,
        plain,
    )


def _flat(change: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in change.items():
        pairs += _flat(value, f"{path}{key}.") if isinstance(value, dict) else [(f"{path}{key}", value)]
    return pairs
