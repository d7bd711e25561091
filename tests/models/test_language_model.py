"""What a model takes from a language model: rows by their text, the LSTM as it is; and runs that begin with one."""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hypothesis import given
from hypothesis import strategies as st

from lstm_readout.commands.compare import main as compare
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.train import main
from lstm_readout.compare.variants import read_variants
from lstm_readout.config.build import build_data, build_task
from lstm_readout.config.values import plain_values
from lstm_readout.errors import UserError
from lstm_readout.models import Classifier, LanguageModel
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.models.pretrained.language_model import Part, move, tokenizer_of
from lstm_readout.models.pretrained.vectors import Place
from lstm_readout.nn.encoder import Encoder
from lstm_readout.tokenizer import SPECIAL_TOKENS, TextTokenizer, Vocabulary

SIZES = {"embedding_size": 6, "hidden_size": 5}


def save_language_model(path, texts, kind="word", reverse=False, **sizes):
    """Write the checkpoint of an untrained language model, and return both."""
    tokenizer = TextTokenizer.train(texts, kind=kind, reverse=reverse)
    arguments = {"vocab_size": len(tokenizer), **SIZES, **sizes}
    model = LanguageModel(**arguments)
    saved = hyper_parameters("generate", arguments, Vocabulary({"text": tokenizer}, []), {})
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": saved}, path)
    return model, tokenizer


def part_of(tokens, counts=None, key="model", **sizes):
    encoder = Encoder(vocab_size=len(tokens), **{**SIZES, **sizes})
    return Part(encoder, Place(encoder.embedding, tokens, counts, f"{key}.embedding_size"), key)


WORDS = st.lists(
    st.sampled_from(["the", "The", "THE", "film", "Film", "was", "good", "naïve"]), min_size=1, unique=True
)


@given(WORDS, WORDS)
def test_a_row_is_that_of_its_text_or_the_mean(tmp_path_factory, theirs, ours):
    path = tmp_path_factory.mktemp("transfer") / "lm.ckpt"
    model, tokenizer = save_language_model(path, [" ".join(theirs)])
    part = part_of([*SPECIAL_TOKENS, *ours])
    before = part.encoder.embedding.weight.detach().clone()
    source = dict(zip(tokenizer.tokens, model.encoder.embedding.weight.detach(), strict=True))
    known = {word: source[form] for word in ours for form in (word.lower(), word) if form in theirs}
    if not known:
        with pytest.raises(UserError, match="knows none of the"):
            move(path, {"text": part})
        assert torch.equal(part.encoder.embedding.weight, before)
        return
    covered = move(path, {"text": part})["text"]
    assert covered.words == pytest.approx(len(known) / len(ours))
    rows = part.encoder.embedding.weight
    assert torch.equal(rows[: len(SPECIAL_TOKENS)], model.encoder.embedding.weight[: len(SPECIAL_TOKENS)])
    mean = torch.stack(list(known.values())).mean(0)
    for word, row in zip(ours, rows[len(SPECIAL_TOKENS) :], strict=True):
        assert torch.allclose(row, known.get(word, mean))


def test_a_language_model_of_the_other_direction_is_refused_and_nothing_changed(tmp_path):
    for reverse, told in (
        (False, "from their start. Set tokenizer.reverse=false."),
        (True, "end. Set .*reverse=true."),
    ):
        _, tokenizer = save_language_model(tmp_path / "lm.ckpt", ["a b c"], reverse=reverse)
        part = part_of(tokenizer.tokens)
        before = part.encoder.embedding.weight.detach().clone()
        with pytest.raises(UserError, match=told):
            move(tmp_path / "lm.ckpt", {"text": part._replace(reverse=not reverse)})
        assert torch.equal(part.encoder.embedding.weight, before)
        move(tmp_path / "lm.ckpt", {"text": part._replace(reverse=reverse)})
        assert tokenizer_of(path=str(tmp_path / "lm.ckpt")).reverse is reverse


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [{"num_layers": 3}, {"num_layers": 2, "cell": "gru"}, {"proj_size": 3, "num_layers": 2}, {"bias": False}],
    ids=str,
)
def test_the_forward_direction_reads_as_the_language_model_does(sizes, bidirectional, tmp_path):
    model, tokenizer = save_language_model(tmp_path / "lm.ckpt", ["a b c d e"], **sizes)
    part = part_of(tokenizer.tokens, bidirectional=bidirectional, **sizes)
    backward = {name: value.clone() for name, value in part.encoder.lstm.rnn.state_dict().items() if "reverse" in name}
    move(tmp_path / "lm.ckpt", {"text": part})
    ids = torch.randint(len(tokenizer), (9, 4))
    expected = model.encoder(ids).output
    assert torch.equal(part.encoder(ids).output[..., : expected.shape[-1]], expected)
    after = part.encoder.lstm.rnn.state_dict()
    assert all(torch.equal(after[name], value) for name, value in backward.items())


