"""A composed configuration goes in; plain dicts, lists and scalars come out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


def plain_values(config: DictConfig | ListConfig, *, resolve: bool = True) -> Any:
    """Return the configuration as plain values.

    Args:
        config: the configuration, or a part of it.
        resolve: replace interpolations by their values.
    """
    return OmegaConf.to_container(config, resolve=resolve)


def flatten(values: dict[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every node, parents first."""
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        yield where, value
        if isinstance(value, dict):
            yield from flatten(value, where)


def leaves(values: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every node that is not a dict itself."""
    yield from (pair for pair in flatten(values) if not isinstance(pair[1], dict))
