"""A configuration with ``auto`` values and the data that it is for go in; values that suit this data replace them.

The rules are in ``suited.py``. A value that the user gives is never replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lstm_readout.config.signature import parameters_of
from lstm_readout.config.suited import KEYS, Size, suited, suited_tokenizer
from lstm_readout.config.values import leaves
from lstm_readout.data.module import TextDataModule

log = logging.getLogger(__name__)

AUTO = "auto"
_SIDES = ("model.encoder.", "model.decoder.")  # whose values are those of the whole model


def is_open(key: str, value: Any) -> bool:
    """Return whether the value at a dotted key is still to be chosen; elsewhere ``auto`` has a meaning of its own."""
    return value == AUTO and _of_model(key) in KEYS


def choose_tokenizer(config: dict[str, Any], roles: Mapping[str, str]) -> None:
    """Choose what is open in ``tokenizer``, in place: the data cannot be read before."""
    tokenizer = {"tokenizer": config.get("tokenizer")}
    if _open_keys(tokenizer):
        _replace(tokenizer, suited_tokenizer(roles))


def choose_settings(config: dict[str, Any], data: TextDataModule, resumed: Mapping[str, Any] | None = None) -> None:
    """Choose everything else that is open, in place: whatever reads the configuration later sees the values.

    Args:
        config: the configuration.
        data: the training data; its batch size is set here.
        resumed: the configuration in the checkpoint of a resumed run, whose values are used again.
    """
    if not _open_keys(config):
        return
    size = Size.of(data)
    config["settings"] = _replace(config, (resumed or {}).get("settings") or suited(size, config, data.roles))
    data.batching = data.batching.updated(config["data"])
    values = " ".join(f"{key}={value}" for key, value in config["settings"].items())
    log.info("settings for %s: %s", size, values)


def without_open(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node of the configuration without the values that are not chosen yet."""
    return {key: value for key, value in node.items() if value != AUTO}


def save_settings(config: Mapping[str, Any], folder: Path) -> None:
    """Write the chosen values into the configuration that Hydra saved before the data was read."""
    path, chosen = folder / ".hydra" / "config.yaml", config.get("settings")
    if not isinstance(chosen, dict) or not path.is_file():
        return
    saved, values = yaml.safe_load(path.read_text(encoding="utf-8")), dict(leaves(dict(config)))
    for key in [key for key, _ in leaves(saved) if key in KEYS & values.keys()]:
        node, name = _place(saved, key)
        node[name] = values[key]
    write_yaml(saved, path)


def write_yaml(values: Any, path: Path) -> None:
    """Write plain values into a file, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    partial.replace(path)


def _open_keys(config: Mapping[str, Any]) -> list[str]:
    return [key for key, value in leaves(dict(config)) if is_open(key, value)]


def _of_model(key: str) -> str:
    """Return the key of the whole model for that of one side of a translator."""
    side = next((side for side in _SIDES if key.startswith(side)), None)
    return key if side is None else f"model.{key.removeprefix(side)}"


def _replace(config: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put the values where the configuration is open, and remove a key that its target does not take.

    Returns:
        Key -> value, for those of ``values`` that were used.
    """
    used: dict[str, Any] = {}
    for key in _open_keys(config):
        node, name = _place(config, key)
        of_model = _of_model(key)
        if of_model in values and _takes(node, name):
            node[name] = used[of_model] = values[of_model]
        else:
            del node[name]
    return used


def _place(config: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """Return the node that holds a dotted key, and the name there."""
    *path, name = key.split(".")
    for part in path:
        config = config[part]
    return config, name


def _takes(node: Mapping[str, Any], name: str) -> bool:
    """Return whether the target of a node names this parameter; a node without a target takes everything."""
    return "_target_" not in node or name in parameters_of(node["_target_"]).kinds
