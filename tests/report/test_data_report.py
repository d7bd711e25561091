"""The data report: known answers on tiny corpora, what must be warned of, and the files of a run."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.cells import cell_len

from lstm_readout.data.describe import describe, histograms, token_counts
from lstm_readout.data.duplicates import shortened
from lstm_readout.report.data_report import WIDTH, print_report, write_report
from lstm_readout.report.data_warnings import warnings_of
from lstm_readout.tokenizer import TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged

LABELS = ["neg", "pos"]


def report_of(texts, labels=None, names=LABELS, **options):
    """Describe texts: {split: {role: [...]}}, with labels {split: [...]}."""
    (first, *_) = texts.values()
    tokenizers = {role: TextTokenizer.train(column, **options) for role, column in first.items()}
    vocabulary = Vocabulary(tokenizers, list(names) if labels else [])
    columns, cut = {}, {}
    for split, part in texts.items():
        encoded = {role: tokenizers[role].encode(column) for role, column in part.items()}
        columns[split] = {role: column for role, (column, _) in encoded.items()}
        cut[split] = {role: number for role, (_, number) in encoded.items()}
        if labels:
            columns[split]["label"] = np.array([names.index(label) for label in labels[split]], dtype=np.int64)
    report = describe(texts, columns, vocabulary, cut)
    assert json.loads(json.dumps(report)) == report  # it is kept in a cache
    return report


def only_text(**splits):
    return {split: {"text": texts} for split, texts in splits.items()}


def test_the_numbers_of_a_hand_made_corpus():
    train = ["a b c", "a b", "", "a b ", "d", "a a a a a a"]
    report = report_of(only_text(train=train, test=["a z", " d\n", "q"]), max_length=4)
    part = report["splits"]["train"]
    assert (part["rows"], part["duplicates"], part["contradictions"], part["labels"]) == (6, 1, None, None)
    numbers = part["roles"]["text"]
    assert numbers["length"] == {"min": 0, "p5": 0, "p50": 2, "p95": 4, "p99": 4, "max": 4, "mean": 12 / 6}
    assert (numbers["tokens"], numbers["unknown_rate"], numbers["distinct_tokens"]) == (12, 0.0, 4)
    assert (numbers["truncated"], numbers["max_length"], numbers["keep"]) == (1, 4, "start")
    assert (numbers["empty"], numbers["duplicates"], numbers["vocabulary_size"]) == (1, 1, 7)
    assert numbers["histogram"] == {"first": 0, "width": 1, "counts": [1, 1, 2, 1, 1], "longer": 0}
    test = report["splits"]["test"]
    assert test["roles"]["text"]["unknown_rate"] == 2 / 4
    assert test["roles"]["text"]["histogram"]["counts"] == [0, 2, 1, 0, 0]
    assert test["leaks"] == {
        "train": {"rows": 1, "other_label": None, "examples": [{"row": 1, "earlier_row": 4, "text": "d"}]}
    }


def test_leaks_and_contradictions_are_found_across_splits():
    texts = only_text(
        train=["good film", "bad film", "so so", "so so"], validation=["bad film"], test=["so so ", "new", "bad film"]
    )
    labels = {"train": ["pos", "neg", "pos", "neg"], "validation": ["pos"], "test": ["pos", "neg", "neg"]}
    report = report_of(texts, labels)["splits"]
    assert report["train"]["leaks"] == {}
    assert [part["contradictions"] for part in report.values()] == [2, 0, 0]
    assert [part["duplicates"] for part in report.values()] == [1, 0, 0]
    assert report["validation"]["leaks"]["train"] == {
        "rows": 1,
        "other_label": 1,
        "examples": [{"row": 0, "earlier_row": 1, "text": "bad film", "label": "pos", "earlier_label": "neg"}],
    }
    leaks = report["test"]["leaks"]
    assert {earlier: (leak["rows"], leak["other_label"]) for earlier, leak in leaks.items()} == {
        "train": (2, 1),  # "so so" stands there with both labels
        "validation": (1, 1),
    }
    assert report["train"]["labels"] == {"counts": {"neg": 2, "pos": 2}, "most_frequent": "neg", "share": 0.5}


def test_a_pair_leaks_if_both_of_its_sides_do():
    train = {"source": ["ein Hund", "eine Katze", "ein Hund"], "target": ["a dog", "a cat", "the dog"]}
    test = {"source": ["ein Hund", "eine Katze"], "target": ["one dog", "a cat"]}
    report = report_of({"train": train, "test": test})["splits"]
    assert report["train"]["duplicates"] == 0
    assert {role: numbers["duplicates"] for role, numbers in report["train"]["roles"].items()} == {
        "source": 1,
        "target": 0,
    }
    leak = report["test"]["leaks"]["train"]
    assert leak["rows"] == 1
    assert leak["examples"] == [{"row": 1, "earlier_row": 1, "source": "eine Katze", "target": "a cat"}]


word = st.sampled_from(["a", "b", "é", "שלום", "👩‍👩‍👧", " ", ""])
rows = st.lists(st.tuples(word, st.sampled_from(LABELS)), min_size=1, max_size=12)


@given(rows, rows)
def test_repeated_rows_are_what_counting_by_hand_finds(train, test):
    train = [*train, ("a", "pos")]  # something to learn a vocabulary from
    given = {"train": train, "test": test}
    texts = only_text(**{split: [text for text, _ in part] for split, part in given.items()})
    report = report_of(texts, {split: [label for _, label in part] for split, part in given.items()})["splits"]
    of = {split: [(text.strip(), label) for text, label in part if text.strip()] for split, part in given.items()}
    for split, part in of.items():
        assert report[split]["duplicates"] == sum(n - 1 for n in Counter(text for text, _ in part).values())
        both = {text for text, label in part if any(t == text and other != label for t, other in part)}
        assert report[split]["contradictions"] == sum(text in both for text, _ in part)
    known = {text for text, _ in of["train"]}
    leak = report["test"]["leaks"]["train"]
    assert leak["rows"] == sum(text in known for text, _ in of["test"])
    assert leak["other_label"] == sum(
        any(t == text and other != label for t, other in of["train"]) for text, label in of["test"]
    )
    assert len(leak["examples"]) == min(3, len(known & {text for text, _ in of["test"]}))


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 10**6), min_size=1, max_size=30), min_size=1))
def test_a_histogram_holds_every_row(lengths):
    given = {split: np.array(some) for split, some in lengths.items()}
    for split, histogram in histograms(given).items():
        first, width, counts = (histogram[key] for key in ("first", "width", "counts"))
        assert sum(counts) + histogram["longer"] == len(given[split])
        assert len(counts) <= 40
        for place, count in enumerate(counts):
            low = first + place * width
            assert count == ((given[split] >= low) & (given[split] < low + width)).sum()


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=5))
def test_tokens_are_counted_by_id(lists):
    column = Ragged.from_lists(lists)
    assert token_counts(column, 10).tolist() == [sum(row.count(i) for row in lists) for i in range(10)]


def test_a_split_that_is_streamed_is_told_as_such(caplog, tmp_path):
    tokenizer = TextTokenizer.train(["a b"])
    vocabulary = Vocabulary({"text": tokenizer}, [])
    column, _ = tokenizer.encode(["a b", "b"])
    # Of the validation split the ids are known, not the texts
    report = describe({"train": None}, {"train": None, "validation": {"text": column}}, vocabulary, {})
    assert report["splits"]["train"] is None
    part = report["splits"]["validation"]
    assert (part["rows"], part["duplicates"], part["contradictions"], part["leaks"]) == (2, None, None, {})
    assert part["roles"]["text"]["truncated"] is None
    assert warnings_of(report) == []
    with caplog.at_level(logging.INFO):
        print_report(report)
    assert any(line.split() == ["train", "streamed"] for line in caplog.text.splitlines())
    write_report(report, tmp_path)
    assert (tmp_path / "lengths.png").stat().st_size
    nothing = describe({"train": None}, {"train": None}, vocabulary, {})
    write_report(nothing, tmp_path)
    assert json.loads((tmp_path / "data.json").read_text()) == {"generated": False, "splits": {"train": None}}


WARNINGS = [
    (
        only_text(train=["a film", "b film"], test=["c film", "a film"]),
        {"train": ["pos", "neg"], "test": ["neg", "neg"]},
        "LEAK: 1 of 2 test rows (50 %) also occur in train, 1 of them with another label, for example row 1: 'a film'",
    ),
    (
        only_text(train=["a", "a", "b"]),
        {"train": ["pos", "neg", "neg"]},
        "2 of 3 train rows (67 %) have a text that also occurs with another label. No model",
    ),
    (only_text(train=["a", "a", "b"]), None, "1 of 3 train rows (33 %) repeat an earlier one"),
    (
        only_text(train=["a b c d", "a b"]),
        None,
        "1 of 2 train text rows (50 %) are longer than tokenizer.max_length=3: only their end is read. Raise it",
    ),
    (only_text(train=["a", " "]), None, "1 of 2 train text rows (50 %) have no token; they are read as <eos> alone"),
    (
        only_text(train=["a b"], test=["a c"]),
        None,
        "test text: 50.0 % of the tokens are unknown, and all look alike to the model. Raise tokenizer.vocab_size",
    ),
    (
        only_text(train=[f"a {i}" for i in range(20)]),
        {"train": ["pos", *["neg"] * 19]},
        "train: 95.0 % of the rows have the label 'neg', so always predicting it is that accurate. Choose the "
        "checkpoint by task.monitor=val/macro_f1",
    ),
    (
        only_text(train=["a b", "c"]),
        {"train": ["pos", "pos"]},
        "train: 1 of 2 labels have fewer than 2 rows ('neg'). Add rows, or merge or drop these labels.",
    ),
]


@pytest.mark.parametrize(("texts", "labels", "message"), WARNINGS, ids=[message[:40] for *_, message in WARNINGS])
def test_what_a_person_must_see(texts, labels, message):
    assert any(message in told for told in warnings_of(report_of(texts, labels, max_length=3, keep="end")))


def test_a_sound_corpus_warns_of_nothing_and_generated_rows_may_come_again():
    texts = only_text(train=["a b", "b a", "a a"], test=["b b", "a b b"])
    assert warnings_of(report_of(texts)) == []
    again = report_of(only_text(train=["a b", "a b"], test=["a b"]))
    assert len(warnings_of(again)) == 2
    assert warnings_of(again | {"generated": True}) == []


STRANGE = {
    "one row": ["alone"],
    "right to left": ["שלום עולם", "مرحبا بالعالم", "שלום"],
    "emoji": ["👩‍👩‍👧 :smile: 🇩🇪", "[red]x[/red]", "👍🏽"],
    "long": ["a b " * 25_000, "a"],
    "empty": ["", "  ", "a"],
}


@pytest.mark.parametrize("case", sorted(STRANGE))
def test_strange_texts_are_reported_and_drawn(case, tmp_path, caplog):
    report = report_of(only_text(train=STRANGE[case]))
    with caplog.at_level(logging.INFO):
        print_report(report)
    write_report(report, tmp_path)
    assert json.loads((tmp_path / "data.json").read_text()) == report
    with Image.open(tmp_path / "lengths.png") as picture:
        assert len(picture.convert("L").getcolors()) > 10  # bars, lines and words
    if case == "long":
        assert report["splits"]["train"]["roles"]["text"]["length"]["max"] == 50_000
        assert "50,000" in caplog.text


def test_the_log_says_what_padding_would_cost(caplog):
    report = report_of(only_text(train=["a b", "a"])) | {"batches": {"number": 1_063, "fill": 0.8}}
    with caplog.at_level(logging.INFO):
        print_report(report)
    assert "1,063 batches per epoch; padding would add 25.0 % more tokens" in caplog.text.splitlines()


def test_tables_are_eighty_columns_wide_whatever_they_hold(caplog):
    names = [f"label {i} [b]{'很长' * 60}\n" for i in range(40)]
    texts = {
        split: {"source": [f"{split} {i}" for i in range(99)], "target": ["x"] * 99} for split in ("train", "test")
    }
    labels = {split: [names[i % 40] for i in range(99)] for split in texts}
    report = report_of(texts, labels, names)
    for part in report["splits"].values():
        part["rows"] = 99_999
        for numbers in part["roles"].values():
            numbers |= {"tokens": 123_456_789, "truncated": 99_999, "empty": 99_999, "duplicates": 99_999}
            numbers["length"] |= {"p50": 10_000, "p95": 99_999, "max": 999_900}
    with caplog.at_level(logging.INFO):
        print_report(report)
    (record,) = [record for record in caplog.records if record.levelno == logging.INFO]
    lines = record.getMessage().splitlines()
    assert max(map(cell_len, lines)) <= WIDTH
    for cell in ("train source", "test target", "123M", "99,999", "10,000", "1M", "33 others"):
        assert cell in record.getMessage()


def test_a_text_is_shortened_to_one_line():
    assert shortened("a\n b") == "a b"
    assert len(shortened("x" * 10_000)) == 90
    assert shortened(" " * 1000 + "x").endswith("...")


REAL = {
    # rows, duplicates, and rows of test that stand in train: what these corpora are known for
    "imdb": ({"train": (25_000, 96), "test": (25_000, 199)}, 123),
    "trec": ({"train": (5_452, 71), "test": (500, 0)}, 10),
}


@pytest.mark.parametrize("corpus", sorted(REAL))
def test_repeated_rows_of_real_corpora(corpus):
    if not os.environ.get("LSTM_READOUT_DATA"):
        pytest.skip("LSTM_READOUT_DATA is not set")
    from lstm_readout.data.duplicates import Rows, duplicates, leak
    from lstm_readout.data.sources import local_folder, read_files

    suffix = {"imdb": "parquet", "trec": "csv"}[corpus]
    splits = read_files({split: f"{split}.{suffix}" for split in ("train", "test")}, local_folder(corpus))
    found = {split: Rows.of({"text": part.rows["text"][:]}) for split, (part,) in splits.items()}
    expected, leaked = REAL[corpus]
    assert {s: (len(r.inputs), duplicates(r.inputs, r.blank)) for s, r in found.items()} == expected
    assert leak(found["test"], found["train"])["rows"] == leaked
