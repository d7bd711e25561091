"""Files and folders as people have them: each gives the splits that it shows, and nothing of it is left out unsaid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset, DatasetDict

from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.sources import find_files, read_files, stream_files, unread_files
from lstm_readout.errors import UserError

HEADER = "text,label\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def table(*texts: str) -> str:
    return HEADER + "".join(f"{text},pos\n" for text in texts)


def texts_of(files: dict[str, Any], root: Path = Path()) -> dict[str, list[str]]:
    read = {
        split: [text for part in parts for text in part.rows["text"][:]]
        for split, parts in read_files(files, root).items()
    }
    streamed = {
        split: [row["text"] for part in parts for row in part.rows]
        for split, parts in stream_files(files, root).items()
    }
    assert streamed == read
    return read


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_a_validation_file_of_any_usual_name_is_used(name: str, tmp_path: Path) -> None:
    write(tmp_path, {"train.csv": table("a"), f"{name}.csv": table("b"), "test.csv": table("c")})
    assert texts_of(find_files(tmp_path)) == {"train": ["a"], "validation": ["b"], "test": ["c"]}


def test_two_validation_files_are_told(tmp_path: Path) -> None:
    write(tmp_path, {"train.csv": table("a"), "val.csv": table("b"), "dev.csv": table("c")})
    with pytest.raises(UserError, match=r"has 2 files for validation \(dev\.csv, val\.csv\); name one in data\.files"):
        find_files(tmp_path)


@pytest.mark.parametrize("below", ["", "data/", "train/"])
def test_shards_are_one_split(below: str, tmp_path: Path) -> None:
    shards = {f"{below}train-{i:05}-of-00003.csv": table(f"a{i}", f"b{i}") for i in range(3)}
    write(tmp_path, {**shards, "README.md": "# Rows"})
    assert texts_of(find_files(tmp_path)) == {"train": ["a0", "b0", "a1", "b1", "a2", "b2"]}


def test_what_belongs_to_no_split_is_told(tmp_path: Path) -> None:
    write(tmp_path, {name: table("a", "b") for name in ("train.csv", "dev.csv", "unlabelled.csv", "README.txt")})
    found = find_files(tmp_path)
    assert set(found) == {"train", "validation"}
    assert unread_files(tmp_path, found) == ["unlabelled.csv"]
    assert unread_files(tmp_path, find_files(tmp_path, exact=True)) == ["dev.csv", "unlabelled.csv"]
    assert unread_files(tmp_path / "train.csv", find_files(tmp_path / "train.csv")) == []


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    write(tmp_path, {f"train-{i:05}-of-00003.csv": table("a") for i in (0, 2)})
    with pytest.raises(UserError, match="has 2 of 3 files of train; number 00001 is missing"):
        find_files(tmp_path)


def test_a_split_may_be_a_list_a_pattern_or_a_folder(tmp_path: Path) -> None:
    write(tmp_path, {"x/a.csv": table("a"), "x/b.csv": table("b"), "x/.c.csv": table("hidden"), "x/d.txt": "no\n"})
    for given in (["x/a.csv", "x/b.csv"], "x/*.csv", "x", str(tmp_path / "x" / "*.csv"), ["x/a.csv", "x/b*"]):
        assert texts_of({"train": given}, tmp_path) == {"train": ["a", "b"]}, given
    assert texts_of(find_files(tmp_path / "x" / "[ab].csv")) == {"train": ["a", "b"]}


def test_files_of_one_split_may_be_written_in_different_ways(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": table("a, so".replace(",", "")), "b.tsv": "label\ttext\nneg\tb\n", "c.jsonl": ""})
    (tmp_path / "c.jsonl").write_text('{"text": "c", "label": "pos", "more": [1]}\n')
    module = TextDataModule(
        roles={"text": "text", "label": "label"},
        batch_type=ClassifyBatch,
        name="files",
        files={"train": [str(tmp_path / name) for name in ("a.csv", "b.tsv", "c.jsonl")]},
        validation=0,
        test=0,
        cache=False,
    )
    assert module.texts["train"].to_dict() == {"text": ["a so", "b", "c"], "label": ["pos", "neg", "pos"]}
    files = module.report["sources"]["files"]["train"]
    assert [(one["file"], one["rows"]) for one in files] == [("a.csv", 1), ("b.tsv", 1), ("c.jsonl", 1)]


def test_a_row_is_named_by_its_file_if_there_are_several(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": table("a"), "b.csv": HEADER + "b,\n"})
    module = TextDataModule(
        roles={"text": "text", "label": "label"}, batch_type=ClassifyBatch, name="files", path=str(tmp_path / "*.csv")
    )
    with pytest.raises(UserError, match=r"row 1 of files \(train, b\.csv\) has no label"):
        module.setup()


# --- folders of classes


REVIEWS = {
    "train/pos/0_9.txt": "good\n",
    "train/pos/1_7.txt": "so\r\ngood",
    "train/neg/0_3.txt": "bad",
    "train/unsup/0_0.txt": "no label",
    "train/labeledBow.feat": "9 0:9",
    "test/pos/0_10.txt": "fine",
    "test/neg/0_1.txt": "",
}


def test_the_folders_of_classes_are_the_labels(tmp_path: Path) -> None:
    write(tmp_path, REVIEWS)
    found = find_files(tmp_path)
    assert texts_of(found) == {"train": ["bad", "good", "so\ngood"], "test": ["", "fine"]}
    (part,) = read_files(found, Path())["train"]
    assert part.rows["label"][:] == ["neg", "pos", "pos"]
    assert part.describe() == {"file": "train/", "rows": 3, "dropped": {"unsup/": 1}}
    assert texts_of(find_files(tmp_path / "train")) == {"train": ["bad", "good", "so\ngood"]}


def test_files_without_an_ending_are_texts_of_a_class(tmp_path: Path) -> None:
    write(tmp_path, {"comp.graphics/37261": "a", "sci.space/59497": "b"})
    assert texts_of(find_files(tmp_path)) == {"train": ["a", "b"]}


@pytest.mark.parametrize(
    "files",
    [
        {"src/a.py": "1", "notes/b.md": "2"},
        {"pos/a.txt": "one class alone"},
        {"pos/a.csv": HEADER, "neg/a.csv": HEADER},
        {"pos/below/a.txt": "a", "neg/below/a.txt": "b"},
    ],
)
def test_other_folders_are_no_classes(files: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, files)
    with pytest.raises(UserError, match=r"has no file train\.\*; it contains"):
        find_files(tmp_path)


# --- saved by `datasets`


@pytest.mark.parametrize("made", [Dataset.from_dict, lambda rows: Dataset.from_dict(rows).select([1, 0])])
def test_what_datasets_saved_is_read(made: Callable[..., Dataset], tmp_path: Path) -> None:
    rows = made({"text": ["a", "b"], "label": ["x", "y"]})
    rows.save_to_disk(tmp_path / "alone")
    DatasetDict({"train": rows, "validation": rows.select([0])}).save_to_disk(tmp_path / "splits")
    assert texts_of(find_files(tmp_path / "alone")) == {"train": rows["text"][:]}
    assert texts_of(find_files(tmp_path / "splits")) == {"train": rows["text"][:], "validation": rows["text"][:1]}
    (next((tmp_path / "alone").glob("*.arrow"))).write_bytes(b"no arrow")
    with pytest.raises(UserError, match=r"alone' as a saved dataset .*Save it again"):
        read_files(find_files(tmp_path / "alone"), Path())


# --- what cannot be read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("https://example.com/a.csv", "not on this machine. Download it first, for example: curl -LO https://example"),
        ("{folder}/*.csv", "no file fits '{folder}/\\*.csv'"),
        ("{folder}/more", "it contains a.jsonl. Rename one.*For all: data.path='{folder}/more/\\*.jsonl'"),
    ],
)
def test_what_is_not_there_is_told(given: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, {"more/a.jsonl": "{}"})
    with pytest.raises(UserError, match=message.replace("{folder}", str(tmp_path))):
        read_files(find_files(given.replace("{folder}", str(tmp_path))), Path())


def test_earlier_versions_knew_exact_names_alone(tmp_path: Path) -> None:
    write(tmp_path, {"train.csv": table("a"), "dev.csv": table("b"), "test.csv": table("c")})
    assert set(find_files(tmp_path, exact=True)) == {"train", "test"}


def test_reading_a_folder_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **more: pytest.fail("asked the hub"))
    write(tmp_path, {"data/train-00000-of-00001.csv": table("a")})
    assert texts_of(find_files(tmp_path)) == {"train": ["a"]}
