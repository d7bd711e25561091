"""The LSTM against ``torch.nn`` on each row alone, where no padding and no neighbour can play a part.

Shapes: B rows, T steps, I input_size, H hidden_size, O = proj_size or H, L num_layers, D directions.
"""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence
from torch.testing import assert_close

from lstm_readout import LSTM, LSTMState
from lstm_readout.errors import UserError
from lstm_readout.nn.block_layout import lay_out
from lstm_readout.nn.packed import each_token

I, H = 3, 4  # noqa: E741 - the letters of the shapes
RAW = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
ENGINES = ["runs", "padded", "packed", "auto", 3.0]  # 3.0: as if beginning a block cost what 3 rows cost
CELLS = [("lstm", 0), ("lstm", 3), ("gru", 0), ("rnn", 0)]  # cell, proj_size


def build(cell: str = "lstm", proj_size: int = 0, engine: Any = "auto", **arguments: Any) -> tuple[LSTM, nn.RNNBase]:
    """Make an LSTM and a torch.nn module of the same weights, both in float64; a number as engine: its block_cost."""
    raw = RAW[cell](I, H, **({"proj_size": proj_size} if proj_size else {}), **arguments).double()
    name = engine if isinstance(engine, str) else "auto"
    lstm = LSTM(I, H, cell=cell, proj_size=proj_size, engine=name, **arguments).double()
    if not isinstance(engine, str):
        lstm.block_cost = engine
    lstm.rnn.load_state_dict(raw.state_dict())
    return lstm, raw


def random_rows(lengths: list[int], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(length, I, dtype=dtype, requires_grad=True) for length in lengths]  # each (T, I)


def random_state(lstm: LSTM, batch: int) -> LSTMState:
    rnn = lstm.rnn
    number = rnn.num_layers * (2 if rnn.bidirectional else 1)
    h = torch.randn(number, batch, rnn.proj_size or H, dtype=torch.float64, requires_grad=True)
    c = torch.randn(number, batch, H, dtype=torch.float64, requires_grad=True)
    return LSTMState(h, c if lstm.cell == "lstm" else None)


def packed(rows: list[Tensor]) -> PackedSequence:
    return pack_sequence(rows, enforce_sorted=False)


def raw_state(state: LSTMState | None) -> Any:
    """Return a state as torch.nn wants it."""
    return None if state is None else state.h if state.c is None else tuple(state)


def singles(raw: nn.RNNBase, rows: list[Tensor], state: LSTMState | None) -> list[Tensor]:
    """Run each row alone, a batch of 1: the outputs (T, D * O) of each row, then h_n and c_n of all rows."""
    outputs, lasts = [], []
    for i, row in enumerate(rows):
        first = raw_state(None if state is None else state.rows(slice(i, i + 1)))
        output, last = raw(row.unsqueeze(1), first)  # (T, 1, I)
        outputs.append(output.squeeze(1))
        lasts.append(last if isinstance(last, tuple) else (last,))
    return outputs + [torch.cat(parts, dim=1) for parts in zip(*lasts, strict=True)]  # (L * D, B, size)


def together(lstm: LSTM, rows: list[Tensor], state: LSTMState | None) -> list[Tensor]:
    """Run all rows in one packed call: what ``singles`` returns."""
    output, h_n, c_n = lstm(packed(rows), state)
    return unpack_sequence(output) + [h_n] + ([] if c_n is None else [c_n])


