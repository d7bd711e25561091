"""Values that a file holds and a table of the kinds that they must have go in; what differs comes out as one error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstm_readout.errors import UserError

Kinds = Mapping[str, tuple[type, ...]]
NOTHING = type(None)
_PLAIN = (dict, list, tuple, str, bool, int, float, NOTHING)
_MOST_VALUES, _MOST_DEPTH = 200_000, 30


def check_kinds(values: Any, kinds: Kinds, where: str) -> dict[str, Any]:
    """Return the values, a dict whose ``kinds`` are right; a key that is absent counts as None.

    Raises:
        UserError: names ``where``, the key, and what came.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}: wanted keys and values, got {shown(values)}.")
    for key, wanted in kinds.items():
        if type(values.get(key)) not in wanted:  # not isinstance: to Python a bool is an int
            names = " or ".join("null" if kind is NOTHING else kind.__name__ for kind in wanted)
            raise UserError(f"{where}.{key}: wanted {names}, got {shown(values.get(key))}.")
    return values


def check_plain(values: Any, where: str) -> None:
    """Raise ``UserError`` for anything but numbers, text, lists and dicts of them, or for too many or too deep."""
    level, seen = [values], 0
    for _ in range(_MOST_DEPTH):
        seen += len(level)
        if seen > _MOST_VALUES:  # a list in a list in a list can be one object, shown many times
            raise UserError(f"{where}: holds more than {_MOST_VALUES:,} values.")
        strange = [one for one in level if type(one) not in _PLAIN]
        strange += [key for one in level if type(one) is dict for key in one if type(key) not in (str, int)]
        if strange:
            raise UserError(f"{where}: wanted plain values, got a {type(strange[0]).__name__} in it.")
        children = (one.values() if type(one) is dict else one for one in level if type(one) in (dict, list, tuple))
        level = _joined(children)
        if not level:
            return
    raise UserError(f"{where}: is nested more than {_MOST_DEPTH} deep.")


def _joined(children: Any) -> list[Any]:
    level: list[Any] = []
    for values in children:
        level.extend(values)
        if len(level) > _MOST_VALUES:
            break
    return level


def shown(value: Any) -> str:
    """Return a value and its type, shortened."""
    if isinstance(value, (dict, list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value) if isinstance(value, (str, int, float, NOTHING)) else ""
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})".lstrip()
