"""Checkpoints written as a run writes them, read by the pipelines that users call."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import DocumentClassifier, TextGenerator, Translator
from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import greedy, sample
from lstm_readout.inference.pipeline import Pipeline
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.models.checkpoint import hyper_parameters, read_checkpoint
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

CORPUS = ["a great film", "what a bad film", "ein Hund läuft", "שלום עולם", "film 🎬 great"]
TEXTS = [
    "a great film",
    "",
    "🎬 👩‍👩‍👧 film",
    "שלום עולם",
    "مرحبا",  # not a word of it is known
    "bad " * 40,
    "a film",
    "   ",
]
EVERY = {"classify": DocumentClassifier, "translate": Translator, "generate": TextGenerator}
WORD, BPE = TextTokenizer.train(CORPUS), TextTokenizer.train(CORPUS, kind="bpe", vocab_size=300)
CONFIG = {"seed": 1, "data": {"name": "x", "format": None}}
SIZES: dict[str, Any] = {"embedding_size": 4, "hidden_size": 6}


def lively(model: nn.Module) -> nn.Module:
    """Give a model weights that answer differently to every text."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.0)
    return model.eval()


def model_and_vocabulary(task: str) -> tuple[nn.Module, Vocabulary]:
    if task == "classify":
        model = Classifier(vocab_size=len(WORD), num_classes=3, bidirectional=True, **SIZES)
        return lively(model), Vocabulary({"text": WORD}, ["bad", "good", "שונה"])
    if task == "translate":
        model = Seq2Seq(source_vocab_size=len(WORD), target_vocab_size=len(BPE), bidirectional=True, **SIZES)
        return lively(model), Vocabulary({"source": WORD, "target": BPE}, [])
    return lively(LanguageModel(vocab_size=len(BPE), **SIZES)), Vocabulary({"text": BPE}, [])


