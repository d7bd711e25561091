"""Whole numbers in place of floats: how near they are, that what is measured is what runs, and who is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import DocumentClassifier, LSTMState, TextGenerator, Translator
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main as train
from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import Int8LanguageModel, Stepper, greedy, with_int8
from lstm_readout.inference.decoding.products import Int8Product
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


def is_supported() -> bool:
    try:
        Int8Product(torch.ones(8, 8))
    except UserError:
        return False
    return True


supported = pytest.mark.skipif(not is_supported(), reason="torch has no int8 kernels for this processor")
SHAPES: list[dict[str, Any]] = [{}, {"num_layers": 2}, {"cell": "gru"}, {"cell": "rnn", "num_layers": 2}]
TOKENIZER = TextTokenizer.train(["a b c d e f g h"])
SIZES: dict[str, Any] = {"embedding_size": 16, "hidden_size": 32}


def build(vocab_size: int = len(TOKENIZER), **arguments: Any) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(vocab_size=vocab_size, **SIZES, **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


# How near


@supported
@given(
    st.integers(0, 2**16),
    st.integers(1, 9),
    st.integers(1, 600),
    st.integers(1, 40),
    st.sampled_from([1e-3, 1.0, 50.0]),
)
def test_a_product_is_as_near_as_its_steps_are_fine(seed, rows, inputs, outputs, scale):
    """Weights are off by half of one of 127 steps at most, inputs by one of 127 between their ends and 0."""
    torch.manual_seed(seed)
    weight, bias, x = torch.randn(outputs, inputs) * scale, torch.randn(outputs), torch.randn(rows, inputs)
    ours = Int8Product(weight, bias)(x)
    weight_off = weight.abs().amax(1) / 127 / 2  # (outputs,)
    x_off = (x.max().clamp(min=0) - x.min().clamp(max=0)) / 127
    most = x.abs().sum(1, keepdim=True) * weight_off + x_off * (weight.abs().sum(1) + inputs * weight_off)
    assert ((ours - torch.nn.functional.linear(x, weight, bias)).abs() <= 1.001 * most + 1e-5).all()


@supported
@pytest.mark.parametrize("sign", [-1, 1])
def test_large_products_of_one_sign_do_not_overflow(sign):
    """Pairs of 8-bit products do not fit into 16 bits, which is what processors without VNNI add them in."""
    weight = torch.full((8, 512), float(sign))
    product = Int8Product(weight)
    torch.testing.assert_close(product(torch.ones(3, 512)), torch.full((3, 8), 512.0 * sign), rtol=0.01, atol=0)
    sums = torch.ones(3, 8)
    assert product.add_to(sums, torch.zeros(3, 512)) is sums
    assert (sums == 1).all()


@supported
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_steps_stay_near_those_in_float(shape):
    model = build(vocab_size=50, **shape)
    in_float, in_int8, ours, theirs = Stepper(model), Stepper(model, int8=True), None, None
    for token_ids in torch.randint(50, (20, 4)):
        expected, theirs = in_float(token_ids, theirs)
        logits, ours = in_int8(token_ids, ours)
        off = (logits.softmax(-1) - expected.softmax(-1)).abs().max()
        assert 0 < off < 0.02


# What is measured is what runs


def packed_batch() -> tuple[Any, torch.Tensor]:
    torch.manual_seed(1)
    texts = [torch.randint(len(TOKENIZER), (length,)) for length in (3, 7, 1, 7, 4)]
    return pack_sequence(texts, enforce_sorted=False), torch.randint(len(TOKENIZER), (22,))


@supported
@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loss_of_float_steps_is_the_model_s_own(shape, part, given_state):
    """The same walk over a packed batch, with steps that are exact."""
    model = build(**shape)
    walking = Int8LanguageModel(model)
    walking.stepper = Stepper(model)
    inputs, targets = packed_batch()
    options: dict[str, Any] = {"label_smoothing": 0.1, "scored": torch.tensor([1, 2, 5, 9, 21]) if part else None}
    targets = targets[:5] if part else targets
    first = Stepper(model).first_state(5)
    state = LSTMState(*(torch.randn_like(x) for x in first if x is not None)) if given_state else None
    loss, last = walking.loss(inputs, targets, state, **options)
    with torch.no_grad():
        expected, theirs = model.loss(inputs, targets, state, **options)
    torch.testing.assert_close(loss, expected)
    for ours, other in zip(last, theirs, strict=True):
        torch.testing.assert_close(ours, other)


@supported
def test_the_loss_is_that_of_int8_steps():
    model = build()
    inputs, targets = packed_batch()
    loss, _ = Int8LanguageModel(model).loss(inputs, targets)
    with torch.no_grad():
        in_float = float(model.loss(inputs, targets)[0])
    assert float(loss) != in_float
    assert float(loss) == pytest.approx(in_float, rel=0.01)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of each task, as a run saves it."""
    torch.manual_seed(0)
    size, vocabulary = len(TOKENIZER), Vocabulary({"text": TOKENIZER}, ["bad", "good"])
    pair = Vocabulary({"source": TOKENIZER, "target": TOKENIZER}, [])
    models = {
        "classify": (Classifier(vocab_size=size, num_classes=2, **SIZES), vocabulary),
        "generate": (build(), vocabulary),
        "translate": (Seq2Seq(source_vocab_size=size, target_vocab_size=size, **SIZES), pair),
    }
    for task, (model, known) in models.items():
        weights = {f"model.{key}": value for key, value in model.state_dict().items()}
        about = hyper_parameters(task, model.arguments, known, {})
        torch.save({"state_dict": weights, "hyper_parameters": about}, tmp_path / f"{task}.ckpt")
    return tmp_path, models


