"""What was encoded once is read back the same, and whatever it follows from is noticed when it changes."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from lstm_readout.data import cache
from lstm_readout.data.batches import ClassifyBatch, TextColumn, TranslateBatch
from lstm_readout.data.cache import cache_root, fingerprint
from lstm_readout.data.module import TextDataModule
from lstm_readout.tokenizer import TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged

ROWS = ["text,label", *(f"w{i} x{i % 3},{'ab'[i % 2]}" for i in range(40))]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LSTM_READOUT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grow by one whenever texts are encoded."""
    counted: list[int] = []
    encode = TextTokenizer.encode

    def counting(self: TextTokenizer, texts: Any, **options: Any) -> Any:
        counted.append(len(texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(TextTokenizer, "encode", counting)
    return counted


def reviews(path: Path, tokenizer: dict[str, Any] | None = None, **options: Any) -> TextDataModule:
    data = TextDataModule(
        roles={"text": "text", "label": "label"},
        batch_type=ClassifyBatch,
        tokenizer=partial(TextTokenizer.train, **(tokenizer or {})),
        name="files",
        path=str(path),
        **options,
    )
    data.setup()
    return data


def write(path: Path, lines: list[str] = ROWS) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def everything(data: TextDataModule) -> dict[str, Any]:
    """Return all that a module holds as plain values."""
    columns: dict[str, Any] = {}
    for split, part in data.columns.items():
        for name, column in part.items():
            rows = np.arange(len(data.texts[split]))
            if isinstance(column, Ragged):
                columns[f"{split} {name}"] = [column.values.tolist(), column.offsets.tolist()]
            else:
                columns[f"{split} {name}"] = list(column[rows])
    texts = {split: rows.to_dict() for split, rows in data.texts.items()}
    return {"columns": columns, "texts": texts, "vocabulary": data.vocabulary.to_dict(), "report": data.report}


def test_the_second_module_encodes_nothing_and_holds_the_same(tmp_path: Path, fitted: list[int]) -> None:
    path = write(tmp_path / "a.csv")
    first = reviews(path)
    assert fitted
    fitted.clear()
    second = reviews(path)
    assert not fitted
    assert everything(second) == everything(first) == everything(reviews(path, cache=False))
    assert [batch.labels.tolist() for batch in second.train_dataloader()] == [
        batch.labels.tolist() for batch in first.train_dataloader()
    ]


def test_columns_are_mapped_from_the_file_not_copied(tmp_path: Path) -> None:
    data = reviews(write(tmp_path / "a.csv"))
    ids = data.columns["train"]["text"]
    assert isinstance(ids, Ragged)
    assert not ids.values.flags.owndata
    assert not ids.values.flags.writeable
    assert (ids.values.dtype, ids.offsets.dtype) == (np.int32, np.int64)


@pytest.mark.parametrize(
    "options",
    [
        {"tokenizer": {"lowercase": True}},
        {"tokenizer": {"max_length": 1}},
        {"validation": 0.3},
        {"seed": 1},
        {"max_rows": 8},
        {"holdout": "last"},
        {"format": {"quoting": "minimal"}},
        {"columns": {"text": "label"}},
    ],
)
def test_a_changed_setting_is_noticed(tmp_path: Path, fitted: list[int], options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.csv")
    reviews(path)
    fitted.clear()
    assert everything(reviews(path, **options)) == everything(reviews(path, **options, cache=False))
    assert fitted


def test_a_changed_file_is_noticed_though_its_size_and_time_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv")
    before = path.stat()
    first = everything(reviews(path))
    write(path, [ROWS[0], *(row.replace("w", "v") for row in ROWS[1:])])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    changed = everything(reviews(path))
    assert changed != first
    assert changed == everything(reviews(path, cache=False))


def test_batches_of_another_size_are_made_from_the_same_encoding(tmp_path: Path, fitted: list[int]) -> None:
    path = write(tmp_path / "a.csv")
    reviews(path)
    fitted.clear()
    reviews(path, batch_size=3, pool=1, num_workers=0)
    assert not fitted


def test_changed_code_is_noticed(tmp_path: Path, fitted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv")
    reviews(path)
    fitted.clear()
    monkeypatch.setattr(cache, "_code", lambda: "another")
    reviews(path)
    assert fitted


def test_a_file_that_a_tokenizer_reads_counts_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("one")
    fit = partial(TextTokenizer.train, kind=str(path))
    first = fingerprint({}, fit)
    assert first == fingerprint({}, partial(TextTokenizer.train, kind=str(path)))
    path.write_text("two")
    assert fingerprint({}, fit) != first


def test_code_without_a_name_is_not_cached() -> None:
    assert fingerprint({}, lambda texts: None) is None
    assert fingerprint({}, partial(TextTokenizer.train, ["a"])) is None
    assert fingerprint({}, partial(TextTokenizer.train, kind=object())) is None
    assert fingerprint({}, TextTokenizer.train) is not None


@pytest.mark.parametrize("broken", ["about.json", "train.arrow"])
@pytest.mark.parametrize("left", [0, 40])
def test_a_broken_folder_is_made_anew(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture, broken: str, left: int
) -> None:
    path = write(tmp_path / "a.csv")
    first = everything(reviews(path))
    (folder,) = place.iterdir()
    (folder / broken).write_bytes((folder / broken).read_bytes()[:left])
    assert everything(reviews(path)) == first
    assert "cannot be read" in caplog.text
    caplog.clear()
    assert everything(reviews(path)) == first
    assert not caplog.text


@pytest.mark.parametrize("broken", ["about.json", "train.arrow", "validation.arrow", "checksums.json"])
def test_a_flipped_bit_is_noticed_wherever_it_is(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    path = write(tmp_path / "a.csv")
    first = everything(reviews(path))
    (folder,) = place.iterdir()
    data = (folder / broken).read_bytes()
    for start in range(0, len(data), max(1, len(data) // 8)):
        (folder / broken).write_bytes(data[:start] + bytes([data[start] ^ 4]) + data[start + 1 :])
        assert everything(reviews(path)) == first
        assert f"the cached corpus in {folder} cannot be read" in caplog.text
        caplog.clear()


def test_a_file_too_few_or_too_many_is_noticed(tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.csv")
    first = everything(reviews(path))
    (folder,) = place.iterdir()
    for change in ((folder / "test.arrow").unlink, (folder / "other.arrow").touch, (folder / "checksums.json").unlink):
        change()
        assert everything(reviews(path)) == first
        assert "cannot be read" in caplog.text
        caplog.clear()


def test_a_run_that_ends_while_writing_leaves_nothing_to_be_read(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv")

    def stop(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pyarrow.ipc, "new_stream", stop)
        with pytest.raises(KeyboardInterrupt):
            reviews(path)
    assert not list(place.iterdir())


def test_a_place_that_cannot_be_written_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LSTM_READOUT_CACHE", str(tmp_path / "file" / "below"))
    assert len(reviews(write(tmp_path / "a.csv")).texts["train"]) == 32
    assert "could not cache the encoded corpus" in caplog.text


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LSTM_READOUT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "lstm-readout"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "lstm-readout"


def test_a_sample_keeps_its_ceiling() -> None:
    def made() -> TextDataModule:
        roles: dict[str, Any] = {"source": "text", "target": "text"}
        return TextDataModule(roles=roles, batch_type=TranslateBatch, name="sample", max_rows=50)

    assert made().ceiling == made().ceiling == {"bleu": 100.0}
    column = made().columns["test"]["target_text"]
    assert isinstance(column, TextColumn)
    assert column[np.array([3, 1])].tolist() == [made().texts["test"]["target"][i] for i in (3, 1)]
