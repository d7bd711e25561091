"""Small files that hold, or announce, far more than they are long end in one line before the memory does."""

import gzip
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.pretrained.vector_file import VectorFile


def packed(path: Path, beginning: bytes, block: bytes) -> Path:
    one = gzip.compress(block * 64)
    path.write_bytes(gzip.compress(beginning) + one * 40)
    assert path.stat().st_size < 20e6
    return path


def read(path: Path) -> None:
    roles = {"text": "text", "label": "label"}
    TextDataModule(roles=roles, batch_type=ClassifyBatch, name="files", path=str(path)).setup()  # pyright: ignore


def test_text_that_was_packed_a_thousandfold(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.csv.gz", b"text,label\n", b"a" * (1 << 16))
    with pytest.raises(UserError, match=r"a\.csv\.gz' unpacks to more than 200 times its size"):
        read(path)


@pytest.mark.parametrize("block", [b"9 " * (1 << 15), (b"b " + b"0 " * 8 + b"\n") * 4000])
def test_word_vectors_that_were_packed_a_thousandfold(tmp_path: Path, block: bytes) -> None:
    path = packed(tmp_path / "a.vec.gz", b"a 1 2 3 4 5 6 7 8\n", block)
    with pytest.raises(UserError, match=r"unpacks to more than 200 times|wanted a word and 8 numbers") as error:
        VectorFile(path).read(["a", "z"])
    assert "\n" not in str(error.value)


def test_word_vectors_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_bytes(b"a 1 2\n" + b"b 1 " * (1 << 21))
    with pytest.raises(UserError, match=r"line 2: wanted a word and 2 numbers on one line"):
        VectorFile(tmp_path / "a.vec").read(["a", "z"])


def test_rows_that_are_one_row_many_times(tmp_path: Path) -> None:
    few = pyarrow.table({"text": ["a film"] * 100_000, "label": ["good"] * 100_000})
    parquet.write_table(pyarrow.concat_tables([few] * 50), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(UserError, match=r"a\.parquet' unpacks to more than 200 times its size"):
        read(tmp_path / "a.parquet")