def gradients(results: list[Tensor], leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients of a weighted sum of everything, with weights that no two results share."""
    weights = torch.Generator().manual_seed(0)
    loss = sum((r * torch.randn(r.shape, generator=weights, dtype=r.dtype)).sum() for r in results)
    return torch.autograd.grad(loss, leaves)


def assert_equals_singles(lstm: LSTM, raw: nn.RNNBase, lengths: list[int], with_state: bool) -> None:
    rows, state = random_rows(lengths), random_state(lstm, len(lengths)) if with_state else None
    ours, theirs = together(lstm, rows, state), singles(raw, rows, state)
    assert_close(ours, theirs)
    inputs = rows + [part for part in state or () if part is not None]
    names = [name for name, _ in raw.named_parameters()]
    ours_gradients = gradients(ours, inputs + [lstm.rnn.get_parameter(name) for name in names])
    assert_close(ours_gradients, gradients(theirs, inputs + [raw.get_parameter(name) for name in names]))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["uni", "bi"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "proj_size"), CELLS)
def test_packed_equals_each_row_alone(cell, proj_size, num_layers, bidirectional, bias, with_state, engine):
    lstm, raw = build(cell, proj_size, engine, num_layers=num_layers, bidirectional=bidirectional, bias=bias)
    assert_equals_singles(lstm, raw, [2, 5, 1, 5, 3], with_state)


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    cell=st.sampled_from(CELLS),
    num_layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    with_state=st.booleans(),
    engine=st.sampled_from(ENGINES),
)
@settings(parent=settings(), max_examples=max(300, settings().max_examples))  # 10,000 with --hypothesis-profile=long
@example([1], ("lstm", 0), 1, True, True, "padded")
@example([7], ("lstm", 0), 2, True, False, "runs")
@example([1, 1, 1], ("lstm", 0), 2, True, True, "padded")
@example([4, 4, 4], ("lstm", 0), 2, True, True, "runs")
@example([1, 2, 3, 4], ("lstm", 0), 2, True, True, "runs")
@example([4, 3, 2, 1], ("lstm", 0), 2, True, True, 3.0)
def test_packed_equals_each_row_alone_for_any_lengths(lengths, cell, num_layers, bidirectional, with_state, engine):
    lstm, raw = build(*cell, engine, num_layers=num_layers, bidirectional=bidirectional)
    assert_equals_singles(lstm, raw, lengths, with_state)


@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cell", "proj_size"), CELLS)
def test_packed_equals_the_packed_call_of_the_inner_module(cell, proj_size, bidirectional, enforce_sorted):
    lstm, _ = build(cell, proj_size, num_layers=2, bidirectional=bidirectional)
    lengths = [6, 4, 4, 1] if enforce_sorted else [4, 1, 6, 4]
    sequence = pack_sequence(random_rows(lengths), enforce_sorted=enforce_sorted)
    state = random_state(lstm, 4)
    output, h_n, c_n = lstm(sequence, state)
    raw_output, last = lstm.rnn(sequence, raw_state(state))
    assert_close(output.data, raw_output.data)
    assert output[1:3] == raw_output[1:3] or all(map(torch.equal, output[1:], raw_output[1:]))
    assert_close((h_n, c_n) if cell == "lstm" else h_n, last)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(("cell", "proj_size"), CELLS)
def test_float32_equals_each_row_alone(cell, proj_size, inference, engine):
    lstm, raw = (module.float() for module in build(cell, proj_size, engine, num_layers=2, bidirectional=True))
    rows = random_rows([3, 9, 1, 4], torch.float32)
    with torch.inference_mode(inference):
        assert_close(together(lstm, rows, None), singles(raw, rows, None), rtol=1e-4, atol=1e-6)


def test_output_of_a_packed_sequence_keeps_its_order_and_lengths():
    lstm, _ = build()
    sequence = packed(random_rows([2, 5, 3]))
    output = lstm(sequence).output
    assert [len(row) for row in unpack_sequence(output)] == [2, 5, 3]
    assert output.batch_sizes is sequence.batch_sizes
    assert output.sorted_indices is sequence.sorted_indices


@pytest.mark.parametrize(
    ("cost", "rows", "steps"),
    [
        (0.0, [5, 4, 2], [1, 1, 3]),  # one block for each run of equal batch size
        (1.5, [5, 4, 2], [1, 1, 3]),  # 15 rows and three blocks: 19.5, as with two; and nothing is to be copied
        (2.0, [5, 2], [2, 3]),  # 16 rows and two blocks: 20; 15 rows and three blocks: 21
        (9.5, [5], [5]),  # 25 rows and one block: 34.5; 16 rows and two blocks: 35
        (math.inf, [5], [5]),
    ],
)
def test_blocks_are_cut_where_it_costs_least(cost, rows, steps):
    sequence = packed(random_rows([5, 1, 2, 5, 2]))  # batch sizes 5, 4, 2, 2, 2
    layout = lay_out(sequence.batch_sizes, cost)
    assert (layout.rows, layout.steps) == (rows, steps)
    assert (layout.places is None) == (len(rows) == 3)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=7), st.floats(0.5, 20))
def test_no_other_cut_costs_less(lengths, cost):
    batch_sizes = packed(random_rows(lengths)).batch_sizes
    sizes, counts = (x.tolist() for x in torch.unique_consecutive(batch_sizes, return_counts=True))

    def total(rows: list[int], steps: list[int]) -> float:
        return sum(cost + row * step for row, step in zip(rows, steps, strict=True))

    every = []
    for cuts in product([False, True], repeat=len(sizes) - 1):
        first = [0, *(run + 1 for run, cut in enumerate(cuts) if cut), len(sizes)]
        every.append(total([sizes[run] for run in first[:-1]], [sum(counts[a:b]) for a, b in pairwise(first)]))
    layout = lay_out(batch_sizes, cost)
    copying = 0.05 * sum(lengths) if layout.places is not None else 0.0
    assert total(layout.rows, layout.steps) + copying <= min(every) + 0.05 * sum(lengths) + 1e-9


def test_a_cell_state_is_held_whatever_the_weights():
    lstm, _ = (module.float() for module in build(engine="padded"))
    for parameter in lstm.parameters():
        parameter.data *= 50
    rows = random_rows([400, 2], torch.float32)
    _, h_n, c_n = lstm(packed(rows))
    _, h_alone, c_alone = lstm(packed(rows[1:]))
    assert_close((h_n[:, 1:], c_n[:, 1:]), (h_alone, c_alone), rtol=1e-5, atol=1e-7)


# One row and its neighbours


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_change_in_one_row_changes_no_other_row(bidirectional):
    lstm, _ = build(num_layers=2, bidirectional=bidirectional)
    rows = random_rows([4, 2, 6, 4])
    changed = [rows[0], rows[1], 100 * torch.randn(3, I).double(), rows[3]]  # another text of another length
    *before, h_before, c_before = together(lstm, rows, None)
    *after, h_after, c_after = together(lstm, changed, None)
    others = [0, 1, 3]
    for i in others:
        assert_close(after[i], before[i])
    assert_close(h_after[:, others], h_before[:, others])
    assert_close(c_after[:, others], c_before[:, others])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_loss_of_one_row_has_no_gradient_in_another(bidirectional):
    lstm, _ = build(num_layers=2, bidirectional=bidirectional)
    rows = random_rows([4, 2, 6, 4])
    *outputs, h_n, c_n = together(lstm, rows, None)
    loss = outputs[1].sum() + h_n[:, 1].sum() + c_n[:, 1].sum()
    found = torch.autograd.grad(loss, rows)
    assert [bool(g.any()) for g in found] == [False, True, False, False]


@given(st.permutations(range(5)))
def test_batch_order_does_not_matter(order):
    lstm, _ = build(num_layers=2, bidirectional=True)
    rows = random_rows([4, 2, 6, 4, 1])
    *outputs, h_n, c_n = together(lstm, rows, None)
    *moved, moved_h_n, moved_c_n = together(lstm, [rows[i] for i in order], None)
    assert_close(moved, [outputs[i] for i in order])
    assert_close((moved_h_n, moved_c_n), (h_n[:, order], c_n[:, order]))


# Dense Tensors


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("cell", "proj_size"), CELLS)
def test_dense_equals_torch_and_h_n_keeps_layers_first(cell, proj_size, batch_first):
    lstm, raw = build(cell, proj_size, num_layers=2, bidirectional=True, batch_first=batch_first)
    state = random_state(lstm, 5)
    input = torch.randn((5, 7, I) if batch_first else (7, 5, I), dtype=torch.float64)
    output, h_n, c_n = lstm(input, state)
    raw_output, last = raw(input, raw_state(state))
    assert torch.equal(output, raw_output)
    assert_close((h_n, c_n) if cell == "lstm" else h_n, last)
    size = proj_size or H
    assert output.shape == ((5, 7, 2 * size) if batch_first else (7, 5, 2 * size))
    assert h_n.shape == (2 * 2, 5, size)
    assert c_n is None if cell != "lstm" else c_n.shape == (2 * 2, 5, H)
    assert lstm.output_size == 2 * size


def test_dense_and_packed_agree_on_rows_of_one_length():
    lstm, _ = build(num_layers=2, bidirectional=True)
    rows = random_rows([4, 4, 4])
    *outputs, h_n, c_n = together(lstm, rows, None)
    assert_close((torch.stack(outputs, 1), h_n, c_n), tuple(lstm(torch.stack(rows, 1))))


def test_each_token_keeps_the_steps_where_they_are():
    head = nn.Linear(I, 2).double()
    rows = random_rows([2, 5, 3])
    for ours, row in zip(unpack_sequence(each_token(head, packed(rows))), rows, strict=True):
        assert_close(ours, head(row))
    assert_close(each_token(head, torch.stack([rows[0]])), head(rows[0])[None])


# Weights


@pytest.mark.parametrize(("cell", "proj_size"), CELLS)
def test_state_dict_keys_are_those_of_torch_below_rnn(cell, proj_size):
    lstm, raw = build(cell, proj_size, num_layers=2, bidirectional=True)
    assert list(lstm.state_dict()) == [f"rnn.{key}" for key in raw.state_dict()]
    lstm.load_state_dict({f"rnn.{key}": value + 1 for key, value in raw.state_dict().items()})
    assert_close(together(lstm, rows := random_rows([3, 1]), None)[0], lstm.rnn(rows[0].unsqueeze(1))[0][:, 0])


# Dropout


def dense_and_packed(rows: list[Tensor]) -> list[Tensor | PackedSequence]:
    return [torch.stack(rows, 1), packed(rows)]


@pytest.mark.parametrize("form", [0, 1], ids=["dense", "packed"])
def test_dropout_of_one_leaves_the_second_layer_nothing_to_read(form):
    lstm, raw = build(num_layers=2, dropout=1.0)
    second = nn.LSTM(H, H).double()
    second.load_state_dict({k.replace("l1", "l0"): v for k, v in raw.state_dict().items() if "l1" in k})
    output = lstm(dense_and_packed(random_rows([6, 6]))[form]).output
    expected = second(torch.zeros(6, 2, H, dtype=torch.float64))[0]
    assert_close(output.data.view(6, 2, H) if form else output, expected)


@pytest.mark.parametrize("form", [0, 1], ids=["dense", "packed"])
def test_dropout_zeroes_its_share_of_the_features_between_layers_and_scales_the_rest(form):
    lstm = LSTM(I, 50, num_layers=2, dropout=0.3, cell="rnn")
    with torch.no_grad():  # the second layer shows what it reads: tanh(x)
        lstm.rnn.weight_ih_l1.copy_(torch.eye(50))
        for silent in (lstm.rnn.weight_hh_l1, lstm.rnn.bias_ih_l1, lstm.rnn.bias_hh_l1):
            silent.zero_()
    sequence = dense_and_packed(random_rows([20] * 10, torch.float32))[form]
    read = lstm(sequence).output.data.atanh()
    full = lstm.eval()(sequence).output.data.atanh()
    dropped = read == 0
    assert 0.27 < dropped.float().mean() < 0.33  # 10,000 features: 0.3 +- 6 standard deviations
    assert_close(read[~dropped], full[~dropped] / 0.7, rtol=1e-3, atol=1e-4)
    assert not dropped.view(-1, 50).all(0).any()  # no feature is lost at every step: a mask for each token


def test_dropout_is_off_in_eval_mode():
    lstm, raw = build(num_layers=2, dropout=0.5)
    rows = random_rows([3, 5])
    assert not torch.equal(together(lstm, rows, None)[0], together(lstm, rows, None)[0])
    assert_close(together(lstm.eval(), rows, None), singles(raw.eval(), rows, None))


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match=r"dropout=0\.5 does nothing with num_layers=1.*output_dropout"):
        LSTM(I, H, dropout=0.5)


# Mistakes


def test_an_unknown_cell_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"cell: there is no 'lstn'\. Did you mean 'lstm'\? Valid: gru, lstm, rnn\."):
        LSTM(I, H, cell="lstn")  # type: ignore[arg-type]


def test_what_torch_refuses_is_told_as_a_mistake():
    with pytest.raises(UserError, match="lstm: hidden_size must be greater than zero"):
        LSTM(I, 0)


def test_an_unknown_engine_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"engine: there is no 'pack'\. Did you mean 'packed'\?"):
        LSTM(I, H, engine="pack")  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_projection_is_refused_for_other_cells(cell):
    with pytest.raises(UserError, match=f"proj_size=2: only cell=lstm has a projection; cell is '{cell}'"):
        LSTM(I, H, cell=cell, proj_size=2)


@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize(
    ("cell", "shapes"),
    [
        ("lstm", [(1, 5, H), (1, 5, H)]),  # rows of a larger batch
        ("lstm", [(1, 2, H), (1, 2, H)]),  # of a smaller one
        ("lstm", [(2, 3, H), (2, 3, H)]),  # more layers
        ("lstm", [(1, 3, H + 1), (1, 3, H)]),
        ("lstm", [(1, 3, H)]),  # a gru's state
        ("gru", [(1, 3, H), (1, 3, H)]),  # an lstm's
    ],
)
def test_a_state_of_the_wrong_shape_is_refused(cell, shapes, enforce_sorted):
    lstm, _ = build(cell)
    sequence = pack_sequence(random_rows([5, 3, 2]), enforce_sorted=enforce_sorted)
    with pytest.raises(RuntimeError, match="state: wanted shapes"):
        lstm(sequence, LSTMState(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes)))


def test_an_input_of_the_wrong_width_or_type_is_refused():
    lstm, _ = build()
    with pytest.raises(RuntimeError, match="input_size"):
        lstm(packed([torch.zeros(2, I + 1, dtype=torch.float64)]))
    with pytest.raises((RuntimeError, ValueError), match="type"):
        lstm(packed([torch.zeros(2, I)]))


def test_a_million_layers_are_refused_before_they_are_built():
    with pytest.raises(UserError, match=r"num_layers: wanted 1000 or fewer, got 1000000"):
        LSTM(1, 1, num_layers=10**6)
