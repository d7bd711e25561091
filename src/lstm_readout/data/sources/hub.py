"""The id of a repository of the Hugging Face hub goes in; the rows of each split come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import datasets
from datasets import Dataset, IterableDataset

from lstm_readout.data.sources.files import DATA_FOLDER
from lstm_readout.data.sources.layouts import SPLITS
from lstm_readout.data.sources.open_file import reason
from lstm_readout.data.sources.row_stream import TEXT_COLUMN, RowStream
from lstm_readout.errors import UserError

ROWS = 100  # per read of a stream


def read_hub(
    path: str | None = None,
    revision: str | None = None,
    *,
    name: str | None = None,
    joined: bool = False,
    rename: Mapping[str, str] | None = None,
) -> dict[str, Dataset]:
    """Load a script-free hub repository at a pinned revision.

    Args:
        path: the repository's id.
        revision: the commit.
        name: which of its configurations, if it has several.
        joined: the texts of all splits, one after another, are one document, to be split again.
        rename: the hub's name of a column -> the local copy's.

    Raises:
        UserError: no commit is named, or the repository could not be loaded.
    """
    splits = _load(path, revision, name, rename)
    if joined:
        texts = [text for split in SPLITS if split in splits for text in splits[split][TEXT_COLUMN]]
        return {"train": Dataset.from_dict({TEXT_COLUMN: ["".join(texts)]})}
    return splits


def stream_hub(
    path: str | None = None,
    revision: str | None = None,
    *,
    name: str | None = None,
    joined: bool = False,
    rename: Mapping[str, str] | None = None,
) -> dict[str, RowStream]:
    """Open a hub repository, to be read row by row over the network.

    Args:
        path: as for ``read_hub``.
        revision: as for ``read_hub``.
        name: as for ``read_hub``.
        joined: refused: one row would be the whole corpus.
        rename: as for ``read_hub``.

    Raises:
        UserError: as ``read_hub`` does; for later faults, during iteration.
    """
    if joined:
        raise UserError(
            "data.hub.joined=true: the whole corpus would be one row, which a stream cannot hold. "
            "Set data.streaming=false."
        )
    return {
        split: _stream(part, str(path)) for split, part in _load(path, revision, name, rename, streaming=True).items()
    }


def _load(
    path: str | None, revision: str | None, name: str | None, rename: Mapping[str, str] | None, **options: Any
) -> dict[str, Any]:
    if path is None or revision is None:
        raise UserError(
            f"data.hub: wanted path and revision (a commit, so that the rows cannot change), got {path}, {revision}."
        )
    try:
        loaded = datasets.load_dataset(path, name, revision=revision, **options)
        return {str(split): part.rename_columns(dict(rename or {})) for split, part in loaded.items()}
    except Exception as error:
        raise _unloadable(path, error) from error


def _stream(rows: IterableDataset, path: str) -> RowStream:
    features = rows.features
    if features is None:  # some formats know their columns only from the first rows
        features = dict.fromkeys(next(_hub_rows(rows, path, []), {}))
    return RowStream(partial(_hub_rows, rows, path), features)


def _hub_rows(rows: IterableDataset, path: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        # Not iter(rows): inside a DataLoader's worker that yields only the worker's share
        for columns in rows.iter(batch_size=ROWS):
            for values in zip(*columns.values(), strict=True):
                yield dict(zip(columns, values, strict=True))
    except Exception as error:
        raise _unloadable(path, error) from error


def _unloadable(path: str, error: Exception) -> UserError:
    return UserError(
        f"data: could not load '{path}' from the hub ({reason(error)}). Without a network, set {DATA_FOLDER} "
        "to a folder with a local copy, or use data=files data.path=YOUR_FILE."
    )
