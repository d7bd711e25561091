"""Rows go in, SHA-256 hashes that identify them come out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset


def split_hash(rows: Dataset) -> str:
    """Return the SHA-256 of all rows, in order.

    Each row is its cells in the order of the columns; each cell is the number of its UTF-8 bytes, as 8 bytes
    little-endian, then these bytes.
    """
    digest = hashlib.sha256()
    for row in _rows(rows):
        digest.update(row)
    return digest.hexdigest()


def corpus_hash(splits: Mapping[str, Dataset]) -> str:
    """Return the SHA-256 of the sorted SHA-256 of every row of every split.

    It does not depend on which rows a seed holds out.
    """
    digests = sorted(hashlib.sha256(row).digest() for rows in splits.values() for row in _rows(rows))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def described_rows(rows: Dataset) -> dict[str, Any]:
    """Return what tells a split from a changed one, as plain values.

    Returns:
        ``rows``: their number; ``sha256``: see ``split_hash``; ``columns``: the same for each column alone;
        ``in_any_order``: see ``corpus_hash``.
    """
    columns = {name: split_hash(rows.select_columns([name])) for name in rows.column_names}
    hashes = {"sha256": split_hash(rows), "columns": columns, "in_any_order": corpus_hash({"": rows})}
    return {"rows": len(rows)} | hashes


def _rows(rows: Dataset) -> Iterator[bytes]:
    """Yield the bytes of each row; columns are read whole, because iterating over one of `datasets` is slow."""
    for row in zip(*(rows[name][:] for name in rows.column_names), strict=True):
        cells = [cell.encode() for cell in row]
        yield b"".join(len(cell).to_bytes(8, "little") + cell for cell in cells)
