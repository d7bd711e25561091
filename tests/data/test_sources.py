"""Files are read as they are written."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from pyarrow import parquet

from lstm_readout.data import sources
from lstm_readout.data.batches import ClassifyBatch, GenerateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.sources import find_files, read_files, read_hub, select_roles
from lstm_readout.errors import UserError

TASKS: dict[str, Any] = {
    "classify": ({"text": "text", "label": "label"}, ClassifyBatch),
    "generate": ({"text": "text"}, GenerateBatch),
}
ROWS = "text,label\n" + "".join(f"good film {i},pos\nbad film {i},neg\n" for i in range(20))


def corpus(task: str = "classify", **options: Any) -> TextDataModule:
    roles, batch_type = TASKS[task]
    options.setdefault("name", "files")
    return TextDataModule(roles=roles, batch_type=batch_type, **options)


def read(path: Path | str, *, whole: bool = False) -> dict[str, list]:
    rows = read_files({"train": str(path)}, Path(), whole=whole)["train"][0].rows
    assert isinstance(rows, Dataset)
    return {name: rows[name][:] for name in rows.column_names}


def written(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def as_parquet(columns: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns), sink)
    return sink.getvalue()


# --- what cannot be read (and see test_bad_input.py)


def test_a_variable_that_names_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_READOUT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="LSTM_READOUT_DATA: wanted a folder") as caught:
        corpus(name="imdb", files={"train": "train.parquet"}).setup()
    assert "nowhere" in str(caught.value)
    assert "Unset it" in str(caught.value)


def test_a_hub_id_without_network_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSTM_READOUT_DATA", raising=False)
    # Read when `datasets` is imported, so a process that was started without it is put offline here
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    began = time.perf_counter()
    with pytest.raises(UserError, match="could not load 'nobody/nothing' from the hub") as caught:
        corpus(hub={"path": "nobody/nothing", "revision": "0" * 40}).setup()
    assert time.perf_counter() - began < 5
    assert "LSTM_READOUT_DATA" in str(caught.value)
    assert "data=files data.path=YOUR_FILE" in str(caught.value)
    assert "generating the dataset" not in str(caught.value)


# --- what is read


def as_csv(separator: str) -> Callable[[list[dict]], str]:
    return lambda rows: "\n".join(separator.join(row) for row in [rows[0].keys(), *(row.values() for row in rows)])


WRITERS: dict[str, Callable[[list[dict]], str | bytes]] = {
    "csv": as_csv(","),
    "tsv": as_csv("\t"),
    "json": json.dumps,
    "jsonl": lambda rows: "\n".join(map(json.dumps, rows)) + "\n",
    "parquet": lambda rows: as_parquet({name: [row[name] for row in rows] for name in rows[0]}),
}
WORDS = ["007", "NA", "null", "None", "nan", "n/a", "1e5", "true", " x ", "", "naïve 😀", "4.50"]


@pytest.mark.parametrize("ending", ["", ".gz", ".GZ"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_word_stays_as_it_is_written(kind: str, ending: str, tmp_path: Path) -> None:
    rows = [{"text": word, "label": f"a {word}"} for word in WORDS]
    content = WRITERS[kind](rows)
    raw = content.encode() if isinstance(content, str) else content
    path = tmp_path / f"a.{kind}{ending}"
    path.write_bytes(gzip.compress(raw) if ending else raw)
    assert read(path) == {"text": WORDS, "label": [f"a {word}" for word in WORDS]}


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_plain_text_is_one_row_a_line_or_one_row(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"a.txt{ending}", 'one\n\nthree, "four"\r\nfive')
    assert read(path) == {"text": ["one", "", 'three, "four"', "five"]}
    assert read(path, whole=True) == {"text": ['one\n\nthree, "four"\nfive']}


def test_a_file_of_any_other_name_is_plain_text(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a.de", "eins\nzwei")) == {"text": ["eins", "zwei"]}
    assert read(written(tmp_path / "README", "eins\nzwei\n")) == {"text": ["eins", "zwei"]}


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "txt"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_text(kind: str, tmp_path: Path) -> None:
    rows = [{"text": "eins"}, {"text": "zwei"}]
    content = "eins\nzwei" if kind == "txt" else WRITERS[kind](rows)
    assert isinstance(content, str)
    path = written(tmp_path / f"a.{kind}", b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode() + b"\r\n")
    assert read(path) == {"text": ["eins", "zwei"]}


@pytest.mark.parametrize("odd", ["\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_a_line_ends_at_a_newline_and_nowhere_else(odd: str, tmp_path: Path) -> None:
    written(tmp_path / "a.de", f"ei{odd}ns\nzwei\n")
    written(tmp_path / "a.en", "one\ntwo\n")
    rows = read_files({"train": {"source": "a.de", "target": "a.en"}}, tmp_path)["train"][0].rows
    assert list(zip(rows["source"], rows["target"], strict=True)) == [(f"ei{odd}ns", "one"), ("zwei", "two")]
    assert read(written(tmp_path / "a.csv", f'text\n"ei{odd}ns"\nzwei\n'))["text"] == [f"ei{odd}ns", "zwei"]
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in (f"ei{odd}ns", "zwei"))
    assert read(written(tmp_path / "a.jsonl", lines))["text"] == [f"ei{odd}ns", "zwei"]


def test_a_csv_cell_may_hold_separators_line_breaks_quotes_and_a_whole_book(tmp_path: Path) -> None:
    book = "word, " * 100_000
    path = written(tmp_path / "a.csv", f'text,label\r\n"a, ""b""\r\nc",x\r\n\r\n"{book}",y\n')
    assert read(path) == {"text": ['a, "b"\r\nc', book], "label": ["x", "y"]}


def test_numbers_in_json_stay_as_written_and_null_is_null(tmp_path: Path) -> None:
    lines = ['{"text": 1.50, "label": 1}', '{"label": true}', '{"text": null, "label": "x"}']
    rows = read(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert rows == {"text": ["1.50", None, None], "label": ["1", "true", "x"]}


def test_a_column_that_no_task_reads_may_hold_anything(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", '{"text": "a", "more": {"b": 1}}\n{"text": "b", "more": [1, "x"]}\n')
    rows = read_files({"train": "a.jsonl"}, tmp_path)["train"][0].rows
    assert select_roles(rows, {"text": "text"}, {}, "here")["text"][:] == ["a", "b"]


def test_numbers_and_categories_of_a_parquet_file_become_strings(tmp_path: Path) -> None:
    content = as_parquet(
        {
            "number": [3, None],
            "category": pyarrow.array(["x", "y"]).dictionary_encode(),
            "nothing": pyarrow.nulls(2),
            "large": pyarrow.array(["a", "b"], pyarrow.large_string()),
        }
    )
    rows = read_files({"train": str(written(tmp_path / "a.parquet", content))}, Path())["train"][0].rows
    texts = select_roles(rows, {name: "text" for name in rows.column_names}, {}, "here")
    assert texts.features == Features({name: Value("string") for name in rows.column_names})
    assert texts.to_dict() == {
        "number": ["3", ""],
        "category": ["x", "y"],
        "nothing": ["", ""],
        "large": ["a", "b"],
    }


def test_numbered_classes_get_their_names_back(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, 1]}, features=features).to_parquet(
        tmp_path / "a.parquet"
    )
    rows = read_files({"train": "a.parquet"}, tmp_path)["train"][0].rows
    assert select_roles(rows, {"label": "label"}, {}, "here")["label"][:] == ["pos", "neg", "pos"]


def test_a_class_that_is_missing_is_told(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"label": [1, -1]}, features=Features({"label": ClassLabel(names=["neg", "pos"])}))
    with pytest.raises(UserError, match="row 2 of here has no label"):
        select_roles(rows, {"label": "label"}, {}, "here")


def test_an_edited_file_is_read_anew_even_if_size_and_time_are_the_same(tmp_path: Path) -> None:
    for word in ("old", "new"):
        path = written(tmp_path / "a.csv", f"text\n{word}\n")
        os.utime(path, (0, 0))
        assert read(path) == {"text": [word]}


def test_a_folder_gives_the_splits_it_has(tmp_path: Path) -> None:
    for split, kind in (("train", "csv"), ("validation", "jsonl"), ("test", "csv.gz"), ("other", "csv")):
        content = '{"text": "validation"}' if kind == "jsonl" else f"text\n{split}\n"
        written(tmp_path / f"{split}.{kind}", content)
    splits = read_files(find_files(tmp_path), Path())
    assert {split: part.rows["text"][:] for split, (part,) in splits.items()} == {
        "train": ["train"],
        "validation": ["validation"],
        "test": ["test"],
    }


def test_paths_may_be_relative_or_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "below").mkdir()
    written(tmp_path / "below" / "train.txt", "one\ntwo\nthree\n")
    monkeypatch.chdir(tmp_path)
    for options in (
        {"path": "below"},
        {"path": "below/train.txt"},
        {"path": "~/below"},
        {"path": "~/below/train.txt"},
        {"path": "below", "files": {"train": "train.txt", "test": None}},
        {"path": "~/below", "files": {"train": "train.txt"}},
        {"files": {"train": "below/train.txt"}},
        {"files": {"train": "~/below/train.txt"}},
        {"files": {"train": {"text": "~/below/train.txt", "other": None}}},
        {"files": {"train": str(tmp_path / "below" / "train.txt")}},
    ):
        data = corpus("generate", validation=0, test=0, **options)
        assert data.texts["train"]["text"][:] == ["one", "two", "three"], options


def test_a_local_copy_is_preferred_to_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    written(tmp_path / "mine" / "a.txt", "one\ntwo\n")
    monkeypatch.setenv("LSTM_READOUT_DATA", str(tmp_path))
    hub = {"path": "nobody/nothing", "revision": "0"}
    data = corpus("generate", name="mine", files={"train": "a.txt"}, hub=hub, validation=0, test=0)
    assert data.texts["train"]["text"][:] == ["one", "two"]


def test_a_hub_repository_is_renamed_and_joined_as_described(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(*arguments: Any, **options: Any) -> datasets.DatasetDict:
        asked.append((arguments, options))
        return datasets.DatasetDict(
            {
                "test": Dataset.from_dict({"text": ["c"], "fine": [2]}),
                "train": Dataset.from_dict({"text": ["a", "b"], "fine": [0, 1]}),
            }
        )

    monkeypatch.setattr(sources.datasets, "load_dataset", load)
    splits = read_hub("some/corpus", "abc", rename={"fine": "label"})
    assert splits["train"].to_dict() == {"text": ["a", "b"], "label": [0, 1]}
    assert asked == [(("some/corpus", None), {"revision": "abc"})]
    assert read_hub("some/corpus", "abc", joined=True)["train"].to_dict() == {"text": ["abc"]}
    with pytest.raises(UserError, match="could not load"):
        read_hub("some/corpus", "abc", rename={"coarse": "label"})


def test_reading_prints_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", ROWS)
    Dataset.from_dict({"text": ["a"], "label": ["b"]}).to_parquet(tmp_path / "b.parquet")
    program = (
        "from pathlib import Path; from lstm_readout.data.sources import read_files\n"
        "read_files({'train': 'a.csv', 'test': 'b.parquet'}, Path())"
    )
    cache = tmp_path / "cache"
    environment = {**os.environ, "HF_DATASETS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert done.stdout + done.stderr == ""
    assert not cache.exists()
