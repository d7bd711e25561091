"""A composed configuration goes in; plain dicts, lists and scalars come out, and the objects that they describe."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf

_HYDRAS_KEYS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def plain_values(config: DictConfig | ListConfig, *, resolve: bool = True) -> Any:
    """Return the configuration as plain values.

    Args:
        config: the configuration, or a part of it.
        resolve: replace interpolations by their values.
    """
    return OmegaConf.to_container(config, resolve=resolve)


def instantiate(node: Any, **arguments: Any) -> Any:
    """Call the ``_target_`` of a plain node, and of the nodes in it, as ``hydra.utils.instantiate`` does.

    Hydra's own would read ``${`` in a resolved path as an interpolation, and wrap each ``UserError``.

    Args:
        node: as ``plain_values`` returns it.
        arguments: replace the node's own.
    """
    if isinstance(node, list):
        return [instantiate(child) for child in node]
    if not isinstance(node, dict):
        return node
    recursive = node.get("_recursive_", True)
    values = {key: instantiate(child) if recursive else child for key, child in node.items() if key not in _HYDRAS_KEYS}
    if node.get("_target_") is None:
        return values | arguments
    call = functools.partial(get_object(node["_target_"]), *node.get("_args_", []), **(values | arguments))
    return call if node.get("_partial_") else call()


def flatten(values: dict[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every node, parents first."""
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        yield where, value
        if isinstance(value, dict):
            yield from flatten(value, where)