def test_features_that_the_language_model_never_had_begin_without_weight(tmp_path):
    """A decoder with input feeding reads more than an embedding."""
    model, tokenizer = save_language_model(tmp_path / "lm.ckpt", ["a b c"])
    part = part_of(tokenizer.tokens)
    part.encoder.lstm = Encoder(vocab_size=1, embedding_size=8, hidden_size=5).lstm
    move(tmp_path / "lm.ckpt", {"text": part})
    weight = part.encoder.lstm.rnn.weight_ih_l0
    assert torch.equal(weight[:, :6], model.encoder.lstm.rnn.weight_ih_l0)
    assert not weight[:, 6:].any()


def test_a_head_on_the_same_vocabulary_takes_its_rows(tmp_path):
    model, tokenizer = save_language_model(tmp_path / "lm.ckpt", ["b c d"])
    tokens = [*SPECIAL_TOKENS, "d", "new", "b"]
    part = part_of(tokens)
    part = part._replace(head=torch.nn.Linear(5, len(tokens)))
    move(tmp_path / "lm.ckpt", {"text": part})
    ids = [0, 1, 2, tokenizer.tokens.index("d"), None, tokenizer.tokens.index("b")]
    for name in ("weight", "bias"):
        here, there = getattr(part.head, name), getattr(model.head, name)
        for row, i in enumerate(ids):
            expected = there[[ids[3], ids[5]]].mean(0) if i is None else there[i]
            assert torch.allclose(here[row], expected)


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ({"hidden_size": 7}, ["model.hidden_size is 7, the language model's 5. Set model.hidden_size=5."]),
        (
            {"embedding_size": 9, "num_layers": 2, "bias": False},
            [
                "model.embedding_size is 9, the language model's 6. Set model.embedding_size=6.",
                "model.num_layers is 2, the language model's 1. Set model.num_layers=1.",
                "model.bias is False, the language model's True. Set model.bias=true.",
            ],
        ),
        ({"proj_size": 3}, ["model.proj_size is 3, the language model's 0. Set model.proj_size=0."]),
        ({"cell": "gru"}, ["model.cell is gru, the language model's lstm. Set model.cell=lstm."]),
    ],
    ids=str,
)
def test_every_size_that_differs_is_named_with_its_override(here, told, tmp_path):
    path = tmp_path / "lm.ckpt"
    _, tokenizer = save_language_model(path, ["a b c"])
    part = part_of(tokenizer.tokens, **here)
    before = {name: value.clone() for name, value in part.encoder.state_dict().items()}
    with pytest.raises(UserError) as error:
        move(path, {"text": part})
    assert str(error.value).splitlines() == [f"init_from: the sizes of '{path}' differ from this model's.", *told]
    assert all(torch.equal(value, before[name]) for name, value in part.encoder.state_dict().items())


def test_what_is_no_language_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"init_from: no such file: '.*nowhere'"):
        move(tmp_path / "nowhere", {})
    with pytest.raises(UserError, match=r"init_from: no such file: '.*checkpoints/best\.ckpt'"):
        move(tmp_path, {})
    words = TextTokenizer.train(["a"])
    arguments = {"vocab_size": len(words), "num_classes": 2}
    saved = hyper_parameters("classify", arguments, Vocabulary({"text": words}, ["bad", "good"]), {})
    torch.save({"state_dict": Classifier(**arguments).state_dict(), "hyper_parameters": saved}, tmp_path / "c.ckpt")
    with pytest.raises(UserError, match=r"init_from: '.*c\.ckpt' was trained for task=classify, not for generate"):
        move(tmp_path / "c.ckpt", {})


def test_what_was_moved_is_told(tmp_path, caplog):
    save_language_model(tmp_path / "lm.ckpt", ["film was"])
    counts = np.array([1, 5, 5, 6, 3])
    with caplog.at_level(logging.INFO):
        part = part_of([*SPECIAL_TOKENS, "Film", "zzz"], counts, bidirectional=True)
        covered = move(tmp_path / "lm.ckpt", {"text": part})["text"]
    assert (covered.words, covered.tokens, covered.missing) == (0.5, pytest.approx(0.6), ["zzz"])
    told = "lm.ckpt', which knows 1 of 2 tokens (50.0 %), 60.0 % of the training tokens; LSTM: 1 layer(s) of 5, forward"
    assert told in caplog.text


