"""JSON: one object per line, or one array of objects, which is read whole; numbers keep their spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset

from lstm_readout.data.sources.dialect import Format
from lstm_readout.data.sources.open_file import quoted
from lstm_readout.data.sources.part import Part
from lstm_readout.data.sources.row_stream import RowStream
from lstm_readout.data.sources.text_blocks import LONGEST_LINE, first_characters, text_blocks
from lstm_readout.errors import UserError

_FIRST_ROWS = 1000  # of a stream, whose names are its columns
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def objects(path: Path, longest: int | None = None, encoding: str = "auto") -> Iterator[dict[str, Any]]:
    """Yield the objects of a file; a value is a string (numbers and booleans as written), None, a list or a dict.

    Raises:
        UserError: names the line that cannot be read or is not an object.
    """
    if _is_array(path, encoding):
        text = "".join(text for _, text in text_blocks(path, None, encoding))
        halves = _HALF_A_PAIR.search(text) is not None
        for number, found in enumerate(_parsed(text, 1, path), 1):
            yield _row(found, halves, f"row {number:,}", path)
        return
    for first, text in text_blocks(path, longest, encoding):
        for line, one in enumerate(text.split("\n"), first):
            if one.strip():
                halves = _HALF_A_PAIR.search(one) is not None
                yield _row(_parsed(one, line, path), halves, f"line {line:,}", path)


def read_objects(path: Path, given: Format) -> Part[Dataset]:
    """Return all rows, with a column for each name that any of them has."""
    rows = list(objects(path, None, given.encoding))
    names = dict.fromkeys(name for row in rows for name in row)
    return Part(Dataset.from_dict({name: _column([row.get(name) for row in rows]) for name in names}), path.name)


def stream_objects(path: Path, given: Format) -> Part[RowStream]:
    """Return rows that are read one by one; their columns are the names of the first ``FIRST_ROWS``.

    Raises:
        UserError: the file is one array, which must be read whole.
    """
    if _is_array(path, given.encoding):
        raise UserError(
            f"data: '{path}' is one JSON array, which must be read whole. Set data.streaming=false, or write one "
            f"object per line: jq -c '.[]' {quoted(path)} > NEW_FILE.jsonl"
        )
    first = islice(objects(path, LONGEST_LINE, given.encoding), _FIRST_ROWS)
    names = dict.fromkeys(name for row in first for name in row)
    return Part(RowStream(partial(_object_rows, path, given.encoding), dict.fromkeys(names)), path.name)


def _object_rows(path: Path, encoding: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in objects(path, LONGEST_LINE, encoding):
        yield {name: row.get(name) for name in names}


def _is_array(path: Path, encoding: str) -> bool:
    return first_characters(path, encoding).lstrip().startswith("[")


class _Twice(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


_PARSE = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object).decode


def _parsed(text: str, line: int, path: Path) -> Any:
    try:
        return _PARSE(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"data: could not read '{path}', line {line + error.lineno - 1:,}: {error.msg} (column {error.colno}). "
            "Wanted one object per line, or one array of objects."
        ) from error
    except _Twice as error:
        raise UserError(
            f"data: '{path}', line {line:,} or below: an object has '{error}' twice. Rename or remove one."
        ) from error
    except RecursionError as error:
        raise UserError(f"data: '{path}', line {line:,} is nested too deeply to read. Wanted plain values.") from error


def _row(found: Any, halves: bool, where: str, path: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UserError(
            f"data: {where} of '{path}': wanted an object, got {str(found)[:40]!r}. Give each value a name."
        )
    if halves:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # half of a pair, as in "\ud83d" alone
            raise UserError(
                f"data: {where} of '{path}' has an escape that is not a character (half of a pair). Remove it."
            ) from error
    for name, value in found.items():
        if isinstance(value, bool):
            found[name] = json.dumps(value)
    return found


def _column(values: list[Any]) -> list[Any]:
    """Return texts and nulls unchanged; with a list or an object among them, lists: not a text column, but no error."""
    if any(isinstance(value, (list, dict)) for value in values):
        return [[json.dumps(value, ensure_ascii=False)] for value in values]
    return values
