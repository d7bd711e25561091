"""The dotted path of a ``_target_`` goes in; the parameters that it takes and their kinds come out.

A kind is an annotation: ``accepts`` checks a value against it, ``complaint`` describes a wrong one.
An annotation that is none of the plain kinds below (a module, a callable) accepts everything.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import sys
import types
import typing
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

from lstm_readout.errors import did_you_mean

_LISTS = (list, tuple, Sequence, MutableSequence)
_DICTS = (dict, Mapping, MutableMapping)
_PLAIN = (bool, int, float, str)


class _Unknown:
    """A value that cannot be read yet; every kind accepts it."""

    def __repr__(self) -> str:
        return "???"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Parameters:
    """What a target takes: the kind of each parameter, and that of further keywords (None: takes none)."""

    target: str
    kinds: dict[str, Any]
    others: Any


def parameters_of(path: str) -> Parameters:
    """Return what the class or function at the dotted ``path`` takes.

    Raises:
        LookupError: it does not exist; the message names the path and the nearest name.
    """
    target = _locate(path)
    if not callable(target):
        raise LookupError(f"'{path}' cannot be called ({type(target).__name__}).")
    name = getattr(target, "__qualname__", path).rpartition("<locals>.")[2]
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):  # some builtins have none: accept everything
        return Parameters(name, {}, Any)
    function: Any = target
    if isinstance(target, type):
        function = target.__init__ if target.__init__ is not object.__init__ else target.__new__
    parameters = _parameters(name, signature, getattr(inspect.unwrap(function), "__globals__", {}))
    if parameters.others is Any and isinstance(target, type):
        parameters = _with_those_of_base(parameters, target)
    choices = getattr(target, "choices", dict)()
    parameters.kinds.update({key: typing.Literal[tuple(values)] for key, values in choices.items()})
    return parameters


def _with_those_of_base(parameters: Parameters, target: type) -> Parameters:
    """Add what the base class takes where ``**arguments`` go on to it: then no other names are valid."""
    base = next((one for one in target.__mro__[1:] if "__init__" in vars(one)), object)
    if base is object or "lstm_readout" not in target.__module__:
        return parameters
    signature = inspect.signature(base)
    taken = _parameters(parameters.target, signature, getattr(inspect.unwrap(base.__init__), "__globals__", {}))
    return Parameters(parameters.target, taken.kinds | parameters.kinds, taken.others)


def _parameters(name: str, signature: inspect.Signature, names: dict[str, Any]) -> Parameters:
    kinds: dict[str, Any] = {}
    others: Any = None
    for parameter in signature.parameters.values():
        kind = _resolve(parameter.annotation, names)
        if parameter.kind is parameter.VAR_KEYWORD:
            of_unpack = typing.get_args(kind)
            if of_unpack and _is_typed_dict(of_unpack[0]):  # **options: Unpack[Options]
                kinds.update(typing.get_type_hints(of_unpack[0]))
            else:
                others = kind
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            kinds[parameter.name] = typing.Optional[kind] if parameter.default is None else kind  # noqa: UP045
    return Parameters(name, kinds, others)


def _resolve(annotation: Any, names: dict[str, Any]) -> Any:
    """Return the annotation as an object, Any where there is none or it uses names that are not imported."""
    if annotation is inspect.Parameter.empty:
        return Any
    # One at a time: a name imported only for type checkers must not hide the others.
    holder = types.SimpleNamespace(__annotations__={"kind": annotation})
    try:
        return typing.get_type_hints(typing.cast(Any, holder), names)["kind"]
    except Exception:
        return Any


def _locate(path: str) -> Any:
    found: Any = None
    parts = path.split(".")
    for position, part in enumerate(parts):
        prefix = ".".join(parts[: position + 1])
        try:
            is_module = position == 0 or (isinstance(found, types.ModuleType) and not hasattr(found, part))
            found = importlib.import_module(prefix) if is_module else getattr(found, part)
        except Exception as error:
            absent = isinstance(error, AttributeError) or getattr(error, "name", None) == prefix
            if not absent:
                raise LookupError(f"cannot import '{path}': {type(error).__name__}: {error}") from error
            hint = _nearest_attribute(found, parts[:position], part)
            where = "" if prefix == path else f": there is no '{prefix}'"
            raise LookupError(f"cannot find '{path}'{where}.{hint}") from error
    return found


def _nearest_attribute(owner: Any, parents: list[str], name: str) -> str:
    valid = {module.partition(".")[0] for module in sys.modules} if owner is None else set(dir(owner))
    if isinstance(owner, types.ModuleType) and hasattr(owner, "__path__"):
        valid |= {module.name for module in pkgutil.iter_modules(owner.__path__)}
    nearest = difflib.get_close_matches(name, sorted(valid), n=1)
    return f" Did you mean '{'.'.join([*parents, nearest[0]])}'?" if nearest else ""


def accepts(kind: Any, value: Any) -> bool:
    """Return whether a plain value is of the annotated kind; a kind that is not plain accepts everything."""
    if value is UNKNOWN or (isinstance(value, dict) and "_target_" in value):
        return True
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if kind in _PLAIN:
        # Not isinstance: to Python a bool is an int, but here it is a mistake; an int is a valid float.
        return type(value) is kind or (kind is float and type(value) is int)
    if kind is type(None):
        return value is None
    if origin in (typing.Union, types.UnionType):
        if type(value) in _PLAIN and any(one in _PLAIN for one in arguments):
            # "float | Tensor" takes numbers, so a string is not meant for the Tensor.
            arguments = tuple(one for one in arguments if not _is_opaque(one))
        return any(accepts(one, value) for one in arguments)
    if origin is typing.Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin in _LISTS:
        return isinstance(value, list) and _accepts_elements(origin, arguments, value)
    if origin in _DICTS:
        kind_of_value = arguments[1] if len(arguments) == 2 else Any
        return isinstance(value, dict) and all(accepts(kind_of_value, one) for one in value.values())
    return not _is_typed_dict(kind) or isinstance(value, dict)


def _is_typed_dict(kind: Any) -> bool:
    # typing.is_typeddict does not recognise those of typing_extensions, needed for Python 3.10.
    return _is_class(kind) and issubclass(kind, dict) and hasattr(kind, "__total__")


def _is_opaque(kind: Any) -> bool:
    return _is_class(kind) and kind.__module__ != "builtins" and not hasattr(kind, "__fspath__")


def _is_class(kind: Any) -> bool:
    # In Python 3.10 list[int] is an instance of type as well.
    return isinstance(kind, type) and typing.get_origin(kind) is None


def _accepts_elements(origin: Any, arguments: tuple[Any, ...], values: list[Any]) -> bool:
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return len(values) == len(arguments) and all(map(accepts, arguments, values))
    return all(accepts(arguments[0] if arguments else Any, value) for value in values)


def complaint(kind: Any, value: Any, where: str) -> str:
    """Return the error text for the value at the key path ``where``, which is not of the kind."""
    choices = list(_alternatives(kind))
    if isinstance(value, str) and all(typing.get_origin(one) is typing.Literal for one in choices):
        return f"got '{value}'. {did_you_mean(value, [str(c) for one in choices for c in typing.get_args(one)])}"
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    got = "null" if value is None else f"{shown} ({type(value).__name__})"
    hint = ""
    if isinstance(value, str) and any(one in (int, float) for one in choices) and _is_number(value):
        hint = " Write it without quotes."
    elif isinstance(value, str) and bool in choices:
        hint = " Write true or false."
    elif str in choices and type(value) in (bool, int, float):
        hint = f" For text, write {where}=\"'{value}'\"."
    return f"wanted {_describe(kind)}, got {got}.{hint}"


def _alternatives(kind: Any) -> Iterator[Any]:
    """Yield the kinds of a union one by one, without None."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        for one in typing.get_args(kind):
            yield from _alternatives(one)
    elif kind is not type(None):
        yield kind


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _describe(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return "null"
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_describe, arguments))
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)} ({', '.join(map(_describe, arguments))})"
    if origin in _LISTS or kind in _LISTS:
        return f"list of {_describe(arguments[0])}" if arguments else "list"
    if origin in _DICTS or kind in _DICTS or _is_typed_dict(kind):
        return "dict"
    return getattr(kind, "__name__", str(kind))