def content_of(task: str, model: nn.Module, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return what a run saves: Lightning's keys, the weights below ``model.``, a metric's state beside them."""
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    return {
        "epoch": 1,
        "global_step": 7,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**weights, "measures.val.mean_value": torch.zeros(())},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "hyper_parameters": hyper_parameters(task, model.arguments, vocabulary, CONFIG),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, nn.Module, Vocabulary]]:
    torch.manual_seed(0)
    folder, files = tmp_path_factory.mktemp("checkpoints"), {}
    for task in EVERY:
        model, vocabulary = model_and_vocabulary(task)
        torch.save(content_of(task, model, vocabulary), folder / f"{task}.ckpt")
        files[task] = (folder / f"{task}.ckpt", model, vocabulary)
    return files


def ids_of(tokenizer: TextTokenizer, text: str) -> list[int]:
    return tokenizer.encode([text])[0].values.tolist()


# What comes out


def test_the_classifier_answers_as_its_model_does_on_each_text_alone(saved):
    path, model, vocabulary = saved["classify"]
    results = DocumentClassifier.load(path)(TEXTS)
    assert len({result.label for result in results}) > 1
    for text, (label, probabilities) in zip(TEXTS, results, strict=True):
        logits = model(pack_sequence([torch.tensor(ids_of(WORD, text))]))[0]
        expected = dict(zip(vocabulary.labels, logits.softmax(-1).tolist(), strict=True))
        assert probabilities == pytest.approx(expected, abs=1e-6)
        assert label == max(expected, key=expected.__getitem__)
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
        assert sum(probabilities.values()) == pytest.approx(1)


def test_the_translator_answers_as_its_model_does_on_each_text_alone(saved):
    path, model, _ = saved["translate"]
    results = Translator.load(path)(TEXTS)
    assert len(set(results)) > 3
    for text, result in zip(TEXTS, results, strict=True):
        ids = ids_of(WORD, text)
        (expected,) = greedy(model.decoder, model.encode(pack_sequence([torch.tensor(ids)])), 2 * len(ids) + 20)
        assert result == BPE.decode(expected)


def test_the_generator_goes_on_as_its_model_does(saved):
    path, model, _ = saved["generate"]
    for options in ({"temperature": 0}, {"seed": 3}, {"seed": 4, "temperature": 1.5, "top_k": 9, "top_p": 0.9}):
        generator = TextGenerator.load(path, max_tokens=30, **options)
        for text, result in zip(TEXTS, generator(TEXTS), strict=True):
            given = ids_of(BPE, text)[:-1]
            drawing = {"temperature": 0.8, **options}
            chance = torch.Generator().manual_seed(drawing.pop("seed", 0))
            written = list(sample(model, given, max_length=30, generator=chance, **drawing))
            whole = BPE.decode([*given, *written])
            assert whole.startswith(text)
            assert result == whole[len(text) :].rstrip("\ufffd")  # bytes at the end that are no character yet
            assert result == "".join(generator.stream(text))


@pytest.mark.parametrize("tokenizer", [BPE, TextTokenizer.train(CORPUS, kind="char")], ids=["bpe", "char"])
def test_the_generator_streams_no_half_characters(tokenizer):
    """A model that writes two characters, byte after byte."""
    vocabulary = Vocabulary({"text": tokenizer}, [])
    tokens = ids_of(tokenizer, "😀é")[:-1]
    assert len(set(tokens)) == len(tokens) > 3
    size = len(tokenizer)
    chain = LanguageModel(vocab_size=size, embedding_size=size, hidden_size=size, cell="rnn")
    with torch.no_grad():  # the state is the last token; the head is a table of who follows whom
        for parameter in chain.parameters():
            parameter.zero_()
        chain.encoder.embedding.weight.copy_(torch.eye(size))
        chain.encoder.lstm.rnn.weight_ih_l0.copy_(9 * torch.eye(size))
        for before, after in zip([1, *tokens], [*tokens, 2], strict=True):
            chain.head.weight[after, before] = 9
    assert list(TextGenerator(chain, vocabulary, temperature=0).stream("")) == ["😀", "é"]
    assert list(TextGenerator(chain, vocabulary, temperature=0, max_tokens=len(tokens) - 1).stream("")) == ["😀"]


@pytest.mark.parametrize("kind", ["word", "basic_english", "wordpiece", "char", "bpe", "unigram", "byte"])
def test_the_generator_streams_what_decoding_all_at_once_gives(kind, monkeypatch):
    texts = [*CORPUS, 'I said: "no, it\'s 5 (five) dollars!" - then I left...', "naïve café, 20% off; well-known"]
    options: dict[str, Any] = {"vocab_size": None if kind in ("word", "char") else 300}
    if kind == "char":
        options["byte_fallback"] = False  # a stray byte makes those before it unreadable, too, that were told of
    tokenizer = TextTokenizer.train(texts, kind=kind, **options)
    model = lively(LanguageModel(vocab_size=len(tokenizer), **SIZES))
    longest, decode = 0, TextTokenizer.decode

    def watched(self, token_ids):
        nonlocal longest
        longest = max(longest, len(token_ids))
        return decode(self, token_ids)

    for seed in range(4):
        generator = TextGenerator(model, Vocabulary({"text": tokenizer}, []), max_tokens=60, temperature=2, seed=seed)
        (expected,) = generator(["great film"])
        with monkeypatch.context() as patch:
            patch.setattr(TextTokenizer, "decode", watched)
            assert "".join(generator.stream("great film")) == expected
    if kind in ("word", "basic_english", "wordpiece"):
        assert longest < 12  # the text so far, then a word or two: not all of it for each token


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "byte"])
def test_a_generator_of_reversed_text_writes_what_stands_before(kind):
    options: dict[str, Any] = {"vocab_size": 300} if kind == "bpe" else {}
    tokenizer = TextTokenizer.train(CORPUS, kind=kind, reverse=True, **options)
    model = lively(LanguageModel(vocab_size=len(tokenizer), **SIZES))
    generator = TextGenerator(model, Vocabulary({"text": tokenizer}, []), max_tokens=9, temperature=1.0)
    text = "a great film"
    (before,) = generator([text])
    given = ids_of(tokenizer, text)[:-1]
    chance = torch.Generator().manual_seed(0)
    drawn = [*sample(model, given, max_length=9, temperature=1.0, generator=chance)]
    assert (before + text).lstrip("\ufffd") == tokenizer.decode([*given, *drawn]).lstrip("\ufffd")
    assert next(iter(generator.lines([text]))) == before + text
    assert "".join(reversed([*generator.stream(text)])).lstrip("\ufffd") == before


def test_classifiers_that_work_together_have_the_mean_of_their_probabilities(tmp_path):
    """Each with a tokenizer of its own, and labels in an order of its own."""
    labels = (["bad", "good", "fair"], ["good", "fair", "bad"], ["fair", "bad", "good"])
    tokenizers = (WORD, BPE, TextTokenizer.train(CORPUS, max_length=2, keep="end", reverse=True))
    paths, alone = [], []
    for number, (names, tokenizer) in enumerate(zip(labels, tokenizers, strict=True)):
        model = lively(Classifier(vocab_size=len(tokenizer), num_classes=3, **SIZES))
        paths.append(tmp_path / f"{number}.ckpt")
        torch.save(content_of("classify", model, Vocabulary({"text": tokenizer}, names)), paths[-1])
        alone.append(DocumentClassifier(model, Vocabulary({"text": tokenizer}, names))(TEXTS))
    together = DocumentClassifier.load(paths[0], ensemble=paths[1:])(TEXTS)
    for found, *each in zip(together, *alone, strict=True):
        expected = {name: sum(one.probabilities[name] for one in each) / 3 for name in labels[0]}
        assert found.probabilities == pytest.approx(expected, abs=1e-6)
        assert found.label == max(expected, key=lambda name: expected[name])
    other = tmp_path / "other.ckpt"
    model = Classifier(vocab_size=len(WORD), num_classes=2, **SIZES)
    torch.save(content_of("classify", model, Vocabulary({"text": WORD}, ["no", "yes"])), other)
    with pytest.raises(UserError, match="ensemble: number 2 has the labels 'no', 'yes', the first checkpoint 'bad'"):
        DocumentClassifier.load(paths[0], ensemble=[paths[1], other])
    with pytest.raises(UserError, match=r"wanted a list of checkpoints, got '.*1\.ckpt'"):
        DocumentClassifier.load(paths[0], ensemble=paths[1])
    torch.save(content_of("generate", *model_and_vocabulary("generate")), other)
    with pytest.raises(UserError, match="generate"):
        DocumentClassifier.load(paths[0], ensemble=[other])


@pytest.mark.parametrize("task", EVERY)
def test_results_depend_neither_on_the_order_nor_on_the_other_texts(saved, task):
    pipeline = EVERY[task].load(saved[task][0], **({"max_tokens": 20} if task == "generate" else {}))
    many = [f"{text} {i}" for i in range(10) for text in TEXTS] if task != "generate" else TEXTS  # > one batch
    results = pipeline(many)
    order = random.Random(0).sample(range(len(many)), len(many))
    shuffled = pipeline([many[i] for i in order])
    alone = [pipeline([text])[0] for text in many[:16]]
    for k, i in enumerate(order):
        assert_same(shuffled[k], results[i])
    for ours, theirs in zip(results, alone, strict=False):
        assert_same(ours, theirs)


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(ours, str):
        assert ours == theirs
    else:
        assert ours.label == theirs.label
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-6)


@pytest.mark.parametrize("task", EVERY)
def test_one_result_for_each_text_and_none_for_none(saved, task):
    pipeline = EVERY[task].load(saved[task][0], **({"max_tokens": 5} if task == "generate" else {}))
    assert pipeline([]) == []
    assert len(pipeline([""])) == 1
    assert len(pipeline(tuple(TEXTS))) == len(list(pipeline.lines(TEXTS))) == len(TEXTS)


@pytest.mark.parametrize("task", EVERY)
def test_a_string_in_place_of_a_list_is_refused(saved, task):
    with pytest.raises(UserError, match=r"wanted a list of strings, got one string\. Put it in brackets"):
        EVERY[task].load(saved[task][0])("a great film")


def test_lines_are_what_the_command_line_prints(saved):
    classifier = DocumentClassifier.load(saved["classify"][0])
    for line, (label, probabilities) in zip(classifier.lines(TEXTS), classifier(TEXTS), strict=True):
        assert json.loads(line) == {"label": label, "probabilities": pytest.approx(probabilities, abs=1e-6)}
        assert "שונה" in line  # letters, not escapes
    assert all("\n" not in line for line in Translator.load(saved["translate"][0]).lines(TEXTS))
    generator = TextGenerator.load(saved["generate"][0], max_tokens=5)
    whole = [a + b for a, b in zip(TEXTS, generator(TEXTS), strict=True)]
    assert list(generator.lines(TEXTS)) == [one.replace("\r", "\\r").replace("\n", "\\n") for one in whole]


def test_a_translation_is_no_longer_than_max_length(saved):
    path, model, _ = saved["translate"]
    translator = Translator.load(path)
    for text, result in zip(TEXTS, translator(TEXTS, max_length=3), strict=True):
        (expected,) = greedy(model.decoder, model.encode(pack_sequence([torch.tensor(ids_of(WORD, text))])), 3)
        assert result == BPE.decode(expected)


def test_a_loaded_model_is_in_eval_mode(saved):
    for task, (path, _, _) in saved.items():
        assert not any(module.training for module in EVERY[task].load(path).model.modules())


def test_sampling_out_of_range_is_refused_when_loading(saved):
    with pytest.raises(UserError, match="temperature: wanted 0 or more, got -1"):
        TextGenerator.load(saved["generate"][0], temperature=-1)


# What is read


def test_a_checkpoint_gives_back_what_was_written(saved):
    path, model, vocabulary = saved["translate"]
    task, arguments, weights, read, config, file = read_checkpoint(path)
    assert (task, arguments, config) == ("translate", model.arguments, CONFIG)
    assert file == str(path)
    assert weights.keys() == model.state_dict().keys()  # the metric's state stays out
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in weights.items())
    assert read.to_dict() == vocabulary.to_dict()


def refused(path: Path, pipeline: type[Pipeline] = DocumentClassifier) -> str:
    with pytest.raises(UserError) as error:
        pipeline.load(path)
    return str(error.value)


def test_a_missing_file_is_answered_with_the_checkpoints_that_are_there(saved):
    path = saved["classify"][0]
    message = refused(path.with_name("missing.ckpt"))
    assert f"no such file: '{path.with_name('missing.ckpt')}'. Found: {path}, " in message
    assert refused(Path("no/such/folder/x.ckpt")) == "checkpoint: no such file: 'no/such/folder/x.ckpt'."


def test_a_folder_is_answered_with_the_checkpoints_in_it(saved, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").write_bytes(saved["classify"][0].read_bytes())
    for folder in (tmp_path, tmp_path / "run", tmp_path / "run" / "checkpoints"):
        assert f"Found: {tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}." in refused(folder)


def test_a_search_for_other_checkpoints_does_not_walk_the_whole_disk(tmp_path):
    deep = tmp_path.joinpath(*"abcdef")
    deep.mkdir(parents=True)
    (deep / "far.ckpt").touch()
    assert "far" not in refused(tmp_path / "x.ckpt")


def test_a_file_that_was_cut_anywhere_is_refused(saved, tmp_path):
    whole, path = saved["classify"][0].read_bytes(), tmp_path / "cut.ckpt"
    for length in [0, 1, 2, 4, 30, *range(100, len(whole), len(whole) // 30), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert f"could not read '{path}': it is truncated, or not a checkpoint" in refused(path), length


def test_a_damaged_or_foreign_file_is_refused_and_never_crashes(saved, tmp_path):
    whole, path, random_bytes = saved["classify"][0].read_bytes(), tmp_path / "x.ckpt", random.Random(0)
    files = [b"hello\n", "a great film 🎬\n".encode() * 50, b"\x80\x02.", b"(lp0\n.", b"\x80\x02]q\x00.", b"PK\x03\x04"]
    files += [random_bytes.randbytes(random_bytes.randrange(1, 300)) for _ in range(150)]
    files += [b"\x80\x02" + random_bytes.randbytes(random_bytes.randrange(1, 60)) for _ in range(150)]
    for content in files:
        path.write_bytes(content)
        assert "checkpoint: " in refused(path), content
    for _ in range(60):  # one byte of the file turned: in a place that is read, or in one that is not
        place = random_bytes.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            DocumentClassifier.load(path)


@pytest.mark.parametrize(
    "content",
    [
        {"weights": torch.zeros(3)},
        {"state_dict": {}, "hyper_parameters": {"lr": 0.1}},
        {"hyper_parameters": 3},
        torch.zeros(3),
        [1, 2],
        {},
    ],
    ids=lambda content: type(content).__name__,
)
def test_a_file_of_another_program_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.ckpt")
    assert "was not written by lstm-readout. Give a .ckpt file of one of its runs." in refused(tmp_path / "x.ckpt")


def test_another_task_is_refused(saved):
    for task, (path, _, _) in saved.items():
        for name, pipeline in EVERY.items():
            if name != task:
                assert f"was trained for task={task}, not for {name}." in refused(path, pipeline)


def test_a_newer_format_is_refused(tmp_path):
    content = content_of("classify", *model_and_vocabulary("classify"))
    content["hyper_parameters"]["format"] = 2
    torch.save(content, tmp_path / "x.ckpt")
    assert "has format 2, newer than 1. Upgrade lstm-readout." in refused(tmp_path / "x.ckpt")


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("form", ["inside", "alone", "pickle"])
def test_a_file_that_holds_code_is_refused_and_the_code_does_not_run(form, tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "x.ckpt"
    content: Any = Malicious(proof)
    if form == "inside":
        content = content_of("classify", *model_and_vocabulary("classify"))
        content["hyper_parameters"]["config"] = Malicious(proof)
    path.write_bytes(pickle.dumps(content, protocol=2) if form == "pickle" else saved_bytes(content))
    message = refused(path)
    assert f"could not read '{path}'" in message
    assert form == "pickle" or "it contains more than tensors and plain values" in message
    assert not proof.exists()
    if form == "pickle":  # the file does what it is said to do, where it is let
        pickle.loads(path.read_bytes())
        assert proof.exists()


def saved_bytes(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    assert zipfile.is_zipfile(buffer)
    return buffer.getvalue()
