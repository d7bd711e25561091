"""A file for a trained model: one text per row, in the order of the file, whatever its format."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from lstm_readout.data.sources import Format, read_inputs
from lstm_readout.errors import UserError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,text\n1,"good, film"\n2,\n3,"two\nlines, all"\n'),
        ("a.tsv", "id\ttext\n1\tgood, film\n2\t\n3\t\"two\nlines, all\"\n"),
        ("a.csv", "id;text\n1;good, film\n2;\n3;\"two\nlines, all\"\n"),
        ("a.jsonl", '{"id": 1, "text": "good, film"}\n{"id": 2}\n{"id": 3, "text": "two\\nlines, all"}\n'),
        ("a.json", '[{"id": 1, "text": "good, film"}, {"id": 2}, {"id": 3, "text": "two\\nlines, all"}]'),
    ],
)  # fmt: skip
def test_a_table_gives_one_text_per_row_and_keeps_its_columns(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    texts, rows = read_inputs(tmp_path / name, "text", "text", Format())
    assert texts == ["good, film", "", "two\nlines, all"]
    assert rows["id"][:] == ["1", "2", "3"]


def test_a_parquet_file_keeps_its_kinds(tmp_path: Path) -> None:
    Dataset.from_dict({"id": [1, 2], "review": ["a", None], "list": [[1], []]}).to_parquet(tmp_path / "a.parquet")
    texts, rows = read_inputs(tmp_path / "a.parquet", "text", "review", Format())
    assert texts == ["a", ""]
    assert rows.to_list() == [{"id": 1, "review": "a", "list": [1]}, {"id": 2, "review": None, "list": []}]


def test_every_line_of_a_plain_text_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone, two\r\n\n'three\nfour")
    texts, rows = read_inputs(tmp_path / "a.txt", "source", "review", Format())
    assert texts == rows["text"][:] == ["one, two", "", "'three", "four"]


def test_a_table_without_the_column_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,more\na,b\n")
    with pytest.raises(UserError, match=r"data\.columns\.text: '.*a\.csv' has no column 'text'; it has: review, more"):
        read_inputs(tmp_path / "a.csv", "text", None, Format())
    (tmp_path / "a.csv").write_text("good film,pos\nbad film,neg\nso,pos\n")
    texts = read_inputs(tmp_path / "a.csv", "text", 0, Format()).texts
    assert texts == ["good film", "bad film", "so"]
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(UserError, match="has no rows"):
        read_inputs(tmp_path / "a.csv", "text", "text", Format())
