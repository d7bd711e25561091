"""A batch holds what packing by hand gives: rows stay with their labels, targets are inputs moved by one."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from lstm_readout.data.batches import ClassifyBatch, Columns, GenerateBatch, TranslateBatch
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged

words = st.lists(st.integers(3, 50), max_size=6)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=8)


def ended(texts: list[list[int]]) -> list[list[int]]:
    return [[*text, EOS] for text in texts]


def tensors(rows: list[list[int]]) -> list[Tensor]:
    return [torch.tensor(row) for row in rows]


def as_lists(sequence: PackedSequence) -> list[list[int]]:
    return [row.tolist() for row in unpack_sequence(sequence)]


def moved(rows: list[list[int]]) -> list[list[int]]:
    return [[BOS, *row[:-1]] for row in rows]


def split_targets(targets: Tensor, inputs: PackedSequence) -> list[list[int]]:
    return as_lists(inputs._replace(data=targets))


@given(pairs, st.data())
def test_documents_keep_their_labels(rows: list[tuple[list[int], list[int]]], data: st.DataObject) -> None:
    texts = ended([text for text, _ in rows])
    labels = np.arange(len(texts)) * 10
    chosen = data.draw(st.permutations(range(len(texts))))
    columns: Columns = {"text": Ragged.from_lists(texts), "label": labels, "text_text": np.array(texts, dtype=object)}
    batch = ClassifyBatch.collate(columns, np.array(chosen))
    assert as_lists(batch.token_ids) == [texts[i] for i in chosen]
    assert batch.labels.tolist() == [10 * i for i in chosen]
    assert batch.labels.dtype == batch.token_ids.data.dtype == torch.int64
    assert batch.tokens == sum(map(len, texts))


@given(pairs, st.data())
def test_the_targets_of_generated_text_are_its_inputs_moved_by_one(
    rows: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    texts = ended([text for text, _ in rows])
    chosen = data.draw(st.permutations(range(len(texts))))
    batch = GenerateBatch.collate({"text": Ragged.from_lists(texts)}, np.array(chosen))
    wanted = [texts[i] for i in chosen]
    assert as_lists(batch.inputs) == moved(wanted)
    assert split_targets(batch.targets, batch.inputs) == wanted
    assert batch.tokens == sum(map(len, wanted))
    assert batch.continues is False


@given(pairs, st.data())
def test_translations_keep_their_sources_and_references(
    rows: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    sources, targets = ended([source for source, _ in rows]), ended([target for _, target in rows])
    chosen = data.draw(st.permutations(range(len(rows))))
    columns: Columns = {
        "source": Ragged.from_lists(sources),
        "target": Ragged.from_lists(targets),
        "target_text": np.array([f"reference {i}" for i in range(len(rows))], dtype=object),
    }
    batch = TranslateBatch.collate(columns, np.array(chosen))
    assert as_lists(batch.source) == [sources[i] for i in chosen]
    assert as_lists(batch.target_inputs) == moved([targets[i] for i in chosen])
    assert split_targets(batch.targets, batch.target_inputs) == [targets[i] for i in chosen]
    assert batch.references == [f"reference {i}" for i in chosen]
    assert batch.tokens == sum(map(len, sources)) + sum(map(len, targets))


def test_a_batch_is_exactly_what_torch_packs() -> None:
    texts = ended([[5, 6, 7], [], [8], [9, 10]])  # no two of one length: one order is right
    batch = GenerateBatch.collate({"text": Ragged.from_lists(texts)}, np.arange(4))
    inputs, targets = (pack_sequence(tensors(rows), enforce_sorted=False) for rows in (moved(texts), texts))
    for ours, theirs in zip(batch.inputs, inputs, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(batch.targets, targets.data)


@pytest.mark.parametrize("batch_type", [ClassifyBatch, GenerateBatch, TranslateBatch])
def test_one_empty_text_is_a_batch(batch_type: type) -> None:
    empty = Ragged.from_lists([[EOS]])
    columns: Columns = {
        "text": empty,
        "source": empty,
        "target": empty,
        "label": np.array([3]),
        "target_text": np.array([""], dtype=object),
    }
    batch = batch_type.collate(columns, np.array([0]))
    assert batch.tokens == (2 if batch_type is TranslateBatch else 1)


@pytest.mark.parametrize("made", [ClassifyBatch, GenerateBatch, TranslateBatch])
def test_a_batch_travels_between_processes_without_shared_tensors(made: Any) -> None:
    texts = Ragged.from_lists([[3, 4, EOS], [5, EOS]])
    columns: Columns = {
        **dict.fromkeys(("text", "source", "target"), texts),
        "label": np.array([1, 0]),
        "target_text": np.array(["a", "b"], dtype=object),
    }
    batch = made.collate(columns, np.array([1, 0]))
    sent = bytes(ForkingPickler.dumps(batch))
    assert b"torch" not in sent
    received = pickle.loads(sent)
    assert type(received) is made
    for name in made._fields:
        wanted, got = getattr(batch, name), getattr(received, name)
        for one, other in zip(wanted, got, strict=True) if isinstance(wanted, tuple) else [(wanted, got)]:
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
