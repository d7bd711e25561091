"""Files are read as they are written, and what cannot be read is told in one clear message."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from pyarrow import parquet

from lstm_readout.data import sources
from lstm_readout.data.batches import ClassifyBatch, GenerateBatch, TranslateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.sources import find_files, read_files, read_hub, select_roles
from lstm_readout.errors import UserError
from lstm_readout.tokenizer import TextTokenizer

TASKS: dict[str, Any] = {
    "classify": ({"text": "text", "label": "label"}, ClassifyBatch),
    "generate": ({"text": "text"}, GenerateBatch),
    "translate": ({"source": "text", "target": "text"}, TranslateBatch),
}
ROWS = "text,label\n" + "".join(f"good film {i},pos\nbad film {i},neg\n" for i in range(20))


def corpus(task: str = "classify", tokenizer: dict[str, Any] | None = None, **options: Any) -> TextDataModule:
    roles, batch_type = TASKS[task]
    options.setdefault("name", "files")
    trainer = partial(TextTokenizer.train, **(tokenizer or {}))
    return TextDataModule(roles=roles, batch_type=batch_type, tokenizer=trainer, **options)


def read(path: Path | str, *, whole: bool = False) -> dict[str, list]:
    rows = read_files({"train": str(path)}, Path(), whole=whole)["train"]
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


def as_zip(content: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", content)
    return sink.getvalue()


# --- what cannot be read

TWINS = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names=["text", "label", "text"])

# name of the file, its content, arguments of the data module, what the message must say
BROKEN: dict[str, tuple[str, str | bytes, dict[str, Any], list[str]]] = {
    "a missing role": (
        "a.csv",
        "review,stars\ngood,5\n",
        {},
        ["data.columns.text", "no column 'text'", "it has: review, stars", "data.columns.text=NAME"],
    ),
    "a column that is not there": (
        "a.csv",
        ROWS,
        {"columns": {"text": "text", "label": "stars"}},
        ["data.columns.label", "no column 'stars'", "it has: text, label"],
    ),
    **{
        f"an empty .{kind}": (f"a.{kind}", b"", {}, [f"a.{kind}' is empty (0 bytes)", "Give a file"])
        for kind in ("csv", "tsv", "json", "jsonl", "parquet", "txt")
    },
    "an empty file, compressed": ("a.csv.gz", b"", {}, ["a.csv.gz' is empty"]),
    "a header alone": ("a.csv", "text,label\n", {}, ["a.csv' holds no rows"]),
    "blank lines alone": ("a.csv", "\n\n", {}, ["a.csv' holds no rows"]),
    "an empty array": ("a.json", "[]", {}, ["a.json' holds no rows"]),
    "a parquet without rows": ("a.parquet", as_parquet({"text": [], "label": []}), {}, ["a.parquet' holds no rows"]),
    "a cell too many": (
        "a.csv",
        "text,label\ngood,pos\nso, so,neg\n",
        {},
        ["a.csv', line 3", "3 cell(s), but the header has 2", "Put quotes around"],
    ),
    "a cell too few": ("a.csv", 'text,label\n"two\nlines",pos\nbad\n', {}, ["a.csv', line 4", "1 cell(s)"]),
    "a quote that stays open": ("a.csv", 'text,label\ngood,pos\n"bad,neg\nx,pos\n', {}, ["line 3", "double a quote"]),
    "a quote that is not doubled": ("a.tsv", 'text\tlabel\n"so" he said\tpos\n', {}, ["a.tsv', line 2", "quote"]),
    "a lone carriage return": ("a.csv", "text,label\ngood\rbad,pos\n", {}, ["a.csv', line 2", "line breaks"]),
    "a column named twice": (
        "a.csv",
        "text,label,text\na,b,c\n",
        {},
        ["a.csv' has more than one column 'text'", "Rename"],
    ),
    "a broken json line": (
        "a.jsonl",
        '{"text": "a", "label": "b"}\n\n{"text": "a"\n',
        {},
        ["a.jsonl', line 3", "delimiter", "one object a line"],
    ),
    "a broken json array": ("a.json", '[\n{"text": 1},\n{"text" 2}]', {}, ["a.json', line 3", "array of objects"]),
    "json without names": ("a.jsonl", '{"text": "a"}\n"b"\n', {}, ["row 2 of", "no object, but 'b'"]),
    "half an escape": ("a.jsonl", r'{"text": "\ud83d", "label": "b"}', {}, ["no character", "Remove it"]),
    "lists for text": (
        "a.jsonl",
        '{"text": ["a", "b"], "label": "x"}\n',
        {},
        ["data.columns.text", "holds lists, objects or bytes", "wanted text"],
    ),
    "bytes for text": ("a.parquet", as_parquet({"text": [b"a"], "label": ["x"]}), {}, ["lists, objects or bytes"]),
    "text that calls itself parquet": (
        "a.parquet",
        "text,label\na,b\n",
        {},
        ["a.parquet' as parquet", "Write it anew"],
    ),
    "a parquet with one name twice": (
        "a.parquet",
        as_parquet(TWINS),
        {},
        ["a.parquet' has more than one column 'text'"],
    ),
    "Latin-1 as txt": ("a.txt", "gut\nschön\n".encode("latin1"), {}, ["not UTF-8 text (line 2, byte 0xf6)", "iconv"]),
    "Latin-1 as csv": ("a.csv", "text,label\nschön,a\n".encode("latin1"), {}, ["a.csv' is not UTF-8 text (line 2"]),
    "Latin-1 as json": ("a.json", '{"text": "ö"}'.encode("latin1"), {}, ["a.json' is not UTF-8 text (line 1"]),
    "UTF-16": ("a.txt", "good".encode("utf-16"), {}, ["not UTF-8 text (line 1, byte 0xff)"]),
    "a pdf": ("a.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", {}, ["a.pdf' is not UTF-8 text", "Wanted a csv, tsv"]),
    "a zip": ("a.zip", as_zip(ROWS), {}, ["a.zip' is not UTF-8 text", "Wanted a csv, tsv"]),
    "an empty label": ("a.csv", "text,label\na,pos\nb,\n", {}, ["row 2 of files (train) has no label", "Fill it"]),
    "a blank label": ("a.csv", "text,label\na,  \nb,pos\n", {}, ["row 1 of files (train) has no label"]),
    "a missing label": ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', {}, ["row 2", "has no label"]),
    "one label": ("a.csv", "text,label\na,pos\nb,pos\nc,pos\n", {}, ["one label only: 'pos'", "two or more"]),
    "too few rows": ("a.csv", "text,label\na,pos\nb,neg\n", {}, ["1 row(s), too few", "data.test=0"]),
    "a label that train lacks": (
        "a.csv",
        "text,label\n" + "a,pos\nb,neg\n" * 20 + "c,odd\n",
        {"holdout": "last"},
        ["the validation split", "'odd'", "It shows: 'neg', 'pos'", "drop"],
    ),
    "a share of one": ("a.csv", ROWS, {"test": 1.0}, ["data.test", "between 0 and 1, got 1.0"]),
    "no row asked for": ("a.csv", ROWS, {"max_rows": 0}, ["data.max_rows: wanted 1 or more, got 0"]),
    "an unknown way to hold out": ("a.csv", ROWS, {"holdout": "lats"}, ["data.holdout", "Did you mean 'last'?"]),
    "an unknown tokenizer": ("a.csv", ROWS, {"tokenizer": {"kind": "wrd"}}, ["tokenizer.kind", "Did you mean 'word'?"]),
    "a vocabulary too small": ("a.csv", ROWS, {"tokenizer": {"vocab_size": 3}}, ["wanted 4 or more for word, got 3"]),
    "text without a word": ("a.csv", 'text,label\n"",a\n" ",b\n"",a\n"",b\n', {}, ["tokenizer", "no word token"]),
    "a short document": (
        "a.txt",
        "x",
        {"task": "generate", "whole": True},
        ["1 character(s)", "too short", "data.validation=0"],
    ),
    "a stream for classes": ("a.csv", ROWS, {"stream": True}, ["data.stream=true", "Set data.stream=false"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_used_is_told_in_one_clear_message(case: str, tmp_path: Path) -> None:
    name, content, options, wanted = BROKEN[case]
    path = written(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        corpus(path=str(path), **options).setup()
    assert_clear(caught.value, wanted)


def assert_clear(error: UserError, wanted: list[str]) -> None:
    message = str(error)
    for part in wanted:
        assert part in message
    assert len(message.splitlines()) <= 2
    assert len(message) < 500
    assert "Traceback" not in message
    assert "generating the dataset" not in message


def test_a_label_that_only_the_test_file_has_is_told(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", ROWS)
    written(tmp_path / "test.csv", "text,label\na,odd\nb,new\n")
    with pytest.raises(UserError, match=r"the test split has 2 label\(s\).*'new', 'odd'") as caught:
        corpus(path=str(tmp_path)).setup()
    assert_clear(caught.value, ["It shows: 'neg', 'pos'"])


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file") as caught:
        corpus(path=str(tmp_path / "nowhere.csv")).setup()
    assert_clear(caught.value, ["nowhere.csv", "Give a csv"])
    with pytest.raises(UserError, match="no such file") as caught:
        corpus(files={"train": "nowhere.csv"}, path=str(tmp_path)).setup()
    assert_clear(caught.value, ["nowhere.csv", "Give a csv"])


def test_no_file_at_all_is_told() -> None:
    with pytest.raises(UserError, match="which file") as caught:
        corpus(files={"train": None, "test": None}).setup()
    assert_clear(caught.value, ["data.path=reviews.csv"])


def test_a_folder_without_a_training_file_is_told(tmp_path: Path) -> None:
    written(tmp_path / "test.csv", ROWS)
    with pytest.raises(UserError, match=r"no file train\.\*") as caught:
        corpus(path=str(tmp_path)).setup()
    assert_clear(caught.value, ["it holds test.csv", "data.files"])


def test_two_training_files_are_told(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", ROWS)
    written(tmp_path / "train.csv.gz", ROWS)
    with pytest.raises(UserError, match="2 files for train") as caught:
        find_files(tmp_path)
    assert_clear(caught.value, ["train.csv, train.csv.gz"])


def test_files_without_train_and_an_unknown_split_are_told(tmp_path: Path) -> None:
    path = str(written(tmp_path / "a.csv", ROWS))
    with pytest.raises(UserError, match="has no training split; it has: test") as caught:
        corpus(files={"test": path}).setup()
    assert_clear(caught.value, ["data.files.train="])
    with pytest.raises(UserError, match="there is no split 'valid'") as caught:
        corpus(files={"train": path, "valid": path}).setup()
    assert_clear(caught.value, ["Did you mean 'validation'?"])


@pytest.mark.parametrize("damage", ["no gzip at all", "cut short", "changed inside"])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.parquet.gz", "a.txt.gz"])
def test_damaged_gzip_is_told(name: str, damage: str, tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(5000))
    changed = whole[:2000] + bytes(255 - byte for byte in whole[2000:2100]) + whole[2100:]
    (tmp_path / name).write_bytes({"no gzip at all": b"text,label\n", "cut short": whole[:-2000]}.get(damage, changed))
    with pytest.raises(UserError, match="could not read") as caught:
        corpus(path=str(tmp_path / name)).setup()
    assert_clear(caught.value, [name, "whole"])


def test_parallel_files_of_different_length_are_told_with_both_counts(tmp_path: Path) -> None:
    written(tmp_path / "a.de", "eins\nzwei\ndrei\n")
    written(tmp_path / "a.en", "one\ntwo\n")
    with pytest.raises(UserError, match="same number of lines") as caught:
        corpus("translate", path=str(tmp_path), files={"train": {"source": "a.de", "target": "a.en"}}).setup()
    assert_clear(caught.value, ["a.de' has 3", "a.en' has 2", "must translate"])


def test_a_variable_that_names_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_READOUT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="LSTM_READOUT_DATA: wanted a folder") as caught:
        corpus(name="imdb", files={"train": "train.parquet"}).setup()
    assert_clear(caught.value, ["nowhere", "Unset it"])


def test_a_hub_id_without_network_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSTM_READOUT_DATA", raising=False)
    # Read when `datasets` is imported, so a process that was started without it is put offline here
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    began = time.perf_counter()
    with pytest.raises(UserError, match="could not load 'nobody/nothing' from the hub") as caught:
        corpus(hub={"path": "nobody/nothing", "revision": "0" * 40}).setup()
    assert time.perf_counter() - began < 5
    assert_clear(caught.value, ["LSTM_READOUT_DATA", "data=files data.path=YOUR_FILE"])


def test_a_hub_id_without_a_revision_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSTM_READOUT_DATA", raising=False)
    with pytest.raises(UserError, match=r"data\.hub: wanted path and revision") as caught:
        corpus(hub={"path": "nobody/nothing"}).setup()
    assert_clear(caught.value, ["nobody/nothing"])


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


@pytest.mark.parametrize("odd", ["\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\0"])
def test_a_line_ends_at_a_newline_and_nowhere_else(odd: str, tmp_path: Path) -> None:
    written(tmp_path / "a.de", f"ei{odd}ns\nzwei\n")
    written(tmp_path / "a.en", "one\ntwo\n")
    rows = read_files({"train": {"source": "a.de", "target": "a.en"}}, tmp_path)["train"]
    assert list(zip(rows["source"], rows["target"], strict=True)) == [(f"ei{odd}ns", "one"), ("zwei", "two")]
    if odd != "\0":  # which the csv module of Python 3.10 refuses
        assert read(written(tmp_path / "a.csv", f'text\n"ei{odd}ns"\nzwei\n'))["text"] == [f"ei{odd}ns", "zwei"]
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in (f"ei{odd}ns", "zwei"))
    assert read(written(tmp_path / "a.jsonl", lines))["text"] == [f"ei{odd}ns", "zwei"]


def test_a_csv_cell_may_hold_separators_line_breaks_quotes_and_a_whole_book(tmp_path: Path) -> None:
    book = "word, " * 100_000
    path = written(tmp_path / "a.csv", f'text,label\n"a, ""b""\nc",x\n\n"{book}",y\n')
    assert read(path) == {"text": ['a, "b"\nc', book], "label": ["x", "y"]}


def test_numbers_in_json_stay_as_written_and_null_is_null(tmp_path: Path) -> None:
    lines = ['{"text": 1.50, "label": 1}', '{"label": true}', '{"text": null, "label": "x"}']
    rows = read(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert rows == {"text": ["1.50", None, None], "label": ["1", "true", "x"]}


def test_a_column_that_no_task_reads_may_hold_anything(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", '{"text": "a", "more": {"b": 1}}\n{"text": "b", "more": [1, "x"]}\n')
    rows = read_files({"train": "a.jsonl"}, tmp_path)["train"]
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
    rows = read_files({"train": str(written(tmp_path / "a.parquet", content))}, Path())["train"]
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
    rows = read_files({"train": "a.parquet"}, tmp_path)["train"]
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
    assert {split: rows["text"][:] for split, rows in splits.items()} == {
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
