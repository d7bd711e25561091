"""Plain text: a line is a row. Parallel files: line i of each is row i."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from datasets import Dataset, Value

from lstm_readout.data.sources.row_stream import TEXT_COLUMN, RowStream
from lstm_readout.data.sources.text_blocks import LONGEST_LINE, text_blocks
from lstm_readout.errors import UserError

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def lines(path: Path, longest: int | None = None) -> Iterator[str]:
    """Return an iterator over the lines of a file, without their ``\\n`` or ``\\r\\n``."""
    blocks = (text for _, text in text_blocks(path, longest))
    return chain.from_iterable(text.replace("\r\n", "\n").removesuffix("\n").split("\n") for text in blocks)


def read_lines(path: Path) -> Dataset:
    """Return one row per line."""
    return Dataset.from_dict({TEXT_COLUMN: list(lines(path))})


def read_document(path: Path) -> Dataset:
    """Return one row: the whole text."""
    text = "".join(text for _, text in text_blocks(path))
    return Dataset.from_dict({TEXT_COLUMN: [text.replace("\r\n", "\n")] if text else []})


def stream_lines(path: Path) -> RowStream:
    """Return one row per line."""
    return RowStream(partial(_line_rows, path), {TEXT_COLUMN: Value("string")})


def read_parallel(paths: Mapping[str, Path]) -> Dataset:
    """Return a row for each line that the files share, with a column for each file.

    Raises:
        UserError: the files differ in number of lines; the message gives each.
    """
    _refuse_tables(paths)
    columns = {name: list(lines(path)) for name, path in paths.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise _unequal(paths, [len(column) for column in columns.values()])
    return Dataset.from_dict(columns)


def stream_parallel(paths: Mapping[str, Path]) -> RowStream:
    """Return the rows of ``read_parallel``; a different number of lines is noticed where the shortest file ends."""
    _refuse_tables(paths)
    return RowStream(partial(_parallel_rows, dict(paths)), {name: Value("string") for name in paths})


def _line_rows(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines(path, LONGEST_LINE):
        yield {TEXT_COLUMN: line}


def _parallel_rows(paths: Mapping[str, Path], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        for row in zip(*(lines(path, LONGEST_LINE) for path in paths.values()), strict=True):
            yield dict(zip(paths, row, strict=True))
    except UserError:
        raise
    except ValueError as error:  # from zip; a UserError is one as well
        raise _unequal(paths, [sum(1 for _ in lines(path)) for path in paths.values()]) from error


def _unequal(paths: Mapping[str, Path], counts: Sequence[int]) -> UserError:
    described = ", ".join(f"'{path}' has {count:,}" for path, count in zip(paths.values(), counts, strict=True))
    return UserError(
        f"data: parallel files must have the same number of lines: {described}. "
        "Line i of one must translate line i of the other."
    )


def _refuse_tables(paths: Mapping[str, Path]) -> None:
    for name, path in paths.items():
        if path.name.lower().removesuffix(".gz").endswith(_TABLES):
            raise UserError(
                f"data.files: parallel files are plain text, one sentence per line; got '{path}' for '{name}'. "
                "For a split, name one file with all columns: data.files.train=FILE."
            )