@supported
def test_the_pipelines_write_with_int8_steps(saved):
    folder, models = saved
    translator = Translator.load(folder / "translate.ckpt", int8=True)
    model = models["translate"][0].eval()
    for text, translation in zip(["a b", "", "c"], translator(["a b", "", "c"]), strict=True):
        ids = TOKENIZER.encode([text])[0].values
        state = model.encode(pack_sequence([torch.tensor(ids)]))
        (expected,) = greedy(Stepper(model.decoder, int8=True), state, 2 * len(ids) + 20)
        assert translation == TOKENIZER.decode(expected)
    generator = TextGenerator.load(folder / "generate.ckpt", int8=True, max_tokens=20)
    assert generator.stepper.int8
    assert generator(["a b", "c"])[0] == "".join(generator.stream("a b"))


@supported
def test_a_translator_s_loss_is_that_of_its_decoder_s_int8_steps(saved):
    model = saved[1]["translate"][0].eval()
    inputs, targets = packed_batch()
    with torch.no_grad():
        in_float = model.loss(inputs, inputs, targets)
        state = model.encode(inputs)
        expected, _ = Int8LanguageModel(model.decoder).loss(inputs, targets, state)
        loss = with_int8(model).loss(inputs, inputs, targets)  # pyright: ignore[reportCallIssue]
    assert loss == expected != in_float
    torch.testing.assert_close(loss, in_float, rtol=0.01, atol=0)


@supported
def test_the_commands_take_int8(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train(["task=generate", "debug=limited", "doctor=off", "model.hidden_size=16", "hydra.run.dir=run"])
    checkpoint, losses = "checkpoint=run/checkpoints/best.ckpt", {}
    for int8 in (True, False):
        evaluate([checkpoint, "split=validation", f"int8={str(int8).lower()}", f"output={int8}.json"])
        metrics = json.loads((tmp_path / f"{int8}.json").read_text())
        losses[int8], losses["parameters", int8] = metrics["val/loss"], metrics["parameters"]
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=0.01)
    assert losses["parameters", True] == losses["parameters", False]
    predict([checkpoint, "int8=true", "text=the", "max_tokens=5"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("the")


# Who is refused


def test_a_classifier_is_refused(saved, capsys):
    path = saved[0] / "classify.ckpt"
    message = "int8=true: a Classifier generates nothing step by step, and reading is faster in float"
    with pytest.raises(UserError, match=message):
        DocumentClassifier.load(path, int8=True)
    with pytest.raises(SystemExit) as stop:
        predict([f"checkpoint={path}", "text=a", "int8=true"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_weights_that_are_not_float32_on_the_cpu_are_refused():
    with pytest.raises(UserError, match=r"int8=true: wanted float32 weights on the CPU, got torch\.float64 on cpu"):
        with_int8(build().double())
    with pytest.raises(UserError, match=r"got torch\.float32 on meta. Set device=cpu, or int8=false"):
        with_int8(build().to("meta"))


def test_a_torch_without_int8_is_refused(monkeypatch):
    monkeypatch.delattr(torch, "quantize_per_channel")
    with pytest.raises(
        UserError, match=r"int8=true: torch .* has no int8 kernels for this processor: .*Set int8=false"
    ):
        with_int8(build())


def test_a_model_of_another_project_is_refused():
    class Own(LanguageModel):
        def step(self, token_ids, state=None):
            return super().step(token_ids, state)

    with pytest.raises(UserError, match=r"int8=true: a Own computes its steps itself.*Set int8=false"):
        with_int8(Own(**build().arguments))
