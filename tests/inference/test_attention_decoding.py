"""With attention a translator is searched as without: the same texts, the same scores, whatever stands beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import Translator
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main as train
from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import (
    Ensemble,
    Hypothesis,
    Stepper,
    beam_search,
    forced_scores,
    greedy,
    translate,
    with_int8,
)
from lstm_readout.models import Seq2Seq
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.tokenizer import BOS, TextTokenizer, Vocabulary

V = 8
SHAPES: list[dict[str, Any]] = [
    {"attention": "dot"},
    {"attention": "general", "bidirectional": True},
    {"attention": "additive", "cell": "gru", "reverse_source": True},
    {"attention": "general", "num_layers": 2, "input_feeding": True},
    {"attention": "additive", "cell": "gru", "input_feeding": True, "bidirectional": True, "reverse_source": True},
    {"attention": "dot", "cell": "rnn", "input_feeding": True},
    {"attention": "general", "proj_size": 5, "input_feeding": True, "batch_first": True},
    {"feed_state": True, "num_layers": 2},
    {"feed_state": True, "cell": "gru", "bidirectional": True, "batch_first": True},
]
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def build(scale: float = 1.0, **arguments: Any) -> Seq2Seq:
    """Make a model that writes texts of many lengths."""
    sizes = {"source_vocab_size": V, "target_vocab_size": V, "embedding_size": 4, "hidden_size": 12}
    model = Seq2Seq(**{**sizes, **arguments}).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=scale)
    return model


def sources(number: int) -> list[Tensor]:
    return [torch.randint(3, V, (int(torch.randint(1, 7, ())),)) for _ in range(number)]


def ids_of(found: list[list[Hypothesis]]) -> list[list[list[int]]]:
    return [[hypothesis.token_ids for hypothesis in one] for one in found]


def packed(rows: list[Tensor]) -> Any:
    return pack_sequence(rows, enforce_sorted=False)


@settings(max_examples=15)
@given(st.integers(0, 2**16), st.sampled_from(SHAPES), st.sampled_from([0.5, 1.5]), st.integers(1, 5))
def test_searches_agree_and_scores_are_those_of_teacher_forcing(seed, shape, scale, beam_size):
    torch.manual_seed(seed)
    model, rows = build(scale, **shape), sources(5)
    with torch.no_grad():
        state = model.encode(packed(rows))
        written = greedy(model.decoder, state, 8)
        assert ids_of(beam_search(model.decoder, state, 1, 8)) == [[ids] for ids in written]
        found = beam_search(model.decoder, state, beam_size, 8, length_penalty=0.7)
        for row, hypotheses in enumerate(found):
            alone = model.encode(packed([rows[row]]))
            assert greedy(model.decoder, alone, 8) == [written[row]]
            (again,) = beam_search(model.decoder, alone, beam_size, 8, length_penalty=0.7)
            assert ids_of([again]) == ids_of([hypotheses])
            assert [h.score for h in again] == pytest.approx([h.score for h in hypotheses], abs=1e-8)
            ended = [hypothesis for hypothesis in hypotheses if len(hypothesis.token_ids) < 8]
            if ended:
                shared = state.rows(torch.full((len(ended),), row))
                forced = forced_scores(model.decoder, shared, [hypothesis.token_ids for hypothesis in ended])
                assert forced.tolist() == pytest.approx([h.score for h in ended], rel=1e-8, abs=1e-8)
        best = beam_search(model.decoder, state, beam_size, 8, length_penalty=0.7, only_best=True)
        assert [one[0].token_ids for one in best] == [one[0].token_ids for one in found]


@settings(max_examples=15)
@given(st.integers(0, 2**16), st.sampled_from(SHAPES))
def test_fast_steps_are_those_of_the_model(seed, shape):
    torch.manual_seed(seed)
    model, rows = build(0.7, **shape), sources(4)
    with torch.no_grad():
        stepper = Stepper(model.decoder)
        assert stepper.cells is not None
        ours = theirs = model.encode(packed(rows))
        for index in ([0, 1, 2, 3], [3, 0, 0], [1, 2, 2, 2], [0]):
            token_ids = torch.randint(V, (len(index),))
            ours, theirs = (state.rows(torch.tensor(index)) for state in (ours, theirs))
            logits, ours = stepper(token_ids, ours)
            expected, theirs = model.decoder.step(token_ids, theirs)
            torch.testing.assert_close(logits, expected)
            torch.testing.assert_close((ours.h, ours.c, ours.fed), (theirs.h, theirs.c, theirs.fed))


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[4]], ids=str)
def test_int8_writes_nearly_the_same(shape):
    model = build(0.3, **{**shape, "hidden_size": 32}).float()
    rows, targets = packed(sources(6)), packed([torch.tensor([BOS, 3, 4]), torch.tensor([BOS, 5])] * 3)
    wanted = torch.randint(3, V, targets.data.shape)
    with torch.no_grad():
        expected = float(model.loss(rows, targets, wanted))
        quantised = with_int8(model)
        assert isinstance(quantised, Seq2Seq)
        assert float(quantised.loss(rows, targets, wanted)) == pytest.approx(expected, rel=0.02)
        assert len(translate(quantised, rows, 8, 3)) == 6


# Ensembles


def test_an_ensemble_writes_with_the_mean_of_the_probabilities():
    models, rows = [build(1.0, **shape) for shape in SHAPES[:3]], sources(4)
    ensemble, token_ids = Ensemble(models).eval(), torch.tensor([3, 4, 5, 3])
    with torch.no_grad():
        state = ensemble.encode(packed(rows))
        scores, after = ensemble.decoder.stepper(token_ids, state)
        steps = [model.decoder.step(token_ids, model.encode(packed(rows))) for model in models]
        expected = sum(logits.softmax(-1) for logits, _ in steps) / 3
        torch.testing.assert_close(scores.exp(), expected)
        assert_states(after.states, [one for _, one in steps])
        for row, hypotheses in enumerate(beam_search(ensemble.decoder, state, 3, 30)):
            ended = [h for h in hypotheses if len(h.token_ids) < 30]
            if ended:
                shared = state.rows(torch.full((len(ended),), row))
                forced = forced_scores(ensemble.decoder, shared, [h.token_ids for h in ended])
                assert forced.tolist() == pytest.approx([h.score for h in ended], abs=1e-8)
        targets, wanted = packed([torch.tensor([BOS, 3, 4])] * 4), torch.randint(3, V, (12,))
        each = [model(packed(rows), targets).logits.data.softmax(-1) for model in models]
        right = (sum(each) / 3)[torch.arange(12), wanted].log().mean()  # pyright: ignore[reportIndexIssue]
        torch.testing.assert_close(ensemble.loss(packed(rows), targets, wanted), -right)


def assert_states(ours: Any, theirs: list[LSTMState]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.c is None if other.c is None else torch.equal(one.c, other.c) or torch.allclose(one.c, other.c)
        torch.testing.assert_close(one.h, other.h)


def test_an_ensemble_of_one_model_twice_is_that_model():
    model, rows = build(**SHAPES[3]), packed(sources(6))
    for size in (1, 3):
        assert translate(Ensemble([model, model]), rows, 9, size) == translate(model, rows, 9, size)


# What a user calls

TOKENIZER = TextTokenizer.train(["a b c d"])
TEXTS = ["a b c", "d", "", "b b b b a"]


def translator(seed: int = 0, **options: Any) -> Translator:
    torch.manual_seed(seed)
    sizes = {"source_vocab_size": len(TOKENIZER), "target_vocab_size": len(TOKENIZER)}
    model = build(0.8, **sizes, **{"attention": "general", "reverse_source": True, **options.pop("model", {})})
    return Translator(model, Vocabulary({"source": TOKENIZER, "target": TOKENIZER}, []), **options)


def test_n_best_are_the_hypotheses_of_the_beam_with_their_forced_scores():
    pipeline = translator(beam_size=4, length_penalty=0.5, n_best=3)
    best = pipeline.best(TEXTS, 3)
    assert [found[0].text for found in best] == pipeline(TEXTS)
    for text, found, line in zip(TEXTS, best, pipeline.lines(TEXTS), strict=True):
        assert len(found) == 3
        values = json.loads(line)["translations"]
        assert [value["text"] for value in values] == [one.text for one in found]
        for one, value in zip(found, values, strict=True):
            (scored,) = pipeline.score([text], [one.text])
            if scored.tokens == one.tokens:  # not cut: the end counts
                assert scored.log_probability == pytest.approx(one.log_probability, abs=1e-6)
            assert value["per_token"] == pytest.approx(one.log_probability / one.tokens, abs=1e-5)


def test_scores_do_not_depend_on_the_other_texts():
    pipeline, targets = translator(), ["a", "b c d", "", "d d d"]
    together = pipeline.score(TEXTS, targets)
    for text, target, one in zip(TEXTS, targets, together, strict=True):
        (alone,) = pipeline.score([text], [target])
        assert alone.log_probability == pytest.approx(one.log_probability, abs=1e-8)
        assert alone.tokens == len(target.split()) + 1


@pytest.mark.parametrize("feeding", [False, True])
def test_an_attention_map_stands_beside_the_tokens_as_they_are_written(feeding):
    pipeline = translator(model={"input_feeding": feeding})
    found = pipeline.attention("a b c", "d a")
    assert found.source[:3] == ["a", "b", "c"]
    assert found.target[:2] == ["d", "a"]
    weights = torch.tensor(found.weights)
    assert weights.shape == (3, 4)  # with <eos>
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    forwards = translator(model={"input_feeding": feeding, "reverse_source": False})
    forwards.model.load_state_dict(pipeline.model.state_dict())
    ids = [3 + "abcd".index(letter) for letter in "abc"]
    assert TOKENIZER.encode(["a b c"])[0].values.tolist()[:3] == ids
    state = forwards.translator.encode(packed([torch.tensor([2, *ids[::-1]])]))
    decoder: Any = forwards.translator.decoder
    turned = decoder.weights(packed([torch.tensor([BOS, 6, 3])]), state)[0].flip(-1)
    torch.testing.assert_close(weights.double(), turned, rtol=1e-5, atol=1e-6)
    assert pipeline.attention("a b").target[-1] == found.target[-1] == "<eos>"


def saved(folder: Path, name: str, **options: Any) -> str:
    pipeline = translator(**options)
    vocabulary = options.get("vocabulary", pipeline.vocabulary)
    weights = {f"model.{key}": value for key, value in pipeline.model.state_dict().items()}
    values = hyper_parameters("translate", pipeline.model.arguments, vocabulary, {})  # pyright: ignore
    torch.save({"state_dict": weights, "hyper_parameters": values}, folder / name)
    return str(folder / name)


def test_an_ensemble_of_checkpoints(tmp_path):
    paths = [saved(tmp_path, f"{seed}.ckpt", seed=seed) for seed in range(3)]
    pipeline = Translator.load(paths[0], ensemble=paths[1:], beam_size=3)
    models = [Translator.load(path).translator.double() for path in paths]
    expected = Translator(Ensemble(models), pipeline.vocabulary, beam_size=3)  # pyright: ignore[reportArgumentType]
    pipeline.model.double()
    assert Translator(pipeline.model, pipeline.vocabulary, beam_size=3)(TEXTS) == expected(TEXTS)
    with pytest.raises(UserError, match="attention_map: each model of an ensemble has its own attention"):
        pipeline.attention("a")
    with pytest.raises(UserError, match="int8=true: an ensemble works in float"):
        Translator.load(paths[0], ensemble=paths[1:], int8=True)
    other = TextTokenizer.train(["d c b e"])
    torch.save(changed(torch.load(paths[1]), other), tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt' has a different target vocabulary from the first checkpoint"):
        Translator.load(paths[0], ensemble=[tmp_path / "other.ckpt"])


def changed(content: dict[str, Any], tokenizer: TextTokenizer) -> dict[str, Any]:
    content["hyper_parameters"]["vocabulary"]["tokenizers"]["target"] = tokenizer.to_dict()
    return content


def test_what_cannot_be_asked_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"n_best: wanted 1 to beam_size=2 \(a beam finds no more\), got 3"):
        translator(beam_size=2, n_best=3)
    with pytest.raises(UserError, match="target: wanted one for each of 2 texts, got 1"):
        translator().score(["a", "b"], ["a"])
    with pytest.raises(UserError, match=r"trained with model\.attention=none.*model\.attention=general"):
        translator(model={"attention": "none"}).attention("a")
    path = saved(tmp_path, "a.ckpt")
    with pytest.raises(UserError, match=r"wanted a list of checkpoints, got '.*a\.ckpt'. Set ensemble=\["):
        Translator.load(path, ensemble=path)
    plain = translator()
    quantised = Translator(with_int8(plain.model.float()), plain.vocabulary)
    with pytest.raises(UserError, match="int8=true: a given translation is scored in float"):
        quantised.score(["a"], ["b"])


def test_a_search_leaves_the_state_it_was_given_as_it_was():
    model, rows = build(**SHAPES[3]), packed(sources(3))
    state = model.encode(rows)
    before = [part.clone() for part in (state.h, state.c, *state.memory[:2], state.fed) if part is not None]
    beam_search(model.decoder, state, 3, 6)
    greedy(model.decoder, state, 6)
    after = [part for part in (state.h, state.c, *state.memory[:2], state.fed) if part is not None]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["task=translate", "debug=limited", "model.hidden_size=8", "data.max_rows=60", "model.bidirectional=true"]
    train([*small, "model.attention=additive", "model.input_feeding=true", "hydra.run.dir=run"])
    assert "with additive attention its output at every real step" in capsys.readouterr().out
    checkpoint, again = "checkpoint=run/checkpoints/best.ckpt", "ensemble=[run/checkpoints/best.ckpt]"
    predict([checkpoint, "text=a", "beam_size=3", "n_best=2", "attention_map=map.png"])
    (line,) = capsys.readouterr().out.splitlines()
    assert len(json.loads(line)["translations"]) == 2
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    scores = []
    for more in ([], [again]):
        predict([checkpoint, "text=a", "target=one, two = $3$ {x}", *more])
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1]
    assert scores[0]["text"] == "one, two = $3$ {x}"
    evaluate([checkpoint, again, "task.beam_size=2"])
    for arguments, message in (
        (["text=a", "attention_map=map.png"], "attention_map: 'map.png' already exists"),
        (["text=a", "attention_map=map.jpg"], "wanted the name of a PNG file, got 'map.jpg'. Call it map.png"),
        (["text=a", "attention_map=no/map.png"], "attention_map: no such folder: 'no'"),
        (["text=a", again, "attention_map=m.png"], "each model of an ensemble has its own attention"),
        (["text=a", "ensemble=[no.ckpt]"], "no such file: 'no.ckpt'"),
    ):
        with pytest.raises(SystemExit) as stop:
            predict([checkpoint, *arguments])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
