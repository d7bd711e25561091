"""Plain text: a line is a row. Parallel files: line i of each is row i."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from datasets import Dataset, Value

from lstm_readout.data.sources.dialect import Format
from lstm_readout.data.sources.part import Part
from lstm_readout.data.sources.row_stream import TEXT_COLUMN, RowStream
from lstm_readout.data.sources.text_blocks import LONGEST_LINE, text_blocks
from lstm_readout.errors import UserError

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


_SHOWN = 5  # lines of the head


def lines(path: Path, longest: int | None = None, encoding: str = "auto") -> Iterator[str]:
    """Return an iterator over the lines of a file, without their ``\\n`` or ``\\r\\n``."""
    blocks = (text for _, text in text_blocks(path, longest, encoding))
    return chain.from_iterable(text.replace("\r\n", "\n").removesuffix("\n").split("\n") for text in blocks)


def read_lines(path: Path, given: Format) -> Part[Dataset]:
    """Return one row per line."""
    rows = list(lines(path, None, given.encoding))
    return Part(Dataset.from_dict({TEXT_COLUMN: rows}), path.name, head=_head(rows), is_plain=True)


def read_document(path: Path, given: Format) -> Part[Dataset]:
    """Return one row: the whole text."""
    text = "".join(text for _, text in text_blocks(path, None, given.encoding))
    return Part(
        Dataset.from_dict({TEXT_COLUMN: [text.replace("\r\n", "\n")] if text else []}), path.name, is_plain=True
    )


def stream_lines(path: Path, given: Format) -> Part[RowStream]:
    """Return one row per line."""
    stream = RowStream(partial(_line_rows, path, given.encoding), {TEXT_COLUMN: Value("string")})
    return Part(stream, path.name, head=_head(lines(path, LONGEST_LINE, given.encoding)), is_plain=True)


def read_parallel(paths: Mapping[str, Path], given: Format) -> Part[Dataset]:
    """Return a row for each line that the files share, with a column for each file.

    Raises:
        UserError: the files differ in number of lines; the message gives each.
    """
    _refuse_tables(paths)
    columns = {name: list(lines(path, None, given.encoding)) for name, path in paths.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise _unequal(paths, [len(column) for column in columns.values()])
    return Part(Dataset.from_dict(columns), _joined(paths))


def stream_parallel(paths: Mapping[str, Path], given: Format) -> Part[RowStream]:
    """Return the rows of ``read_parallel``; a different number of lines is noticed where the shortest file ends."""
    _refuse_tables(paths)
    opens = partial(_parallel_rows, dict(paths), given.encoding)
    return Part(RowStream(opens, {name: Value("string") for name in paths}), _joined(paths))


def _line_rows(path: Path, encoding: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines(path, LONGEST_LINE, encoding):
        yield {TEXT_COLUMN: line}


def _parallel_rows(paths: Mapping[str, Path], encoding: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        for row in zip(*(lines(path, LONGEST_LINE, encoding) for path in paths.values()), strict=True):
            yield dict(zip(paths, row, strict=True))
    except UserError:
        raise
    except ValueError as error:  # from zip; a UserError is one as well
        counts = [sum(1 for _ in lines(path, None, encoding)) for path in paths.values()]
        raise _unequal(paths, counts) from error


def _head(rows: Iterable[str]) -> list[list[str]]:
    """Return the first lines, cut at tabs, which show a table that is not named so."""
    return [line.split("\t") for line in islice(rows, _SHOWN)]


def _joined(paths: Mapping[str, Path]) -> str:
    return ", ".join(path.name for path in paths.values())


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
