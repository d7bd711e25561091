"""What a caller gives as texts goes in; a list of strings comes out, or an error that says what came instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from lstm_readout.errors import UserError

_SHOWN = 40  # characters of a value in a message


def as_texts(texts: Any) -> list[str]:
    """Return texts as a list: of a list, tuple, array or iterator of strings, or a column of a table.

    Raises:
        UserError: it is one string, a table, a set, or has something other than strings in it.
    """
    kind, wanted = type(texts).__name__, "wanted a list of strings, got"
    if isinstance(texts, (str, PurePath)):
        raise UserError(f"{wanted} one string. Put it in brackets: model([text]).")
    if isinstance(texts, Mapping) or hasattr(texts, "column_names") or hasattr(texts, "columns"):
        raise UserError(f"{wanted} a table ({kind}). Give one column of it: table['text'].")
    if isinstance(texts, (bytes, set, frozenset)) or not isinstance(texts, Iterable):
        raise UserError(f"{wanted} {kind}. Give a list: model(['a text', 'another']).")
    listed = list(texts)
    for row, text in enumerate(listed):
        if not isinstance(text, str):
            shown = repr(text)[:_SHOWN].partition("\n")[0]
            raise UserError(f"texts: row {row} is a {type(text).__name__}, not a string: {shown}. Give strings alone.")
    return [str(text) for text in listed]  # also those of numpy, which are a kind of their own
