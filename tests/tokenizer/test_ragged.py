from __future__ import annotations

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from lstm_readout.nn.packed import reversed_rows, row_of_token
from lstm_readout.tokenizer.ragged import Ragged, pack

texts = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=8), min_size=1, max_size=7)
BOS = 1


def as_lists(sequence: PackedSequence) -> list[list[int]]:
    return [row.tolist() for row in unpack_sequence(sequence)]


@given(st.lists(st.lists(st.integers(0, 2**31 - 1))))
def test_lists_come_back_from_the_flat_array(rows):
    ragged = Ragged.from_lists(rows)
    assert [ragged.row(i).tolist() for i in range(len(rows))] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]


@given(texts, st.data())
@example([[5]], None)
@example([[1], [2], [3]], None)
def test_pack_equals_torch(rows, data):
    chosen = data.draw(st.permutations(range(len(rows)))) if data else list(range(len(rows)))
    ours = pack(Ragged.from_lists(rows), np.array(chosen))
    tensors = [torch.tensor(rows[i]) for i in chosen]
    theirs = pack_sequence(tensors, enforce_sorted=False)
    assert as_lists(ours) == as_lists(theirs) == [rows[i] for i in chosen]
    assert torch.equal(ours.batch_sizes, theirs.batch_sizes)
    # Rows of one length may stand in either order; data must be that of torch for the order that was taken
    in_order = pack_sequence([tensors[i] for i in ours.sorted_indices], enforce_sorted=True)
    assert torch.equal(ours.data, in_order.data)
    assert ours.data.dtype == theirs.data.dtype
    assert torch.equal(ours.sorted_indices[ours.unsorted_indices], torch.arange(len(rows)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8, unique=True).map(lambda n: [[k] * k for k in n]))
def test_pack_equals_torch_field_by_field_where_lengths_differ(rows):
    ours = pack(Ragged.from_lists(rows), np.arange(len(rows)))
    theirs = pack_sequence([torch.tensor(row) for row in rows], enforce_sorted=False)
    assert all(map(torch.equal, ours, theirs))


def test_pack_takes_some_rows_and_the_same_row_twice():
    column = Ragged.from_lists([[1], [2, 2], [3, 3, 3]])
    assert as_lists(pack(column, np.array([2, 0, 2]))) == [[3, 3, 3], [1], [3, 3, 3]]


@given(texts)
@example([[5]])
def test_first_moves_each_row_one_step_to_the_right(rows):
    column, every = Ragged.from_lists(rows), np.arange(len(rows))
    inputs, targets = pack(column, every, first=BOS), pack(column, every)
    assert as_lists(inputs) == [[BOS, *row[:-1]] for row in rows]
    assert all(map(torch.equal, inputs[1:], targets[1:]))  # so that data stands beside data


@given(texts)
def test_reversed_rows_turns_each_row_around(rows):
    sequence = pack(Ragged.from_lists(rows), np.arange(len(rows)))
    turned = reversed_rows(sequence)
    assert as_lists(turned) == [row[::-1] for row in rows]
    assert torch.equal(reversed_rows(turned).data, sequence.data)


@given(texts)
def test_row_of_token_names_each_tokens_row(rows):
    marked = [[i] * len(row) for i, row in enumerate(rows)]
    sequence = pack(Ragged.from_lists(marked), np.arange(len(rows)))
    assert torch.equal(sequence.sorted_indices[row_of_token(sequence)], sequence.data)
