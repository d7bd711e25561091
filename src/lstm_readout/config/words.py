"""Words of the command line go in; words that Hydra's own parser reads as they were meant come out.

Hydra's grammar has no letters beyond ASCII, and commas, ``=``, brackets and quotes are its own. Here any letter is one,
and a path or a text is taken as it stands: in a path only quotes around it, ``~`` at its start, ``null`` and
``${resolver:...}`` mean something else.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

_TEXTS = ("text", "target")
_ONE_PATH = re.compile(
    r"checkpoint|resume|init_from|input|output|attention_map|trainer\.default_root_dir"
    r"|hydra\.(run|sweep)\.dir|hydra\.sweep\.subdir|(callbacks|logger)\.\w+\.(dirpath|folder|save_dir)"
)
_PATHS = re.compile(r"ensemble|data\.path|data\.files(\.\w+)*|vectors\.(path|name)|tokenizer\.path")  # also list, dict
_FLAGS = ("--config-dir", "-cd", "--config-path", "-cp")
_NO_LETTER = re.compile(r"[^\w \t()\[\]{},:='\"/\\+.$%*@?|-]|[^\x00-\x7f]")  # of Hydra's grammar
_CODE = re.compile(r"_U([0-9a-f]{6})_")  # what stands for one of these while Hydra parses
_ANY_INTERPOLATION = re.compile(r"(\\*)\$\{")
_NO_RESOLVER = re.compile(r"(\\*)\$\{(?![\w.]+:)")  # as in the name of a file; ${oc.env:HOME} is meant


def readable(words: list[str]) -> list[str]:
    """Return the command line in Hydra's grammar. What it can read already stays as it is."""
    sweeps = any(word in ("-m", "--multirun") for word in words)
    return [_readable(word, sweeps=sweeps) for word in words]


def value_of(words: list[str], key: str) -> str | None:
    """Return the value of ``key``, the last one if there are several, as Hydra's parser reads it: without quotes.

    Returns:
        None where the key is not given or ``null``.
    """
    values = [value for name, value in map(_split, words) if name.lstrip("+") == key and value is not None]
    parsed = _parsed(_readable(f"{key}={values[-1]}", sweeps=False)) if values else None
    if parsed is None:
        return values[-1] if values else None
    value = parsed.value()
    return None if value is None else _resolved(value) if isinstance(value, str) else values[-1]


def is_given(words: list[str], key: str) -> bool:
    """Return whether a word sets ``key``, to whatever value."""
    return any(name.lstrip("+") == key and value is not None for name, value in map(_split, words))


def key_of(word: str) -> str:
    """Return the key that a word adds, sets or deletes."""
    return word.lstrip("+~").partition("=")[0]


def at_home(path: str) -> str:
    """Return a path with the home folder in place of a ``~`` at its start."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # no such user: it is a name
        return path


def _split(word: str) -> tuple[str, str | None]:
    key, separator, value = word.partition("=")
    return key, value if separator else None


def _readable(word: str, *, sweeps: bool) -> str:
    key, value = _split(word)
    name = key.lstrip("+")
    if value is None:
        return word
    if key in _FLAGS:
        return f"{key}={at_home(value)}"
    if name in _TEXTS:
        return f"{key}={_quoted(_escaped(value, _ANY_INTERPOLATION))}"
    parsed = _parsed(f"{key}={_NO_LETTER.sub(_code, value)}")
    if _ONE_PATH.fullmatch(name) or _PATHS.fullmatch(name):
        return _of_paths(word, parsed, sweeps=sweeps and not name.startswith("hydra."))
    if parsed is None or not _NO_LETTER.search(value):
        return word  # Hydra reads it, or explains why not
    return f"{key}={_written(parsed, _decoded)}"


def _of_paths(word: str, parsed: Override | None, *, sweeps: bool) -> str:
    """Return the word with its path, or each of its paths, as Hydra has to read it.

    Args:
        word: with the key of a path.
        parsed: with codes; None where Hydra cannot read it.
        sweeps: a comma separates the values of a sweep.
    """
    key, _, value = word.partition("=")
    name = key.lstrip("+")
    meant = None if parsed is None else parsed._value
    if parsed is not None and (
        (isinstance(meant, ChoiceSweep) and sweeps) or (isinstance(meant, (list, dict)) and _PATHS.fullmatch(name))
    ):
        return f"{key}={_written(parsed, lambda path: _path(name, _decoded(path)))}"
    text = _path(name, _decoded(meant.text) if isinstance(meant, QuotedString) else value)
    plain = _parsed(word)
    as_it_is = plain is not None and plain.value() in (text, None)
    return word if as_it_is else f"{key}={_quoted(text)}"


def _path(name: str, text: str) -> str:
    """Return a path as OmegaConf has to read it; the settings of Hydra refer to others."""
    text = at_home(text)
    return text if name.startswith("hydra.") else _escaped(text.replace("\\${", "${"), _NO_RESOLVER)


def _escaped(text: str, interpolation: re.Pattern[str]) -> str:
    return interpolation.sub(lambda found: found[1] * 2 + "\\${", text)


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def _parsed(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def _written(parsed: Override, change: Callable[[str], str]) -> str:
    """Return the value in Hydra's grammar, with each string in it changed and quoted."""
    value = parsed._value
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    parts = (dataclasses.replace(parsed, _value=_changed(one, change)) for one in values)
    return ",".join(part.get_value_element_as_str() for part in parts)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_changed(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _changed(one, change) for key, one in value.items()}
    text = value.text if isinstance(value, QuotedString) else value
    return QuotedString(change(text), Quote.single) if isinstance(text, str) else value


def _code(letter: re.Match[str]) -> str:
    return f"_U{ord(letter[0]):06x}_"


def _decoded(text: str) -> str:
    return _CODE.sub(lambda found: chr(int(found[1], 16)), text)


def _resolved(text: str) -> str:
    try:
        return str(OmegaConf.create({"value": text})["value"])
    except OmegaConfBaseException:  # it refers to the rest of the configuration
        return text
