"""Parquet: a table by columns; a stream reads only the requested columns, a few rows at a time."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
from datasets import Dataset, Features
from datasets.table import InMemoryTable
from pyarrow import parquet

from lstm_readout.data.sources.dialect import Format
from lstm_readout.data.sources.open_file import open_bytes, reason
from lstm_readout.data.sources.part import Part
from lstm_readout.data.sources.row_stream import RowStream, refuse_twins
from lstm_readout.data.sources.text_blocks import BLOCK
from lstm_readout.errors import UserError

_MOST_GROWTH, _HARMLESS = 200, 1 << 26  # bytes
ROWS, BYTES = 1024, 1 << 20  # per read of a stream: at most this many rows, about this many bytes


def read_parquet(path: Path, given: Format) -> Part[Dataset]:
    """Return all rows."""
    with _open_parquet(path) as file:
        # An Arrow thread that still holds Python's bytes at exit aborts the program
        return Part(Dataset(InMemoryTable(_whole(file, path))), path.name)


def stream_parquet(path: Path, given: Format) -> Part[RowStream]:
    """Return rows that are read a few at a time."""
    with _open_parquet(path) as file:
        stream = RowStream(partial(_parquet_rows, path), Features.from_arrow_schema(file.schema_arrow))
        return Part(stream, path.name)


def _parquet_rows(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with _open_parquet(path, buffer_size=BLOCK) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        width = sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows)
        rows = min(ROWS, BYTES // max(1, width)) or 1  # a row may be a whole book
        for batch in file.iter_batches(batch_size=rows, columns=list(names), use_threads=False):
            columns = [batch.column(name).to_pylist() for name in names]
            for values in zip(*columns, strict=True):
                yield dict(zip(names, values, strict=True))


@contextlib.contextmanager
def _open_parquet(path: Path, **options: Any) -> Iterator[parquet.ParquetFile]:
    """Open a file for the ``with``; a gzip'd one is unpacked to disk first: parquet is read from its end."""
    with open_bytes(path) as file, contextlib.ExitStack() as stack:
        if path.suffix.lower() == ".gz":
            unpacked = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, unpacked)
            file = unpacked
        try:
            # Otherwise an Arrow thread reads a whole row group ahead, and a file may be a single one
            opened = parquet.ParquetFile(file, pre_buffer=False, **options)
            refuse_twins(opened.schema_arrow.names, path)
            yield opened
        except UserError:
            raise
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise UserError(f"data: could not read '{path}' as parquet: {reason(error)}. Write it again.") from error


def _whole(file: parquet.ParquetFile, path: Path) -> pyarrow.Table:
    """Return all rows; refuse far more than the file is long: a text repeated without end is a few bytes."""
    batches, done, most = [], 0, _HARMLESS + _MOST_GROWTH * path.stat().st_size
    for batch in file.iter_batches(batch_size=ROWS, use_threads=False):
        batches.append(batch)
        done += batch.nbytes
        if done > most:
            raise UserError(
                f"data: '{path}' unpacks to more than {_MOST_GROWTH} times its size, as no text does. "
                "Write it again without the repeated rows."
            )
    return pyarrow.Table.from_batches(batches, file.schema_arrow)
