"""Functions under examination: a callable goes in; an ``nn.Module`` that holds the modules it uses comes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn


class FunctionModule(nn.Module):
    """The modules that a function, a method, a ``functools.partial`` or another object names.

    They stand in its closure, among its globals, arguments or attributes; their modes and weights are known so.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.used = nn.ModuleList(dict.fromkeys(part for part in _named(function) if isinstance(part, nn.Module)))


def _named(function: Any) -> Iterable[Any]:
    """Return the objects that a callable refers to by name."""
    if isinstance(function, partial):
        return [*function.args, *function.keywords.values(), *_named(function.func)]
    if inspect.ismethod(function):
        return [function.__self__, *_named(function.__func__)]
    if inspect.isfunction(function):
        names = inspect.getclosurevars(function)
        return [*names.nonlocals.values(), *names.globals.values()]
    return vars(function).values() if hasattr(function, "__dict__") else []