def test_its_tokenizer_comes_with_another_limit(tmp_path):
    _, tokenizer = save_language_model(tmp_path / "lm.ckpt", ["a film was a film"] * 9, kind="bpe")
    taken = tokenizer_of(["other"], path=str(tmp_path / "lm.ckpt"), max_length=2, keep="end")
    assert taken.tokens == tokenizer.tokens
    assert (taken.max_length, taken.keep, taken.kind) == (2, "end", "bpe")


# Whole runs

SMALL = ["data=files", "data.path=rows.csv", "data.batch_size=16", "trainer.max_epochs=2", "callbacks.doctor=null"]
SAME = ["model.hidden_size=8", "model.embedding_size=6"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Write a small corpus, and train a language model on half of its words."""
    folder = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    with (folder / "rows.csv").open("w", encoding="utf-8") as file:
        file.write("text,source,target,label\n")
        for i in range(90):
            columns = [" ".join(f"{role}{n}" for n in random.integers(20, size=6)) for role in ("w", "s", "w")]
            file.write(",".join([*columns, "ab"[i % 2]]) + "\n")
    (folder / "lm.txt").write_text("\n".join(" ".join(f"w{n}" for n in random.integers(10, size=6)) for _ in range(60)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["task=generate", "data=files", "data.path=lm.txt", *SMALL[2:], *SAME, "hydra.run.dir=lm"])
    return folder


@pytest.fixture
def _own_folder(world, tmp_path, monkeypatch):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def state(path):
    return torch.load(path, weights_only=True)["state_dict"]


def build(task, *arguments):
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        begun = [f"+{one}" if one.startswith("init_") else one for one in arguments]
        config = plain_values(compose("explain", [f"task={task}", *SMALL[:3], *SAME, *begun]))
    return build_task(config, build_data(config))


@pytest.mark.usefixtures("_own_folder")
def test_a_run_begins_with_it_and_needs_it_no_more(capsys):
    given = ["task=classify", *SMALL, *SAME, "init_from=lm", "model.output_dropout=0.2"]
    main([*given, "hydra.run.dir=whole"])
    out = capsys.readouterr().out
    assert "text: initialised from 'lm/checkpoints/best.ckpt', which knows 10 of 20 tokens (50.0 %)" in out
    metrics = json.loads(Path("whole/metrics.json").read_text())
    assert metrics["init_from/text/tokens_known"] == 0.5
    assert 0.4 < metrics["init_from/text/training_tokens_known"] < 0.6

    killer = f"{{_target_: lstm_readout_test_tools.SendSignal, step: 3, number: {int(signal.SIGINT)}}}"
    with pytest.raises(SystemExit):
        main([*given, f"+callbacks.killer={killer}", "hydra.run.dir=part"])
    shutil.rmtree("lm")
    main(["resume=part", "callbacks.killer=null"])
    whole, part = (state(f"{folder}/checkpoints/last.ckpt") for folder in ("whole", "part"))
    assert all(torch.equal(part[name], value) for name, value in whole.items())
    resumed = json.loads(Path("part/metrics.json").read_text())
    assert resumed["init_from/text/tokens_known"] == 0.5
    evaluate(["checkpoint=whole/checkpoints/best.ckpt", "output=again.json"])
    assert json.loads(Path("again.json").read_text())["init_from/text/tokens_known"] == 0.5


@pytest.mark.usefixtures("_own_folder")
def test_chance_is_left_as_it_is():
    """So that a run from scratch has the same first head, order and dropout."""
    torch.manual_seed(3)
    scratch = build("classify")
    torch.manual_seed(3)
    moved = build("classify", "init_from=lm")
    assert torch.equal(scratch.model.head.weight, moved.model.head.weight)
    assert not torch.equal(scratch.model.encoder.lstm.rnn.weight_hh_l0, moved.model.encoder.lstm.rnn.weight_hh_l0)


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("into", "filled"),
    [("null", {"decoder"}), ("encoder", {"encoder"}), ("[encoder,decoder]", {"encoder", "decoder"}), ("[]", set())],
)
def test_sides_of_a_translator(into, filled):
    # Source words are none that it knows: the encoder's text is the target's here
    columns = ["data.columns.source=target", "data.columns.target=text"]
    model = build("translate", "init_from=lm", f"init_into={into}", *columns).model
    lstm = state("lm/checkpoints/best.ckpt")["model.encoder.lstm.rnn.weight_hh_l0"]
    sides = {"encoder": model.encoder, "decoder": model.decoder.encoder}
    assert {name for name, side in sides.items() if torch.equal(side.lstm.rnn.weight_hh_l0, lstm)} == filled
    head = state("lm/checkpoints/best.ckpt")["model.head.weight"]
    assert any(torch.equal(row, head[5]) for row in model.decoder.head.weight) == ("decoder" in filled)


@pytest.mark.usefixtures("_own_folder")
def test_a_language_model_goes_on_from_another():
    model = build("generate", "init_from=lm").model
    assert torch.equal(model.head.bias[:3], state("lm/checkpoints/best.ckpt")["model.head.bias"][:3])


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("classify", ["init_from=nowhere"], "init_from: no such file: 'nowhere'."),
        (
            "classify",
            ["init_from=lm", "init_into=decoder"],
            "init_into: classify has no 'decoder'. Did you mean 'encoder'?",
        ),
        ("classify", ["init_from=lm", "init_into=3"], "init_into: wanted a list, for example [encoder], got 3."),
        (
            "classify",
            ["init_tokenizer=true"],
            "init_tokenizer=true: no language model to take it from. Name one: init_from=",
        ),
        (
            "translate",
            ["init_from=lm", "init_tokenizer=true"],
            "init_tokenizer=true: a language model has one tokenizer, but translate reads source and target.",
        ),
        (
            "translate",
            ["init_from=lm", "model.decoder.hidden_size=9"],
            "model.decoder.hidden_size is 9, the language model's 8. Set model.decoder.hidden_size=8.",
        ),
        ("translate", ["init_from=lm", "init_into=encoder"], "knows none of the 23 tokens of source ('s"),
    ],
)
def test_what_does_not_fit_is_refused(task, arguments, message):
    with pytest.raises(UserError) as error:
        build(task, *arguments)
    assert message in str(error.value)


@pytest.mark.usefixtures("_own_folder")
def test_a_mistake_ends_the_run_before_training(capsys):
    with pytest.raises(SystemExit) as stop:
        main([*SMALL, *SAME, "init_from=no, where", "hydra.run.dir=run"])
    assert stop.value.code == 2
    assert "error: init_from: no such file: 'no, where'." in capsys.readouterr().err
    assert not list(Path("run").rglob("*.ckpt"))


@pytest.mark.usefixtures("_own_folder")
def test_vectors_and_a_language_model_do_not_fill_the_same():
    Path("w.txt").write_text("w1 1 2 3 4 5 6\n")
    with pytest.raises(UserError, match="vectors and init_from both fill the embedding of text"):
        build("classify", "init_from=lm", "vectors=file", "vectors.path=w.txt")


@pytest.mark.usefixtures("_own_folder")
def test_the_gain_is_measured_by_the_command_that_is_told(capsys):
    main(["task=classify", *SMALL, *SAME, "init_from=lm", "init_tokenizer=true", "hydra.run.dir=run"])
    (told,) = re.findall(r"its gain: .*? (compare .*)", capsys.readouterr().out)
    arguments = [word for word in shlex.split(told)[1:] if not word.startswith("callbacks")]
    keep = ["variants.discriminative=null", "seeds=0", "jobs=1", "trainer.max_epochs=1", "hydra.run.dir=gain"]
    compare([*arguments, *keep])
    about = json.loads(Path("gain/compare.json").read_text())
    assert [one["key"] for one in about["variants"]] == ["scratch", "transfer", "gradual"]
    assert [one["against"] for one in about["variants"]] == [None, "from scratch", "from scratch"]
    assert about["variants"][1]["difference"] is not None


@pytest.mark.usefixtures("_own_folder")
def test_variants_differ_in_what_they_begin_with_alone():
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        words = ["variants=transfer", "init_from=lm", "init_tokenizer=true", *SMALL[:3], *SAME]
        config = compose("compare", [*words, "trainer.default_root_dir=."])
    data = build_data(plain_values(config))
    assert len(data.vocabulary.tokenizers["text"]) == 13
    variants = {variant.key: variant for variant in read_variants(config, data)}
    assert variants["scratch"].config["init_into"] == []
    rest = [{k: v for k, v in variants[key].config.items() if k != "init_into"} for key in ("scratch", "transfer")]
    assert rest[0] == rest[1]


def test_a_comparison_needs_a_language_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        compare(["variants=transfer"])
    assert stop.value.code == 2
    assert (
        "init_from: must be given: the run folder or a checkpoint of a language model (task=generate)"
        in capsys.readouterr().err
    )
