"""Rows that are read one by one are the rows that are read at once, in any order of readers and in little memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from torch.utils.data import DataLoader, IterableDataset

from lstm_readout.data.sources import (
    RowStream,
    read_files,
    read_hub,
    select_roles,
    select_roles_of,
    stream_files,
    stream_hub,
    text_blocks,
    text_files,
)
from lstm_readout.errors import UserError

Rows = list[dict[str, Any]]


def in_memory(path: Path, given: Any = None) -> Rows:
    return read_files({"train": given or path.name}, path.parent)["train"][0].rows.to_list()


def streamed(path: Path, given: Any = None) -> RowStream:
    return stream_files({"train": given or path.name}, path.parent)["train"][0].rows


def as_csv(rows: Rows, separator: str = ",") -> bytes:
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def as_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table({name: [row[name] for row in rows] for name in rows[0]}), sink, row_group_size=3)
    return sink.getvalue()


WRITERS: dict[str, Callable[[Rows], bytes]] = {
    "csv": as_csv,
    "tsv": lambda rows: as_csv(rows, "\t"),
    "jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "json": lambda rows: "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode(),
    "parquet": as_parquet,
    # The mark is no text, and keeps a first line that begins with the same character
    "txt": lambda rows: "".join(row["text"] + "\n" for row in rows).encode("utf-8-sig"),
}
# What a format has no way to write; a file of text has no NUL at all
REFUSED = {"txt": "\0\r\n", "csv": "\0", "tsv": "\0"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data(), block=st.integers(1, 40))
def test_what_is_written_comes_back_both_ways(
    kind: str, ending: str, tmp_path: Path, data: st.DataObject, block: int
) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=REFUSED.get(kind, "")))
    columns = ["text"] if kind == "txt" else ["text", "größe, \n", ""]
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, text)), min_size=1, max_size=8))
    path = tmp_path / f"a.{kind}{ending}"
    content = WRITERS[kind](rows)
    path.write_bytes(gzip.compress(content) if ending else content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_blocks, "BLOCK", block)  # so that blocks end inside of lines, cells and characters
        assert list(streamed(path)) == in_memory(path) == rows


@pytest.mark.parametrize("kind", WRITERS)
def test_a_stream_begins_anew_each_time_and_in_another_process(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(WRITERS[kind]([{"text": f"word {i}"} for i in range(10)]))
    stream = streamed(path)
    rows = list(stream)
    assert rows == [{"text": f"word {i}"} for i in range(10)]
    assert next(zip(stream, islice(stream, 3, None), strict=False)) == (rows[0], rows[3])
    assert list(pickle.loads(pickle.dumps(stream))) == list(stream) == rows
    assert stream.column_names == ["text"]
    with path.open("ab") as file:
        file.write(b"" if kind == "parquet" else b'\n{"text": "new"}' if "json" in kind else b"new\n")
    assert len(list(stream)) == (10 if kind == "parquet" else 11)


def test_parallel_files_are_read_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins\r\nzwei\r\n\r\nvier"))
    (tmp_path / "a.en").write_text("one\ntwo\n\nfour\n")
    given = {"source": "a.de.gz", "target": "a.en", "other": None}
    stream = streamed(tmp_path / "a", given)
    assert stream.column_names == ["source", "target"]
    assert list(stream) == in_memory(tmp_path / "a", given)
    assert list(stream.only(["target"]))[1] == {"source": "zwei", "target": "two"}
    (tmp_path / "a.en").write_text("one\ntwo\n\nfour\nfive\n")
    with pytest.raises(UserError, match=r"same number of lines: '.*a\.de\.gz' has 4, '.*a\.en' has 5\. Line i of"):
        list(stream)


def test_parquet_reads_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(as_parquet([{"text": f"word {i}", "more": [i]} for i in range(10)]))
    assert next(iter(streamed(path).only(["text"]))) == {"text": "word 0"}
    assert next(iter(streamed(path))) == {"text": "word 0", "more": [0]}


def test_columns_of_json_are_those_of_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"label": 4.50}\n' + '{"text": "b"}\n' * 998 + '{"text": "c", "late": 1}\n')
    stream = streamed(path)
    assert stream.column_names == ["text", "label"]
    assert list(stream)[:2] == [{"text": "a", "label": None}, {"text": None, "label": "4.50"}]
    assert list(stream)[-1] == {"text": "c", "label": None}


# --- what a stream cannot do


def test_a_whole_text_is_no_stream(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(UserError) as caught:
        stream_files({"train": "a.txt"}, tmp_path, whole=True)
    assert str(caught.value) == (
        "data.whole=true: the whole file would be one row, which a stream cannot hold. "
        "Set data.whole=false (one row per line), or data.streaming=false."
    )


def test_a_line_that_fills_the_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE", text_blocks.BLOCK)
    path = tmp_path / "a b.txt"
    path.write_text("a\n" + "b" * 4 * text_blocks.BLOCK)
    with pytest.raises(UserError) as caught:
        list(streamed(path))
    assert str(caught.value) == (
        f"data: line 2 of '{path}' is longer than 262,144 bytes; a line is a row, which a stream reads whole. "
        f"Split it, for example: fold -s -w 1000 '{path}' > NEW_FILE"
    )
    assert len(in_memory(path)) == 2


def test_an_error_far_below_the_first_rows_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 2000 + "{]\n")
    rows = iter(streamed(path))
    assert len(list(islice(rows, 2000))) == 2000
    with pytest.raises(UserError, match=r"could not read '.*a\.jsonl', line 2,001: "):
        next(rows)


# --- memory


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.parquet.gz", "a.txt", "a.txt.gz"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    rows = [{"text": f"{i} " + "word " * 800} for i in range(8000)]  # 32 MB
    path, kind = tmp_path / name, name.split(".")[1]
    if kind == "parquet":  # one row group, and nothing to save by a dictionary
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, use_dictionary=False, compression="none")
    else:
        path.write_bytes(WRITERS[kind](rows))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    del rows
    pool, default = pyarrow.proxy_memory_pool(pyarrow.default_memory_pool()), pyarrow.default_memory_pool()
    pyarrow.set_memory_pool(pool)
    tracemalloc.start()
    try:
        assert sum(1 for _ in streamed(path)) == 8000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        pyarrow.set_memory_pool(default)
    assert peak + (pool.max_memory() or 0) < 16e6


# --- roles


def test_roles_are_selected_alike_from_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    values = ["a", None, 4, 4.0, 1e5, True, "", "naïve 😀"]
    path.write_text(
        "".join(json.dumps({"review": value, "stars": i, "no": [i]}) + "\n" for i, value in enumerate(values))
    )
    roles, columns = {"text": "text", "label": "label"}, {"text": "review", "label": "stars"}
    stream = select_roles_of(streamed(path), roles, columns, "here")
    assert stream.column_names == ["text", "label"]
    wanted = ["a", "", "4", "4.0", "100000.0", "true", "", "naïve 😀"]
    assert list(stream) == [{"text": text, "label": str(i)} for i, text in enumerate(wanted)]
    read = read_files({"train": path.name}, tmp_path)["train"][0].rows
    assert select_roles(read, roles, columns, "here").to_list() == list(stream)


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("a.csv", b"label\n4\n4.0\n007\nTrue\n", ["4", "4.0", "007", "True"]),
        ("a.jsonl", b'{"label": 4}\n{"label": 4.0}\n{"label": true}\n{"label": "4"}\n', ["4", "4.0", "true", "4"]),
        ("int.parquet", as_parquet([{"label": 4}, {"label": -1}]), ["4", "-1"]),
        ("float.parquet", as_parquet([{"label": 4.0}, {"label": 0.5}]), ["4.0", "0.5"]),
        ("bool.parquet", as_parquet([{"label": True}, {"label": False}]), ["True", "False"]),
    ],
)
def test_numbers_and_truth_values_are_labels_as_they_are_written(
    name: str, content: bytes, labels: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    for select, rows in (
        (select_roles, read_files({"train": name}, tmp_path)),
        (select_roles_of, stream_files({"train": name}, tmp_path)),
    ):
        selected: Any = select(rows["train"][0].rows, {"label": "label"}, {}, "here")  # pyright: ignore[reportArgumentType]
        assert [row["label"] for row in selected] == labels


def test_one_column_may_serve_two_roles(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\na\n")
    roles, columns = {"source": "text", "target": "text"}, {"source": "text", "target": "text"}
    stream = select_roles_of(streamed(tmp_path / "a.csv"), roles, columns, "here")
    assert list(stream) == [{"source": "a", "target": "a"}]


# --- the hub, of which a folder stands for a repository


class Loaded(IterableDataset):
    """The rows as a loader's workers get them."""

    def __init__(self, rows: RowStream) -> None:
        super().__init__()
        self.rows = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_repository_is_streamed_whole_by_every_reader(kind: str, tmp_path: Path) -> None:
    if kind == "parquet":
        features = Features({"text": Value("string"), "fine": ClassLabel(names=["neg", "pos"])})
        rows = Dataset.from_dict({"text": ["a", "b", "c"], "fine": [0, 1, 1]}, features=features)
        for split in ("train-00000", "train-00001", "test"):
            parquet.write_table(rows.data.table.cast(features.arrow_schema), tmp_path / f"{split}.parquet")
    else:
        for split in ("train-00000", "train-00001", "test"):
            (tmp_path / f"{split}.csv").write_text("text,fine\na,neg\nb,pos\nc,pos\n")
    splits = stream_hub(str(tmp_path), "0" * 40, rename={"fine": "label"})
    assert {split: stream.column_names for split, stream in splits.items()} == {
        "train": ["text", "label"],
        "test": ["text", "label"],
    }
    stream = select_roles_of(splits["train"], {"text": "text", "label": "label"}, {}, "here")
    rows = [{"text": text, "label": label} for text, label in zip("abc", ["neg", "pos", "pos"], strict=True)] * 2
    assert list(stream) == list(pickle.loads(pickle.dumps(stream))) == rows
    read = read_hub(str(tmp_path), "0" * 40, rename={"fine": "label"})["train"]
    assert select_roles(read, {"text": "text", "label": "label"}, {}, "here").to_list() == rows
    loader = DataLoader(Loaded(stream), batch_size=None, num_workers=2)
    assert sorted(row["text"] for row in loader) == sorted("abc" * 4)


def test_a_joined_repository_is_no_stream() -> None:
    with pytest.raises(UserError, match=r"data\.hub\.joined=true: the whole corpus would be one row"):
        stream_hub("some/corpus", "0" * 40, joined=True)


# --- paths


@pytest.mark.parametrize("name", ["with space.csv", "größe 😀.csv", "a'b\"c.csv", "a=b,{c}.csv", "$HOME [1] %s.csv.gz"])
def test_a_path_may_be_of_any_characters(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "größe = {x}"
    folder.mkdir()
    content = b"text\nword\n"
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert in_memory(folder / name) == list(streamed(folder / name)) == [{"text": "word"}]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a b.csv"
    path.write_text("text\nword\n")
    path.chmod(0)
    for read in (in_memory, streamed):
        with pytest.raises(UserError) as caught:
            read(path)
        assert str(caught.value) == f"data: you may not read '{path}'. Allow it: chmod u+rX '{path}'."
