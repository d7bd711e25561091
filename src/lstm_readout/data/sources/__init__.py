"""Where text comes from: a description goes in, a ``datasets.Dataset`` or a ``RowStream`` per split comes out.

Every format has one reader of rows, whose memory does not grow with the file. A ``Dataset`` has all rows in memory; a
``RowStream`` reads them again each time, for files larger than memory.

Files are read here, not through the cache of ``datasets``: it identifies a file by size and time, so it
can return an edited file unchanged, and it hides line numbers. Text is split at ``\\n`` alone: a lone ``\\r`` inside a
sentence would shift every pair of parallel files after it; only a file without any ``\\n`` is split there. Files may
be gzip'd (``.gz``). ``datasets`` loads hub ids.
"""

import datasets

from lstm_readout.data.sources.dialect import Format, plain_name
from lstm_readout.data.sources.files import (
    DATA_FOLDER,
    local_folder,
    read_files,
    stream_files,
)
from lstm_readout.data.sources.hub import read_hub, stream_hub
from lstm_readout.data.sources.inputs import Inputs, read_inputs
from lstm_readout.data.sources.layouts import SPLITS, find_files, listed, unread_files
from lstm_readout.data.sources.part import Part
from lstm_readout.data.sources.roles import select_roles, select_roles_of
from lstm_readout.data.sources.row_stream import RowStream, chained

__all__ = [
    "DATA_FOLDER",
    "SPLITS",
    "Format",
    "Inputs",
    "Part",
    "RowStream",
    "chained",
    "find_files",
    "listed",
    "local_folder",
    "plain_name",
    "read_files",
    "read_hub",
    "read_inputs",
    "select_roles",
    "select_roles_of",
    "stream_files",
    "stream_hub",
    "unread_files",
]

datasets.disable_progress_bars()  # a split is read in seconds; the log gives its size
