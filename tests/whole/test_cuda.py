"""On a GPU the models compute what they compute on the processor, and no training step waits for the GPU.

``python scripts/gpu_check.py`` runs these; without a GPU they are skipped. Numbers are float64 wherever both sides are
compared, so that only the order of the sums differs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.testing import assert_close

from lstm_readout import LSTM, LSTMState
from lstm_readout.data.batches import ClassifyBatch, GenerateBatch, TranslateBatch, moved
from lstm_readout.inference.decoding import beam_search, greedy
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.tokenizer.ragged import Ragged
from lstm_readout.training.optimizers import adamw

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature"),
    # Dropped recurrent weights are new tensors in every step
    pytest.mark.filterwarnings("ignore:RNN module weights are not part of single contiguous chunk"),
]
GPU = torch.device("cuda")
V, SIZES = 40, {"embedding_size": 12, "hidden_size": 16, "num_layers": 2}
NEVER = 1e-12  # a probability that takes the path of dropout and drops nothing


def column(*lengths: int) -> Ragged:
    return Ragged.from_lists([torch.randint(3, V, (length,)).tolist() for length in lengths])


def classify(**options: Any) -> tuple[Any, Any, Any]:
    """Return a model, a batch, and the loss of both."""
    batch = ClassifyBatch.collate({"text": column(3, 9, 1, 7), "label": np.array([0, 1, 2, 1])}, np.arange(4))
    model = Classifier(vocab_size=V, num_classes=3, **SIZES, **options)
    return model, batch, lambda m, b: torch.nn.functional.cross_entropy(m(b.token_ids), b.labels)


def generate(**options: Any) -> tuple[Any, Any, Any]:
    batch = GenerateBatch.collate({"text": column(3, 9, 1, 7)}, np.arange(4))
    return LanguageModel(vocab_size=V, **SIZES, **options), batch, lambda m, b: m.loss(b.inputs, b.targets)[0]


def translate(**options: Any) -> tuple[Any, Any, Any]:
    texts = {
        "source": column(3, 9, 1, 7),
        "target": column(8, 2, 5, 1),
        "target_text": np.array([""] * 4, dtype=object),
    }
    model = Seq2Seq(source_vocab_size=V, target_vocab_size=V, **SIZES, **options)
    batch = TranslateBatch.collate(texts, np.arange(4))
    return model, batch, lambda m, b: m.loss(b.source, b.target_inputs, b.targets)


CASES = {
    "classify": (classify, {"bidirectional": True, "input_dropout": NEVER}),
    "classify, dropped weights": (classify, {"bidirectional": True, "weight_drop": NEVER}),
    "generate": (generate, {"output_dropout": NEVER}),
    "generate, locked": (generate, {"dropout": NEVER, "locked_dropout": True, "weight_drop": NEVER}),
    "translate": (translate, {"reverse_source": True, "feed_state": True, "weight_drop": NEVER}),
    "translate, attention": (translate, {"attention": "general", "encoder": {"bidirectional": True}}),
    "translate, input feeding": (translate, {"attention": "general", "input_feeding": True}),
}


WAITS = "translate, input feeding"  # each step of the decoder asks how many rows are left


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    make, options = CASES[request.param]
    return make(**options)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


def test_loss_and_gradients_are_those_of_the_processor(case: Any) -> None:
    model, batch, loss_of = case
    here, there = model.double(), copy.deepcopy(model).double().to(GPU)
    expected, found = loss_of(here, batch), loss_of(there, moved(batch, GPU))
    assert_close(found.cpu(), expected)
    expected.backward()
    found.backward()
    for (name, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None and other.grad is not None:
            assert_close(other.grad.cpu(), one.grad, msg=lambda message, name=name: f"{name}: {message}")


@pytest.mark.parametrize("engine", ["auto", "runs", "padded", "packed"])
def test_every_engine_returns_the_same(engine: Any) -> None:
    rows = [torch.randn(length, 5, dtype=torch.float64) for length in (2, 9, 9, 4)]
    packed = pack_sequence(rows, enforce_sorted=False)
    lstm = LSTM(5, 6, num_layers=2, bidirectional=True, engine=engine).double()
    expected, found = lstm(packed), copy.deepcopy(lstm).to(GPU)(moved(packed, GPU))
    assert isinstance(found.output, PackedSequence)
    assert_close(found.output.data.cpu(), expected.output.data)
    assert_close(found.h_n.cpu(), expected.h_n)
    assert_close(found.c_n.cpu(), expected.c_n)


def test_the_state_of_the_first_rows_can_be_carried() -> None:
    """At the end of a stream columns leave the batch: the state is then a slice, which cuDNN does not take."""
    lstm = LSTM(5, 6, num_layers=2).double()
    state = LSTMState(*(torch.randn(2, 4, 6, dtype=torch.float64) for _ in range(2)))
    rows = torch.randn(3, 2, 5, dtype=torch.float64)
    expected = lstm(rows, state.rows(slice(2)))
    on_gpu = LSTMState(*(part.to(GPU) for part in state if part is not None))
    found = copy.deepcopy(lstm).to(GPU)(rows.to(GPU), on_gpu.rows(slice(2)))
    assert_close(found.output.cpu(), expected.output)


@pytest.mark.parametrize("options", [{}, {"feed_state": True}, {"attention": "general"}])
def test_decoding_finds_the_same_texts(options: Any) -> None:
    model, batch, _ = translate(**options)
    here, there = model.double().eval(), copy.deepcopy(model).double().to(GPU).eval()
    states = here.encode(batch.source), there.encode(moved(batch.source, GPU))
    limits = [12, 3, 0, 7]
    texts = [greedy(one.decoder, state, limits) for one, state in zip((here, there), states, strict=True)]
    assert texts[0] == texts[1]
    beams = [beam_search(one.decoder, state, 4, limits) for one, state in zip((here, there), states, strict=True)]
    for expected, found in zip(*beams, strict=True):
        assert [one.token_ids for one in found] == [one.token_ids for one in expected]
        assert [one.score for one in found] == pytest.approx([one.score for one in expected])


@pytest.mark.parametrize("name", [name for name in CASES if name != WAITS])
def test_a_training_step_never_waits_for_the_gpu(name: str, no_waiting: None) -> None:
    make, options = CASES[name]
    model, batch, loss_of = make(**options)
    model, batch = model.to(GPU), moved(batch, GPU)
    optimizer = adamw(model.parameters())

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):
            loss = loss_of(model, batch)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    step()  # the first makes what cuDNN and the optimizer keep
    torch.cuda.set_sync_debug_mode("error")
    loss = step()
    torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(loss)


def test_bfloat16_moves_loss_and_gradient_little(case: Any) -> None:
    model, batch, loss_of = case
    model, batch = model.to(GPU), moved(batch, GPU)
    losses, gradients = [], []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=enabled, cache_enabled=False):
            loss = loss_of(model, batch)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()
