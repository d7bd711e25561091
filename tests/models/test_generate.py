from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence
from torch.testing import assert_close

from lstm_readout.errors import UserError
from lstm_readout.models import LanguageModel

V, E, H = 9, 4, 5


def build(**arguments: Any) -> LanguageModel:
    return LanguageModel(vocab_size=V, **{"embedding_size": E, "hidden_size": H, **arguments}).double().eval()


def test_two_directions_are_refused_with_the_reason():
    with pytest.raises(UserError, match=r"bidirectional=true cannot generate.*already read the next token.*leak"):
        build(bidirectional=True)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_no_logits_move_when_a_later_token_changes(cell):
    model = build(num_layers=2, cell=cell)
    ids = torch.randint(0, V, (7, 2))  # (T, B)
    before = model(ids).logits
    for t in range(1, 7):
        changed = ids.clone()
        changed[t:] = (changed[t:] + 1) % V
        after = model(changed).logits
        assert torch.equal(after[:t], before[:t])
        assert not torch.allclose(after[t], before[t])


def test_logits_are_the_head_on_output_at_every_step():
    model = build(num_layers=2)
    rows = [torch.randint(0, V, (length,)) for length in (3, 6, 1)]
    logits = model(pack_sequence(rows, enforce_sorted=False)).logits
    for ours, row in zip(unpack_sequence(logits), rows, strict=True):
        output, _ = model.encoder.lstm.rnn(model.encoder.embedding(row).unsqueeze(1))
        assert_close(ours, model.head(output[:, 0]))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("cell", "proj_size"), [("lstm", 0), ("lstm", 3), ("gru", 0)])
def test_step_after_step_equals_one_call(cell, proj_size, batch_first):
    model = build(num_layers=2, batch_first=batch_first, cell=cell, proj_size=proj_size)
    ids = torch.randint(0, V, (6, 3))  # (T, B)
    logits, last = model(ids.T if batch_first else ids)
    state = None
    for t in range(6):
        step_logits, state = model.step(ids[t], state)
        assert_close(step_logits, logits[:, t] if batch_first else logits[t])
    assert_close(state, last)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 9), st.sampled_from(["lstm", "gru"]))
def test_windows_with_the_state_carried_equal_one_long_pass(lengths, window, cell):
    """Columns that end early leave the batch, as those of a stream do: the longest come first."""
    model = build(num_layers=2, cell=cell)
    rows = [torch.randint(0, V, (length,)) for length in sorted(lengths, reverse=True)]
    whole = model(pack_sequence(rows))
    state, pieces = None, [[] for _ in rows]
    h_n = torch.zeros_like(whole.state.h)
    for start in range(0, len(rows[0]), window):
        cut = [row[start : start + window] for row in rows if len(row) > start]
        state = None if state is None else state.detach().rows(slice(len(cut)))
        output = model(pack_sequence(cut), state)
        state = output.state
        h_n[:, : len(cut)] = state.h  # of the rows that ended in this window, the last word
        assert isinstance(output.logits, PackedSequence)
        for piece, logits in zip(pieces, unpack_sequence(output.logits), strict=False):
            piece.append(logits)
    assert_close([torch.cat(piece) for piece in pieces], unpack_sequence(whole.logits))
    assert_close(h_n, whole.state.h)


def test_a_carried_state_leaves_the_graph_when_detached():
    model = build()
    state = model(torch.randint(0, V, (4, 2))).state
    assert state.h.requires_grad
    assert not state.detach().h.requires_grad
    assert not state.detach().c.requires_grad
    assert_close(state.detach(), state)


def test_rows_of_a_state_are_those_of_h_and_c():
    state = build(num_layers=2)(torch.randint(0, V, (4, 5))).state
    chosen = torch.tensor([3, 0])
    assert torch.equal(state.rows(chosen).h, state.h[:, [3, 0]])
    assert torch.equal(state.rows(chosen).c, state.c[:, [3, 0]])
    assert build(cell="gru")(torch.randint(0, V, (4, 5))).state.rows(chosen).c is None


@pytest.mark.parametrize("most_logits", [1, 2 * V, 3 * V, 10**9])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_in_blocks_is_the_loss_of_all_logits(monkeypatch, most_logits, label_smoothing):
    monkeypatch.setattr("lstm_readout.nn.cross_entropy.MOST_LOGITS", most_logits)
    model = build(num_layers=2)
    rows = [torch.randint(0, V, (length,)) for length in (3, 6, 1)]
    inputs, targets = pack_sequence(rows, enforce_sorted=False), torch.randint(0, V, (10,))
    logits, state = model(inputs)
    whole = cross_entropy(logits.data, targets, label_smoothing=label_smoothing)
    blocks, blocks_state = model.loss(inputs, targets, label_smoothing=label_smoothing)
    assert_close(blocks, whole)
    assert_close(tuple(blocks_state), tuple(state))
    parameters = list(model.parameters())
    assert_close(torch.autograd.grad(blocks, parameters), torch.autograd.grad(whole, parameters))


@pytest.mark.parametrize("most_logits", [V, 10**9])
def test_the_loss_counts_the_scored_steps_alone(monkeypatch, most_logits):
    monkeypatch.setattr("lstm_readout.nn.cross_entropy.MOST_LOGITS", most_logits)
    model = build()
    inputs = pack_sequence([torch.randint(0, V, (length,)) for length in (6, 3)])
    scored, targets = torch.tensor([1, 4, 5, 8]), torch.randint(0, V, (4,))
    logits, state = model(inputs)
    loss, new_state = model.loss(inputs, targets, scored=scored)
    assert_close(loss, cross_entropy(logits.data[scored], targets))
    assert_close(tuple(new_state), tuple(state))
