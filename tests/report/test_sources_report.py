"""What a run says of its files, its held-out rows and its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.report.data_warnings import warnings_of
from lstm_readout.report.sources_report import sentences


def module(path: Path, **options: Any) -> TextDataModule:
    roles: Any = {"text": "text", "label": "label"}
    return TextDataModule(roles=roles, batch_type=ClassifyBatch, name="files", path=str(path), cache=False, **options)


def rows(separator: str = ",", number: int = 20) -> str:
    return "".join(f"word {i}{separator}{'pos' if i % 2 else 'neg'}\n" for i in range(number))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", "text,label\n" + rows(), "train: a.csv: 20 rows; commas"),
        ("a.tsv", 'text\tlabel\n"a"b\tpos\n' + rows("\t"), "train: a.tsv: 21 rows; tabs; quotes are text"),
        ("a.csv", "sep=;\ntext;label\n" + rows(";"), "train: a.csv: 20 rows; semicolons; 1 line(s) skipped above"),
        ("a.csv", "text,label\n" + rows() + "\n\n\x1a", "not read: 2 (blank); not read: 1 (end of file)"),
    ],
)
def test_a_table_is_described(name: str, content: str, line: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    told = list(sentences(module(tmp_path / name).report["sources"]))
    assert line in told[0]
    assert told[1].startswith("validation: held out of the 2")
    assert told[1].endswith("drawn at random by label")


def test_columns_by_position_and_a_stream_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows())
    data = module(tmp_path / "a.csv", columns={"text": 0, "label": 1}, streaming=True)
    assert list(sentences(data.report["sources"])) == [
        "train: a.csv: streamed; commas; no header",
        "validation: held out of train, evenly spaced",
        "test: held out of train, evenly spaced",
    ]
    assert len(data.texts["train"]) + len(data.texts["validation"]) + len(data.texts["test"]) == 20


def test_many_files_are_summed(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i}.csv").write_text("text,label\n" + rows(number=4) + "\n")
    told = list(sentences(module(tmp_path / "*.csv").report["sources"]))
    assert told[0] == "train: 5 files (0.csv, 1.csv, 2.csv, ...): 20 rows; commas; not read: 5 (blank)"


def test_a_file_of_no_split_is_told(tmp_path: Path) -> None:
    for name in ("train.csv", "val.csv", "more.csv"):
        (tmp_path / name).write_text("text,label\n" + rows())
    told = list(sentences(module(tmp_path, test=0).report["sources"]))
    assert told[2] == "not read, because no split has this name: more.csv"
    assert [line.partition(":")[0] for line in told[:2]] == ["train", "validation"]


def test_labels_that_count_as_others_are_shown_with_what_cannot_be_seen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,pos\xa0\n" + rows(), encoding="utf-8")
    assert r"label 'pos\xa0' counts as 'pos' (1 rows)" in sentences(module(tmp_path / "a.csv").report["sources"])


def test_labels_that_may_be_mistakes_are_warned_of(tmp_path: Path) -> None:
    content = "text,label\n" + rows() + "a,Pos\nb,Pos\nc,nan\nd,nan\n"
    (tmp_path / "a.csv").write_text(content)
    warnings = "\n".join(warnings_of(module(tmp_path / "a.csv", validation=0, test=0).report))
    assert "train: the labels 'Pos', 'pos' differ in case alone, but are 2 classes. Write them alike" in warnings
    assert "2 of 24 train rows (8.3 %) have the label 'nan', which reads like a missing value." in warnings
