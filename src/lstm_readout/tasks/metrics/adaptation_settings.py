"""Settings of the final metrics: a mapping of the configuration goes in, a checked dataclass comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from inspect import signature
from typing import Any, TypeVar

from lstm_readout.errors import UserError, did_you_mean

_Settings = TypeVar("_Settings")


def settings_of(kind: type[_Settings], where: str, values: Mapping[str, Any] | None) -> _Settings:
    """Build a dataclass of settings from a mapping; raise ``UserError`` for a name that it does not have."""
    known = list(signature(kind).parameters)
    for name in values or {}:
        if name not in known:
            raise UserError(f"{where}: there is no '{name}'. {did_you_mean(name, known)}")
    return kind(**(values or {}))


def check_number(where: str, value: Any) -> None:
    """Raise ``UserError`` unless the value is a number, 0 or more."""
    if not (type(value) in (int, float) and 0 <= value < math.inf):
        raise UserError(f"{where}: wanted a number, 0 or more, or null for none, got {value}.")


def check_share(where: str, value: Any) -> None:
    """Raise ``UserError`` unless the value is a number between 0 and 1."""
    if not (type(value) in (int, float) and 0 <= value <= 1):
        raise UserError(f"{where}: wanted a share between 0 and 1, got {value}.")


def check_whole_number(where: str, value: Any) -> None:
    """Raise ``UserError`` unless the value is a whole number of tokens, 1 or more."""
    if type(value) is not int or value < 1:
        raise UserError(f"{where}: wanted a whole number of tokens, 1 or more, got {value}.")
