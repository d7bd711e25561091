"""What explain claims is true: every identity holds, and each task reads what is said and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import READOUTS, small_task

import lstm_readout
from lstm_readout.errors import UserError
from lstm_readout.explain.gradient_proof import gradients_of
from lstm_readout.explain.identities import bridge_identities, dense, dense_input, identities_of
from lstm_readout.explain.tensors import call_of, tensors_of
from lstm_readout.explain.trace import row_name, sides_of

LENGTHS = [4, 2, 7, 1]


@st.composite
def shapes(draw):
    cell = draw(st.sampled_from(["lstm", "gru", "rnn"]))
    return {
        "cell": cell,
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "proj_size": draw(st.sampled_from([0, 4])) if cell == "lstm" else 0,
    }


lengths_of_rows = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def proves(task, batch, side):
    """Assert that gradients flow into what the reading names, and into nothing else."""
    found, reading = gradients_of(task, batch, side), side.reading
    assert [value > 0 for value in found.h_n] == [row in reading.h_n for row in range(len(found.h_n))]
    assert [value > 0 for value in found.c_n] == [row in reading.c_n for row in range(len(found.c_n))]
    assert (found.output > 0) == (reading.output != "no step")
    if reading.output == "last real step":
        assert found.steps_read == found.last_steps_read == len(side.lengths)
    if reading.expression in ("head(output)", "head(mean(output))", "head(attention(output))"):
        assert found.steps_read == found.real_steps == sum(side.lengths)
    read = {line.name: bool(line.read) for line in tensors_of(side)}
    assert read["output"] == (found.output > 0)
    assert read["h_n"] == (max(found.h_n) > 0)
    assert read.get("c_n", False) == (max(found.c_n, default=0) > 0)


@given(shapes(), lengths_of_rows, st.sampled_from(READOUTS))
def test_a_classifier_of_any_shape_reads_what_is_said(shape, lengths, readout):
    if readout == "cell" and shape["cell"] != "lstm":
        return
    task, batch = small_task("classify", lengths, readout=readout, **shape)
    (side,) = sides_of(task, batch)
    proves(task, batch, side)


@given(shapes(), lengths_of_rows)
def test_every_claim_holds_for_any_shape(shape, lengths):
    (side,) = sides_of(*small_task("classify", lengths, **shape))
    claims = identities_of(side)
    assert [claim.claim for claim in claims if not claim.holds] == []
    for claim in claims:
        assert (claim.difference < 1e-5) == (claim.wanted == "equal")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_language_model_reads_output_at_every_step(cell, layers):
    task, batch = small_task("generate", LENGTHS, cell=cell, num_layers=layers)
    (side,) = sides_of(task, batch)
    proves(task, batch, side)
    assert all(claim.holds for claim in identities_of(side))


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"bidirectional": True},
        {"num_layers": 2, "reverse_source": True},
        {"encoder": {"num_layers": 3}, "decoder": {"num_layers": 2}},
        {"encoder": {"num_layers": 1}, "decoder": {"num_layers": 3}},
        {"encoder": {"cell": "gru"}},
        {"decoder": {"cell": "gru"}},
        {"cell": "gru"},
        {"proj_size": 3, "batch_first": True},
        {"attention": "dot"},
        {"attention": "additive", "bidirectional": True, "reverse_source": True},
        {"feed_state": True},
        {"feed_state": True, "bidirectional": True, "num_layers": 2, "cell": "gru"},
    ],
    ids=str,
)
def test_a_translator_reads_the_state_and_then_output(model):
    task, batch = small_task("translate", LENGTHS, **model)
    encoder, decoder = sides_of(task, batch)
    proves(task, batch, encoder)
    proves(task, batch, decoder)
    claims = [*identities_of(encoder), *identities_of(decoder), *bridge_identities(task.model, encoder, decoder)]
    assert [claim.claim for claim in claims if not claim.holds] == []


def test_a_translator_with_attention_reads_output_of_both_sides():
    task, batch = small_task("translate", LENGTHS, attention="general", bidirectional=True)
    encoder, decoder = sides_of(task, batch)
    assert encoder.reading.output == decoder.reading.output == "every real step"
    assert "attention(output)" in encoder.reading.expression
    found = gradients_of(task, batch, encoder)
    assert found.steps_read == found.real_steps
    task, batch = small_task("translate", LENGTHS, attention="general", input_feeding=True)
    with pytest.raises(UserError, match=r"model\.input_feeding=true: explain shows one call of each LSTM"):
        sides_of(task, batch)


def test_a_translator_with_fewer_layers_in_its_decoder_reads_the_upper_ones():
    task, batch = small_task("translate", LENGTHS, encoder={"num_layers": 3}, bidirectional=True)
    encoder, _ = sides_of(task, batch)
    assert encoder.reading.h_n == (4, 5)
    assert [value > 0 for value in gradients_of(task, batch, encoder).h_n] == [False] * 4 + [True] * 2


def test_the_difference_of_padding_is_that_of_torch():
    task, batch = small_task("classify", LENGTHS)
    (side,) = sides_of(task, batch)
    (claim,) = [claim for claim in identities_of(side) if claim.claim == "padded, not packed: h_n != packed"]
    vectors = dense_input(side)
    wrong = side.lstm.rnn(vectors)[1][0]
    right = torch.cat([side.lstm.rnn(vectors[:n, b : b + 1])[1][0] for b, n in enumerate(LENGTHS)], dim=1)
    assert claim.rows == pytest.approx((wrong - right).abs().amax(dim=(0, 2)).tolist(), abs=1e-6)
    assert claim.rows[2] < 1e-6 < 1e-3 < min(claim.rows[b] for b in (0, 1, 3))


def test_a_wrong_claim_is_told_as_failing():
    (side,) = sides_of(*small_task("classify", LENGTHS))
    swapped = side.result._replace(h_n=side.result.h_n.flip(1))  # rows of the batch in another order
    broken = type(side)(**{**vars(side), "result": swapped})
    assert "output[last] == h_n[-1]" in [claim.claim for claim in identities_of(broken) if not claim.holds]


def test_dense_is_time_first_whatever_batch_first_says():
    task, batch = small_task("classify", LENGTHS, batch_first=True)
    (side,) = sides_of(task, batch)
    assert dense(side.lstm, dense_input(side), None).output.shape == (7, 4, 6)


def test_the_table_gives_axes_and_numbers():
    (side,) = sides_of(
        *small_task("classify", LENGTHS, num_layers=2, bidirectional=True, proj_size=3, batch_first=True)
    )
    told = {line.name: line.shape_text for line in tensors_of(side)}
    assert told == {
        "input": "(batch, time, input_size) = (4, 7, 5)",
        "h_0": "(layers * directions, batch, proj_size) = (4, 4, 3)",
        "c_0": "(layers * directions, batch, hidden_size) = (4, 4, 6)",
        "output": "(batch, time, 2 * proj_size) = (4, 7, 6)",
        "h_n": "(layers * directions, batch, proj_size) = (4, 4, 3)",
        "c_n": "(layers * directions, batch, hidden_size) = (4, 4, 6)",
    }
    assert [row_name(side, row) for row in range(4)] == [
        "layer 0 forward",
        "layer 0 backward",
        "layer 1 forward",
        "layer 1 backward",
    ]
    assert call_of(side) == (
        "nn.LSTM(input_size=5, hidden_size=6, num_layers=2, batch_first=True, bidirectional=True, proj_size=3)"
    )


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_cell_without_c_has_no_line_for_it(cell):
    (side,) = sides_of(*small_task("classify", LENGTHS, cell=cell))
    assert [line.name for line in tensors_of(side)] == ["input", "h_0", "output", "h_n"]


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("readout", READOUTS)
def test_the_line_that_reads_is_shown(readout, two):
    (side,) = sides_of(*small_task("classify", LENGTHS, readout=readout, bidirectional=two))
    file, number = side.reading.place.split(":")
    source = Path(lstm_readout.__file__).with_name(file.partition("/")[0]) / file.partition("/")[2]
    assert source.read_text(encoding="utf-8").splitlines()[int(number) - 1].strip() == side.reading.line
    default = readout == "last" and not two
    assert file == ("models/classify.py" if default else "nn/readout.py")
    assert default == (side.reading.line == "return self.head(lstm.h_n[-1])")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("generate", ["each_token(self.head, lstm.output)"]),
        (
            "translate",
            ["self.decoder(target_ids, self.encoder(source_ids).state)", "each_token(self.head, lstm.output)"],
        ),
    ],
)
def test_the_lines_of_the_other_models_are_found(name, lines):
    for side, line in zip(sides_of(*small_task(name, LENGTHS)), lines, strict=True):
        assert line in side.reading.line


def test_a_model_of_another_project_is_refused():
    task, batch = small_task("classify", LENGTHS)
    task.model = torch.nn.Linear(2, 2)
    with pytest.raises(
        UserError, match="explain knows the models of classify, generate, translate; 'classify' has a Lin"
    ):
        sides_of(task, batch)
