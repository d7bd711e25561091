"""The perplexity of a continuous stream is that of one pass over it, however it is cut into columns and windows."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from lstm_readout.data.batches import GenerateBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import StreamDataset, join_stream
from lstm_readout.errors import UserError
from lstm_readout.models import LanguageModel
from lstm_readout.tasks import GenerateTask
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

V = 9


def build(vocab_size: int = V, vocabulary: Vocabulary | None = None, **arguments: Any) -> GenerateTask:
    model = LanguageModel(vocab_size=vocab_size, embedding_size=4, hidden_size=8, forget_bias=2.0, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform, so that the past matters
            parameter.add_(torch.randn_like(parameter), alpha=0.8)
    return GenerateTask(model=model, vocabulary=vocabulary or Vocabulary({}, [])).eval()


@torch.inference_mode()
def loss_of(task: GenerateTask, batches: Any) -> float:
    for batch in batches:
        task.measure(batch, "val")
    return task.measured("val")["loss"]


@torch.inference_mode()
def loss_of_one_pass(task: GenerateTask, tokens: np.ndarray) -> float:
    ids = torch.from_numpy(tokens.astype(np.int64))
    return float(cross_entropy(task.model(ids[:-1, None]).logits[:, 0], ids[1:]))


@given(
    st.lists(st.integers(0, V - 1), min_size=2, max_size=80),
    st.integers(1, 12),
    st.integers(1, 90),
    st.sampled_from(["lstm", "gru"]),
)
@example([3, 4], 5, 1, "lstm")
def test_with_all_of_the_past_the_loss_is_that_of_one_pass(ids, columns, window, cell):
    task, tokens = build(cell=cell, num_layers=2), np.array(ids)
    stream = StreamDataset(tokens, columns=columns, window=window, warm_up=len(tokens))
    cut = loss_of(task, (stream[item] for item in range(len(stream))))
    assert cut == pytest.approx(loss_of_one_pass(task, tokens), rel=1e-5)


@given(st.integers(1, 12), st.integers(0, 20), st.integers(1, 90), st.integers(1, 90))
def test_the_window_does_not_move_the_loss(columns, warm_up, window, other):
    task, tokens = build(), np.random.default_rng(0).integers(0, V, 70)
    streams = [StreamDataset(tokens, columns=columns, window=size, warm_up=warm_up) for size in (window, other)]
    first, second = (loss_of(task, (stream[item] for item in range(len(stream)))) for stream in streams)
    assert first == pytest.approx(second, rel=1e-5)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of which two columns are validated."""
    words = random.Random(0).choices(["anna", "otto", "sees", "a", "rotor", "level", "kayak\n"], k=4000)
    path = tmp_path_factory.mktemp("stream") / "a.txt"
    path.write_text(" ".join(words))
    return path


def test_no_setting_of_the_batches_moves_the_perplexity_of_a_stream(text):
    def measured(**sizes: int) -> tuple[dict[str, Any], GenerateTask, TextDataModule]:
        data = TextDataModule(
            roles={"text": "text"},
            batch_type=GenerateBatch,
            tokenizer=lambda texts: TextTokenizer.train(texts, kind="char"),
            name="files",
            path=str(text),
            whole=True,
            validation=0.5,
            test=0,
            holdout="last",
            carry_state=True,
            **sizes,
        )
        torch.manual_seed(0)
        task = build(len(data.vocabulary.tokenizers["text"]), data.vocabulary)
        with torch.inference_mode():
            for batch in data.val_dataloader():
                task.measure(batch, "val")
        metrics = task.measured("val")
        return metrics | task.split_metrics(data, "validation", metrics), task, data

    metrics, task, data = measured(batch_size=32, eval_batch_size=64, window=96)
    assert measured(batch_size=1, eval_batch_size=3, window=7)[0] == metrics
    assert measured(batch_size=500, eval_batch_size=1, window=5000)[0] == metrics
    tokens = join_stream(data.columns["validation"]["text"])
    assert 2 * 4096 < len(tokens) < 3 * 4096
    assert metrics["loss"] == pytest.approx(loss_of_one_pass(task, tokens), rel=1e-6)
    characters = len(data.texts["validation"]["text"][0])
    assert characters == len(tokens) - 1
    assert metrics["bits_per_character"] == pytest.approx(metrics["loss"] / math.log(2), rel=1e-6)


def second_loss(drop_state: float, stage: Any, cell: Any = "lstm") -> tuple[float, float, float]:
    """Return the loss of a stream's second window: of the task, from zeros, and with rows dropped by hand."""
    torch.manual_seed(0)
    task = build(cell=cell)
    task.drop_state = drop_state
    first, second, *_ = StreamDataset(np.random.default_rng(0).integers(0, V, 400), columns=6, window=20)
    with torch.no_grad():
        task.loss(first, stage)
        carried = task.carried[stage]
        torch.manual_seed(1)
        found = float(task.loss(second, stage)[0])
        torch.manual_seed(1)
        dropped = torch.rand(6) < drop_state
        for part in carried:
            if part is not None:
                part[:, dropped] = 0.0
        by_hand = float(task.model.loss(second.inputs, second.targets, carried)[0])
        return found, float(task.model.loss(second.inputs, second.targets, None)[0]), by_hand


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_dropped_state_is_that_of_a_new_text_in_its_rows_alone(cell):
    all_of_them, new, _ = second_loss(1.0, "train", cell)
    some, _, by_hand = second_loss(0.5, "train", cell)
    none, _, _ = second_loss(0.0, "train", cell)
    assert all_of_them == pytest.approx(new, rel=1e-6)
    assert some == pytest.approx(by_hand, rel=1e-6)
    assert len({round(loss, 5) for loss in (all_of_them, some, none)}) == 3


def test_no_state_is_dropped_where_a_stream_is_measured():
    assert second_loss(1.0, "val")[0] == second_loss(0.0, "val")[0]


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan])
def test_a_share_of_dropped_states_is_a_share(share):
    with pytest.raises(UserError, match=r"task\.drop_state: wanted a share of the rows, 0 to 1"):
        GenerateTask(model=build().model, vocabulary=Vocabulary({}, []), drop_state=share)
