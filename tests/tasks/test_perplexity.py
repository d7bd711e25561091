"""A loss follows from the model and the text alone: against one straight pass of PyTorch's own LSTM."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from lstm_readout.commands import evaluate, train
from lstm_readout.data import windows
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import evaluation_stream
from lstm_readout.errors import UserError
from lstm_readout.models import LanguageModel
from lstm_readout.tasks import GenerateTask
from lstm_readout.tasks.metrics.perplexity import at_work, fresh_loss, gives_back, units
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import BOS, EOS, TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged

V, E, H, L = 9, 4, 8, 2
CPU = torch.device("cpu")


def build(seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    model = LanguageModel(vocab_size=V, embedding_size=E, hidden_size=H, num_layers=L, forget_bias=1.0)
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform, so that the past matters
            parameter.add_(torch.randn_like(parameter), alpha=0.8)
    return model.eval()


def straight_pass(model: LanguageModel, inputs: Any, targets: Any) -> torch.Tensor:
    """Return the loss of each target, (N,), by ``nn.Embedding``, ``nn.LSTM`` and ``nn.Linear`` alone."""
    embedding, lstm, head = nn.Embedding(V, E), nn.LSTM(E, H, L), nn.Linear(H, V)
    weights = model.state_dict()
    for module, prefix in ((embedding, "encoder.embedding."), (lstm, "encoder.lstm.rnn."), (head, "head.")):
        module.load_state_dict({key: weights[prefix + key] for key in module.state_dict()})
    with torch.no_grad():
        output, _ = lstm(embedding(torch.tensor(inputs, dtype=torch.int64).unsqueeze(1)))  # (N, 1, H)
        return cross_entropy(head(output[:, 0]), torch.tensor(targets, dtype=torch.int64), reduction="none")


def task_of(model: LanguageModel) -> GenerateTask:
    return GenerateTask(model=model, vocabulary=Vocabulary({}, [])).eval()


def stream_loss(model: LanguageModel, tokens: np.ndarray, window: int) -> float:
    task, stream = task_of(model), evaluation_stream(tokens, window)
    with torch.inference_mode():
        for item in range(len(stream)):
            task.measure(stream[item], "val")
    return task.measured("val")["loss"]


def rows_of(written: list[list[int]], stream: bool = False) -> ScoredRows:
    return ScoredRows.of(Ragged.from_lists([[*text, EOS] for text in written]), stream)


def long_text(tokens: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, V, tokens).tolist()


# --- one long pass


@given(
    st.lists(st.integers(0, V - 1), min_size=1, max_size=120),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 130),
)
def test_however_many_columns_and_steps_the_loss_is_that_of_a_straight_pass(ids, targets, columns, window):
    model, tokens = build(), np.array([BOS, *ids])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "EVAL_TARGETS", targets)
        patch.setattr(windows, "EVAL_COLUMNS", columns)
        patch.setattr(windows, "WARM_UP", len(tokens))
        found = stream_loss(model, tokens, window)
    assert found == pytest.approx(float(straight_pass(model, tokens[:-1], tokens[1:]).mean()), rel=1e-5)


def test_a_warm_up_of_512_tokens_is_as_good_as_all_of_the_past():
    model, tokens = build(), np.array([BOS, *long_text(3 * windows.EVAL_TARGETS)])
    columns = int(evaluation_stream(tokens)[10].inputs.batch_sizes[0])
    assert columns == 3
    expected = float(straight_pass(model, tokens[:-1], tokens[1:]).mean())
    for window in (windows.EVAL_WINDOW, 1000):
        assert stream_loss(model, tokens, window) == pytest.approx(expected, rel=1e-6)


# --- a fresh state


@given(
    st.lists(st.lists(st.integers(3, V - 1), max_size=25), min_size=1, max_size=5), st.integers(1, 30), st.booleans()
)
def test_a_fresh_state_begins_each_window_and_scores_each_token_once(written, every, stream):
    rows = rows_of([[3], *written], stream)
    model, losses = build(), []
    for begin, end in zip(rows.offsets, rows.offsets[1:], strict=False):
        for start in range(begin, end, every):
            part = slice(start, min(start + every, end))
            losses += straight_pass(model, rows.inputs[part], rows.targets[part]).tolist()
    assert len(losses) == len(rows.targets)
    assert fresh_loss(model, rows, every, CPU) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_window_as_long_as_the_text_is_the_straight_pass_and_batches_change_nothing(monkeypatch):
    model, rows = build(), rows_of([long_text(400)], stream=True)
    straight = float(straight_pass(model, rows.inputs, rows.targets).mean())
    assert fresh_loss(model, rows, 400, CPU) == fresh_loss(model, rows, 10**6, CPU) == pytest.approx(straight, rel=1e-6)
    in_one, expected = fresh_loss(model, rows, 7, CPU), straight
    assert abs(in_one - expected) > 1e-3  # the past matters
    monkeypatch.setattr("lstm_readout.tasks.metrics.perplexity.BATCH_TOKENS", 30)
    assert fresh_loss(model, rows, 7, CPU) == pytest.approx(in_one, rel=1e-6)


def test_a_model_is_left_in_the_mode_that_it_was_in():
    model = build().train()
    model.head.eval()
    with at_work(model, CPU):
        assert not any(module.training for module in model.modules())
    assert model.training
    assert model.encoder.training
    assert not model.head.training


# --- units


def test_bits_are_divided_by_the_bytes_of_the_text_as_written():
    texts = ["añ b", "", "€"]
    tokenizer = TextTokenizer.train(texts, kind="char")
    column, _ = tokenizer.encode(texts)
    rows = ScoredRows.of(column, stream=False)
    assert len(rows.targets) == 4 + 1 + 3
    assert units(rows, texts, 2.0) == {"bits_per_byte": 16 / 8, "bits_per_character": 16 / 5}
    stream = ScoredRows.of(column, stream=True)
    assert units(stream, texts, 2.0)["bits_per_byte"] == 14 / 8


@pytest.mark.parametrize("kind", ["char", "byte", "bpe", "unigram"])
def test_two_tokenizations_of_the_same_certainty_have_the_same_bits_per_byte(kind):
    texts = ["the cat sat on the mat €", "and it sat there all day long"] * 20
    tokenizer = TextTokenizer.train(texts, kind=kind, vocab_size=300)
    column, _ = tokenizer.encode(texts)
    rows = ScoredRows.of(column, stream=False)
    bits = 1000.0
    found = units(rows, texts, bits / len(rows.targets))["bits_per_byte"]
    assert found == pytest.approx(bits / sum(len(text.encode()) for text in texts))
    assert gives_back(tokenizer, column, texts)


def test_what_cannot_be_read_back_is_noticed(monkeypatch):
    texts = ["The cat  sat", "on the mat"]
    for options in (
        {"kind": "word"},
        {"kind": "char", "lowercase": True},
        {"kind": "bpe", "lowercase": True, "vocab_size": 300},
    ):
        tokenizer = TextTokenizer.train(texts, **options)
        assert not gives_back(tokenizer, tokenizer.encode(texts)[0], texts), options
    tokenizer = TextTokenizer.train(texts, kind="char", byte_fallback=False)
    assert not gives_back(tokenizer, tokenizer.encode(["cat!"])[0], ["cat!"])
    monkeypatch.setattr("lstm_readout.tasks.metrics.perplexity.DECODED_TOKENS", 5)
    tokenizer = TextTokenizer.train(texts, kind="byte")
    euros = ["€€€€"]  # cut in the middle of one
    assert gives_back(tokenizer, tokenizer.encode(euros)[0], euros)


def test_cut_texts_have_no_bits_per_byte_and_the_log_says_why(caplog):
    def measured(**options: Any) -> dict[str, Any]:
        data = TextDataModule(
            roles=GenerateTask.roles,
            batch_type=GenerateTask.batch_type,
            tokenizer=partial(TextTokenizer.train, **options),
            name="sample",
            max_rows=40,
        )
        model = LanguageModel(vocab_size=len(data.vocabulary.tokenizers["text"]), embedding_size=2, hidden_size=2)
        return GenerateTask(model=model, vocabulary=data.vocabulary).split_metrics(
            data, "test", {"bits_per_token": 2.0}
        )

    assert measured(kind="char").keys() == {"unk_share", "bits_per_byte", "bits_per_character"}
    assert not caplog.messages
    assert measured(kind="char", max_length=4).keys() == {"unk_share"}
    assert "test: tokenizer.max_length truncated" in caplog.text


def test_no_fresh_state_after_no_token():
    with pytest.raises(UserError, match=r"task\.fresh_state_every: wanted 1 token or more, or null, got 0"):
        GenerateTask(model=build(), vocabulary=Vocabulary({}, []), fresh_state_every=0)


# --- from the command line


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


SMALL = [
    "settings=fixed",
    "task=generate",
    "data.max_rows=60",
    "trainer.max_epochs=1",
    "model.hidden_size=16",
    "model.embedding_size=8",
]


@pytest.mark.usefixtures("_own_folder")
def test_the_other_protocols_are_measured_at_the_end_and_by_evaluate():
    options = ["task.fresh_state_every=5", "task.dynamic_evaluation.lr=0.01"]
    train.main([*SMALL, *options, "data.carry_state=true", "tokenizer.vocab_size=12", "hydra.run.dir=run"])
    trained = json.loads(Path("run/metrics.json").read_text())
    for stage in ("val", "test"):
        assert trained[f"{stage}/loss_fresh_5"] > trained[f"{stage}/loss"]
        assert trained[f"{stage}/loss_dynamic"] != trained[f"{stage}/loss"]
        assert 0 < trained[f"{stage}/unk_share"] < 1
        assert "of them are <unk>" in trained[f"{stage}/bits_per_byte_note"]
    assert trained["baseline/kneser_ney_loss"] < trained["baseline/unigram_loss"]
    assert "bits_per_byte is not comparable" in Path("run/train.log").read_text()
    evaluate.main(["checkpoint=run/checkpoints/best.ckpt", *options, "output=again.json"])
    again = json.loads(Path("again.json").read_text())
    for name in ("loss", "loss_fresh_5", "loss_dynamic", "bits_per_byte"):
        assert again[f"test/{name}"] == pytest.approx(trained[f"test/{name}"], rel=1e-6)
    more = ["task.neural_cache.share=0.1", "task.adaptive_ngrams.order=3", "task.dynamic_evaluation.rms=false"]
    more += ["task.dynamic_evaluation.lr=0.01", "ensemble=[run/checkpoints/best.ckpt]", "output=twice.json"]
    evaluate.main(["checkpoint=run/checkpoints/best.ckpt", "task.fresh_state_every=5", *more])
    twice = json.loads(Path("twice.json").read_text())
    for name in ("loss", "loss_fresh_5", "bits_per_byte"):
        assert twice[f"test/{name}"] == pytest.approx(trained[f"test/{name}"], rel=1e-6)
    assert max(twice[f"test/loss_{name}"] for name in ("ngrams", "adapted")) < twice["test/loss"]
    assert len({twice[f"test/loss{name}"] for name in ("", "_cache", "_ngrams", "_dynamic", "_adapted")}) == 5


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "task.dynamic_evaluation.lr=fast",
            "task.dynamic_evaluation.lr: wanted a number, 0 or more, or null for none, got fast",
        ),
        ("task.dynamic_evaluation.rate=1", "task.dynamic_evaluation"),
    ],
)
def test_wrong_settings_are_refused_before_training(override, message, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main([*SMALL, override])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(Path().rglob("*.ckpt"))
