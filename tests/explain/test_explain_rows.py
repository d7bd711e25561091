"""The small batch: mixed lengths, no row twice, and names of tokens that can be shown anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from lstm_readout.data.batches import ClassifyBatch, GenerateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.explain.batch import MOST_STEPS, choose, lengths_of, names_of, small_batch, visible
from lstm_readout.tokenizer import TextTokenizer


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 12))
def test_chosen_rows_are_distinct_and_go_from_short_to_long(lengths, number):
    rows = choose(np.array(lengths), number)
    assert len(set(rows.tolist())) == len(rows) == min(number, len(lengths))
    chosen = np.array(lengths)[rows]
    assert chosen[0] == min(lengths)
    assert (np.diff(chosen) >= 0).all()


def test_lengths_are_mixed_where_the_data_has_short_rows():
    lengths = np.random.default_rng(0).permutation(np.repeat(np.arange(4, 60), 5))
    assert np.array(lengths)[choose(lengths, 6)].tolist() == [4, 6, 7, 9, 10, 12]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_lengths_stand_in_the_order_of_the_batch(lengths):
    packed = pack_sequence([torch.zeros(length) for length in lengths], enforce_sorted=False)
    assert lengths_of(packed) == lengths


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_character_becomes_visible(text):
    shown = visible(text).replace("\u200d", "")
    assert shown.isprintable()
    assert " " not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" ", "␣"),
        ("\n", "⏎"),
        ("a\x00b", "aU+0000b"),
        ("\u202eabc", "U+202Eabc"),
        ("\u200d", "U+200D"),
        ("漢字", "漢字"),
        ("$x_1$", "$x_1$"),
    ],
)
def test_what_a_character_is_called(text, shown):
    assert visible(text) == shown


def test_a_part_of_a_character_is_called_by_its_byte():
    tokenizer = TextTokenizer.train(["abc"], kind="bpe", vocab_size=300)
    ids = tokenizer.encode(["a 漢"])[0].row(0).tolist()
    names = names_of(tokenizer, ids)
    assert names == ["a", "␣", "<0xE6>", "<0xBC>", "<0xA2>", "<eos>"]


def module(tmp_path, text, **options):
    (tmp_path / "train.txt").write_text(text, encoding="utf-8")
    data = TextDataModule(
        roles={"text": "text"},
        batch_type=GenerateBatch,
        name="files",
        path=str(tmp_path / "train.txt"),
        validation=0.0,
        test=0.0,
        **options,
    )
    data.setup()
    return data


def test_a_long_row_is_cut(tmp_path):
    batch = small_batch(module(tmp_path, "word " * 5000, whole=True), 3)
    assert lengths_of(batch.inputs) == [MOST_STEPS]


def test_a_stream_gives_its_first_window(tmp_path):
    batch = small_batch(
        module(tmp_path, "one two three four five six seven eight\n" * 9, carry_state=True, window=5), 3
    )
    assert lengths_of(batch.inputs) == [5, 5, 5]
    assert not batch.continues


def test_a_new_corpus_without_a_training_split_is_read_all_the_same(tmp_path):
    rows = "".join(f"{'good ' * i},{label}\n" for i, label in enumerate("pnpnpn", start=1))
    (tmp_path / "new.csv").write_text("text,label\n" + rows)
    options = {"roles": {"text": "text", "label": "label"}, "batch_type": ClassifyBatch, "name": "files"}
    first = TextDataModule(**options, path=str(tmp_path / "new.csv"), validation=0.0, test=0.0)
    first.setup()
    data = TextDataModule(**options, path=str(tmp_path / "new.csv"), vocabulary=first.vocabulary)
    data.setup()
    assert "train" not in data.columns
    batch = small_batch(data, 4)
    assert lengths_of(batch.token_ids) == [2, 4, 5, 7]
    assert len(batch.labels) == 4
