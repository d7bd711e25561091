"""Rows that are held out: the same share of each label, a row of each stays, and earlier runs keep theirs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.holdout import Holdout
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.streaming import TrainingRows
from lstm_readout.errors import UserError


def held_out(labels: list[str], seed: int = 0, how: str = "stratified", **shares: float) -> dict[str, Dataset]:
    rows = Dataset.from_dict({"text": [str(i) for i in range(len(labels))], "label": labels})
    splits, _ = Holdout(shares or {"validation": 0.1, "test": 0.1}, how, seed, "label", "here").apply({"train": rows})
    return splits


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=80).filter(lambda one: len(set(one)) < len(one)),
    share=st.sampled_from([0.05, 0.1, 0.3, 0.5]),
    seed=st.integers(0, 5),
)
def test_every_label_stays_and_each_gives_its_share(labels: list[str], share: float, seed: int) -> None:
    splits = held_out(labels, seed, validation=share)
    rows = sorted(int(text) for part in splits.values() for text in part["text"][:])
    assert rows == list(range(len(labels)))
    all_of, kept, held = (
        Counter(labels),
        Counter(splits["train"]["label"][:]),
        Counter(splits["validation"]["label"][:]),
    )
    assert set(kept) == set(all_of)
    spare = len(labels) - len(all_of)
    assert held.total() == min(max(1, round(share * len(labels))), spare)
    if held.total() == round(share * len(labels)) and all(n * share <= n - 1 for n in all_of.values()):
        assert all(abs(held[label] - n * share) <= 1 for label, n in all_of.items())


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_label_stops_no_run(seed: int, tmp_path: Path) -> None:
    lines = [f"word {i},{'pos' if i % 2 else 'neg'}" for i in range(60)] + [f"one {x} film,rare_{x}" for x in "abcde"]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines]))
    data = TextDataModule(
        roles={"text": "text", "label": "label"}, batch_type=ClassifyBatch, name="files", path=str(tmp_path / "a.csv")
    )
    assert len(data.texts["train"]) + len(data.texts["validation"]) + len(data.texts["test"]) == 65
    assert len(data.vocabulary.labels) == 7
    assert data.report["sources"]["held_out"]["validation"] == {"how": "stratified", "of": 65}


def test_the_draw_follows_the_seed() -> None:
    labels = ["a", "b"] * 50
    first, again, other = (held_out(labels, seed)["validation"]["text"][:] for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("how", ["random", "last"])
def test_other_ways_hold_out_what_they_always_did(how: str) -> None:
    labels = ["a", "b"] * 50
    order = np.arange(100) if how == "last" else np.random.default_rng(3).permutation(100)
    splits = held_out(labels, 3, how, validation=0.1)
    assert splits["validation"]["text"][:] == [str(i) for i in np.sort(order[-10:])]
    assert splits["train"]["text"][:] == [str(i) for i in np.sort(order[:-10])]


def test_without_labels_rows_are_drawn_as_ever() -> None:
    rows = Dataset.from_dict({"text": [str(i) for i in range(100)]})
    splits, told = Holdout({"validation": 0.1}, "stratified", 3, None, "here").apply({"train": rows})
    order = np.random.default_rng(3).permutation(100)
    assert splits["validation"]["text"][:] == [str(i) for i in np.sort(order[-10:])]
    assert told == {"validation": {"how": "random", "of": 100}}


def test_a_label_that_is_held_out_altogether_is_told() -> None:
    with pytest.raises(UserError, match=r"=last: all rows of 1 label\(s\) went to the validation split: 'z'\. Set"):
        held_out(["a"] * 50 + ["z"], how="last")


def test_the_first_row_of_each_label_of_a_stream_trains() -> None:
    rows = [{"text": str(i), "label": "odd" if i == 9 else "rare" if i in (19, 29) else "usual"} for i in range(50)]
    shares = {"validation": 0.1}
    stratified, plain = (TrainingRows(rows, shares, label=label) for label in ("label", None))
    assert [row["text"] for row in stratified.begin(100)["validation"]] == ["29", "39", "49"]
    assert [row["text"] for row in plain.begin(100)["validation"]] == ["9", "19", "29", "39", "49"]
    assert {row["text"] for row in rows} - {row["text"] for row in stratified} == {"29", "39", "49"}
    assert list(stratified.begin(100)["train"]) == list(stratified)


# --- labels that look alike


def labels_of(path: Path, content: str, **options: Any) -> TextDataModule:
    path.write_text(content, encoding="utf-8")
    return TextDataModule(
        roles={"text": "text", "label": "label"}, batch_type=ClassifyBatch, name="files", path=str(path), **options
    )


NOTHING_HELD_OUT: dict[str, Any] = {"validation": 0, "test": 0, "cache": False}


@pytest.mark.parametrize("twin", ["pos ", " pos", "pos\xa0", "pos\u200b", "\ufeffpos", "pos\t"])
def test_labels_that_look_alike_are_one(twin: str, tmp_path: Path) -> None:
    data = labels_of(tmp_path / "a.csv", f"text,label\na,pos\nb,{twin}\nc,neg\n", **NOTHING_HELD_OUT)
    assert data.vocabulary.labels == ["neg", "pos"]
    assert data.texts["train"]["label"][:] == ["pos", "pos", "neg"]
    assert data.report["sources"]["labels"] == {twin: {"label": "pos", "rows": 1}}


def test_the_unicode_form_of_a_label_does_not_count(tmp_path: Path) -> None:
    data = labels_of(tmp_path / "a.csv", "text,label\na,caf\u00e9\nb,cafe\u0301\nc,bar\n", **NOTHING_HELD_OUT)
    assert data.vocabulary.labels == ["bar", "caf\u00e9"]


def test_whole_numbers_are_one_label_with_and_without_a_point(tmp_path: Path) -> None:
    data = labels_of(tmp_path / "a.csv", "text,label\na,1.0\nb,1\nc,0.0\nd,007\n", **NOTHING_HELD_OUT)
    assert data.vocabulary.labels == ["0.0", "007", "1"]


def test_an_earlier_run_keeps_its_labels(tmp_path: Path) -> None:
    from lstm_readout.tokenizer import TextTokenizer, Vocabulary

    content = "text,label\na,pos\nb,pos \nc,1.0\n"
    for labels, expected in (
        (["1.0", "pos", "pos "], ["pos", "pos ", "1.0"]),
        (["1", "pos\xa0"], ["pos\xa0", "pos\xa0", "1"]),
    ):
        vocabulary = Vocabulary({"text": TextTokenizer.train(["a b c"])}, labels)
        data = labels_of(tmp_path / "a.csv", content, vocabulary=vocabulary, seen=True, **NOTHING_HELD_OUT)
        assert data.texts["train"]["label"][:] == expected


def test_a_stream_reads_labels_alike(tmp_path: Path) -> None:
    content = "text,label\n" + "a,pos \nb,neg\nc,pos\n" * 10
    data = labels_of(tmp_path / "a.csv", content, streaming=True, test=0)
    assert data.vocabulary.labels == ["neg", "pos"]
    assert sum(len(batch.labels) for batch in data.train_dataloader()) + len(data.texts["validation"]) == 30
