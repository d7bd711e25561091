"""Functions as modules: a callable goes in; out comes an ``nn.Module`` that calls it and holds the modules it uses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn


class FunctionModule(nn.Module):
    """Call a function, a method, a ``functools.partial`` or another object that is not an ``nn.Module``.

    The modules that it names (in its closure, among its globals, arguments or attributes) are the children, so that
    their modes and weights are known.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.used = nn.ModuleList(dict.fromkeys(part for part in _named(function) if isinstance(part, nn.Module)))

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function."""
        return self.function(*arguments, **keywords)


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
