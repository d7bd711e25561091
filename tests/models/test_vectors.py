"""Pretrained word vectors: what files hold, what an embedding takes from them, and whole runs."""

from __future__ import annotations

import gzip
import io
import json
import logging
import signal
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hypothesis import assume, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import nn

from lstm_readout import DocumentClassifier
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.train import main
from lstm_readout.compare.variants import read_variants
from lstm_readout.config.build import build_task
from lstm_readout.config.values import plain_values
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.pretrained.vector_file import VectorFile, WordVectors
from lstm_readout.models.pretrained.vectors import Place, PretrainedVectors, from_file
from lstm_readout.tasks import ClassifyTask, GenerateTask, TranslateTask
from lstm_readout.tokenizer import BOS, EOS, SPECIAL_TOKENS
from lstm_readout.training.optimizers import adamw, sgd

WANTED = ["the", "The", "naïve", "new york", "new", "👍", " ", "\f", "absent"]


def read(path, words=WANTED):
    vectors = VectorFile(path).read(words)
    assert vectors.values.dtype == np.float32
    return {word: vectors.values[row].tolist() for word, row in vectors.words.items()}


PLAIN = "the 1 2.5 -3e-2\nof 0 0 0\nnaïve 4 5 6\n"
FOUND = {"the": [1, 2.5, np.float32(-3e-2)], "naïve": [4, 5, 6]}
FORMATS = {
    "glove": (PLAIN.encode(), FOUND),
    "header": (b"3 3\n" + PLAIN.encode(), FOUND),
    "trailing spaces": (b"3 3\n" + PLAIN.replace("\n", " \n").encode(), FOUND),
    "no last newline": (PLAIN.strip().encode(), FOUND),
    "a header with tabs": (b"\t3\t\t3\t\n" + PLAIN.encode(), FOUND),
    "windows": (PLAIN.replace("\n", "\r\n").encode(), FOUND),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), FOUND),
    "gzip": (gzip.compress(PLAIN.encode()), FOUND),
    "blank lines": (b"\n" + PLAIN.encode() + b"\n \n", None),
    "a word with spaces": (b"new york 1 2\nnew 3 4\n. . . 5 6\n", {"new york": [1, 2], "new": [3, 4]}),
    "a word of spaces": (b"the 1 2\n  3 4\n 5 6\n", {"the": [1, 2], " ": [3, 4]}),
    "a word of other whitespace": (b"\f 1 2\nthe 3 4\n", {"the": [3, 4], "\f": [1, 2]}),
    "a number as a word": (b"7 1 2\nthe 3 4\n", {"the": [3, 4]}),
    "a word twice": (b"the 1 2\nthe 3 4\nThe 5 6\n", {"the": [1, 2], "The": [5, 6]}),
    "latin-1": ("naïve 1 2\nthe 3 4\n".encode("latin-1"), {"the": [3, 4]}),
    "emoji": ("👍 1 2\n👍🏽 3 4\n".encode(), {"👍": [1, 2]}),
    "nothing that is wanted": (b"a 1 2\nb 3 4\n", {}),
}


@pytest.mark.parametrize("case", sorted(FORMATS))
def test_the_formats_that_there_are(case, tmp_path):
    content, expected = FORMATS[case]
    path = tmp_path / "vectors"
    path.write_bytes(content)
    if expected is None:  # where the first line is blank, nobody knows how many numbers follow
        with pytest.raises(UserError, match="line 1: wanted a word and its numbers, separated by spaces, got ''"):
            read(path)
        path.write_bytes(content.lstrip(b"\n"))
        expected = FOUND
    assert read(path) == expected


words = st.text(st.characters(exclude_characters="\n\r \0", exclude_categories=["Cs"]), min_size=1, max_size=6)
rows = st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=3, max_size=3)


@given(st.dictionaries(words, rows, min_size=1, max_size=8), st.lists(words, max_size=4), st.booleans(), st.booleans())
def test_whatever_is_written_is_read(tmp_path_factory, vectors, others, header, packed):
    assume(header or not next(iter(vectors)).isdigit())
    path = tmp_path_factory.mktemp("vectors") / "file"
    text = f"{len(vectors)} 3\n" * header + "".join(
        f"{word} {' '.join(map(repr, row))}\n" for word, row in vectors.items()
    )
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    wanted = [*list(vectors)[::2], *others]
    assert read(path, wanted) == {word: vectors[word] for word in wanted if word in vectors}


def test_what_is_skipped_and_what_is_missing_is_told(tmp_path, caplog):
    path = tmp_path / "vectors"
    path.write_bytes(b"9 1\n" + "naïve 1\nthe 2\n".encode("latin-1"))
    assert read(path) == {"the": [2]}
    assert f"vectors.path: in '{path}', skipped 1 word(s) that are not UTF-8" in caplog.text
    assert f"vectors.path: the header of '{path}' announces 9 words, the file has 2. Is it complete?" in caplog.text


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("glove.6B.50d.txt", "the 1 2")
    return buffer.getvalue()


BROKEN = {
    "empty": (b"\n", "is empty. Give the text file of GloVe, fastText (.vec) or word2vec, gzip'd or not."),
    "binary": (b"3000000 300\n</s> \x00\x01\x02", "is binary, not text. Give the text file"),
    "no line": (b"a" * (1 << 20), "is binary, not text."),
    "zip": (zipped(), "is a zip archive of glove.6B.50d.txt. Unpack it, and name one."),
    "cut gzip": (gzip.compress(PLAIN.encode() * 99)[:-30], "could not be read (Compressed file ended before the"),
    "broken gzip": (gzip.compress(b"x")[:12] + b"broken" * 9, "could not be read ("),
    "no numbers": (b"the quick\n", "line 1: wanted a word and its numbers, separated by spaces, got 'the quick'."),
    "cut": (b"a 1 2\nthe 1", "line 2: wanted a word and 2 numbers, separated by spaces, got 'the 1'. Is the file"),
    "cut, unwanted": (b"3 2\na 1 2\nb 1 2\nc 1", "line 4: wanted a word and 2 numbers, separated by spaces, got 'c 1'"),
    "no number": (b"a 1 2\nthe 1 x\n", "line 2: wanted a word and 2 numbers, separated by spaces, got 'the 1 x'"),
    "nan": (b"a 1 2\nthe 1 nan\n", "line 2: wanted finite numbers, separated by spaces, got 'the 1 nan'"),
    "infinite": (b"a 1 2\nthe 1 1e39\n", "line 2: wanted finite numbers, separated by spaces, got 'the 1 1e39'"),
    "long": (b"a 1 2\nthe 1 " + b"x" * 999, f"got 'the 1 {'x' * 24} ... {'x' * 25}'."),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_file_that_is_no_file_of_word_vectors(case, tmp_path):
    content, message = BROKEN[case]
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"vectors.path: '{path}'")
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"vectors\.path: no such file: 'nowhere\.txt'\. Give"):
        read("nowhere.txt")
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"vectors\.path: no file given\. For example: vectors=file vectors\.path="):
        from_file()


def test_memory_holds_the_words_that_are_wanted_and_not_the_file(tmp_path):
    path = tmp_path / "vectors"
    numbers = " 0.12345" * 50
    path.write_text("".join(f"w{i}{numbers}\n" for i in range(20_000)))
    wanted = [f"w{i}" for i in range(0, 20_000, 100)]
    tracemalloc.start()
    read_rows = VectorFile(path).read(wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 8_000_000
    assert read_rows.values.shape == (200, 50)
    assert peak < 3_500_000  # two buffers of a MiB, and 200 rows


def test_an_edited_file_is_read_again(tmp_path):
    path = tmp_path / "vectors"
    path.write_text("the 1 2\n")
    assert read(path) == {"the": [1, 2]}
    path.write_text("the 3 4 5\n")
    assert read(path) == {"the": [3, 4, 5]}


# What an embedding takes


class Given:
    """Vectors that are not read from a file."""

    key, name = "vectors.path", "'memory'"

    def __init__(self, vectors):
        self.vectors = vectors
        self.size = len(next(iter(vectors.values())))
        self.asked = []

    def read(self, words):
        self.asked.append(set(words))
        found = [word for word in self.vectors if word in words]
        values = np.array([self.vectors[word] for word in found], dtype=np.float32).reshape(-1, self.size)
        return WordVectors({word: row for row, word in enumerate(found)}, values)


def place(tokens, size=2, counts=None, key="model.embedding_size"):
    tokens = [*SPECIAL_TOKENS, *tokens]
    return Place(nn.Embedding(len(tokens), size), tokens, counts, key)


def test_rows_of_known_words_are_their_vectors_and_the_others_vary_as_much():
    torch.manual_seed(1)
    unknown = [f"unknown {i}" for i in range(500)]
    there = place(["the", "The", "THE", " Cat", *unknown])
    before = there.embedding.weight.detach().clone()
    source = Given({"the": [3.0, -3.0], "The": [0.5, 0.5], "cat": [9.0, 1.0], "dog": [5.0, 5.0]})
    covered = PretrainedVectors(source).initialise({"text": there})
    weight = there.embedding.weight.detach()
    assert weight[3:7].tolist() == [[3, -3], [0.5, 0.5], [3, -3], [9, 1]]
    scale = np.std([[3, -3], [0.5, 0.5], [3, -3], [9, 1]]) / float(before.std(correction=0))
    rest = [0, 1, 2, *range(7, len(weight))]
    assert torch.allclose(weight[rest], before[rest] * scale)
    assert covered["text"].words == 4 / 504
    assert covered["text"].tokens is None
    assert covered["text"].missing == unknown[:5]
    assert {"THE", "the", " Cat", "Cat", "cat"} <= source.asked[0]
    assert there.embedding.weight.requires_grad


def test_without_lowercase_a_token_is_looked_up_as_it_is():
    there = place(["the", "The"])
    before = there.embedding.weight.detach().clone()
    covered = PretrainedVectors(Given({"the": [1.0, 2.0]}), lowercase=False).initialise({"text": there})
    assert there.embedding.weight[3].tolist() == [1, 2]
    assert covered["text"].words == 0.5
    assert torch.allclose(there.embedding.weight[4] / before[4], there.embedding.weight[0] / before[0])


def test_coverage_counts_words_and_training_tokens_and_names_frequent_ones():
    counts = np.array([5, 0, 99, 10, 1, 3, 1])
    assert counts[BOS] == 0
    assert counts[EOS] == 99
    there = place(["the", "a", "b", "c"], counts=counts)
    covered = PretrainedVectors(Given({"the": [1.0, 0.0], "a": [0.0, 1.0], "<unk>": [7.0, 7.0]})).initialise(
        {"text": there}
    )["text"]
    assert covered.words == 2 / 4  # special tokens are no words
    assert covered.tokens == pytest.approx(11 / 20)  # five tokens are unknown
    assert covered.missing == ["b", "c"]
    assert there.embedding.weight[0].tolist() == [7, 7]


def test_vectors_that_do_not_vary_leave_the_scale_alone():
    there = place(["the", "a"], size=1)
    before = there.embedding.weight.detach().clone()
    PretrainedVectors(Given({"the": [2.0]})).initialise({"text": there})
    assert torch.equal(there.embedding.weight[4], before[4])


def test_each_role_has_its_own_vectors_or_all_share_one_reading():
    places = {"source": place(["der"]), "target": place(["the"], size=3, key="model.decoder.embedding_size")}
    sources = {"source": Given({"der": [1.0, 2.0]}), "target": Given({"the": [1.0, 2.0, 3.0]})}
    PretrainedVectors(sources).initialise(places)
    assert places["target"].embedding.weight[3].tolist() == [1, 2, 3]
    both = Given({"der": [1.0, 2.0], "the": [3.0, 4.0]})
    places = {"source": place(["der"]), "target": place(["the"])}
    PretrainedVectors(both, freeze=True).initialise(places)
    assert both.asked[0] == both.asked[1]  # so that a file is read once
    assert not any(one.embedding.weight.requires_grad for one in places.values())
    places = {"source": place(["der"]), "target": place(["the"])}
    covered = PretrainedVectors(both, roles=["target"], freeze=True).initialise(places)
    assert list(covered) == ["target"]
    assert [one.embedding.weight.requires_grad for one in places.values()] == [True, False]


MISTAKES = [
    (
        lambda: PretrainedVectors(Given({"the": [1.0] * 100})),
        "vectors.path: 'memory' has 100 numbers per word; model.embedding_size is 2. Set model.embedding_size=100.",
    ),
    (lambda: PretrainedVectors(Given({"der": [1.0, 2.0]})), "has none of the 5 tokens of text ('the', 'cat', ...)."),
    (
        lambda: PretrainedVectors(Given({"the": [1.0, 2.0]}), roles=["txt"]),
        "vectors: there is no text role 'txt' here. Did you mean 'text'? Valid: text.",
    ),
    (
        lambda: PretrainedVectors({"source": Given({"the": [1.0, 2.0]})}),
        "vectors: there is no text role 'source' here. Valid: text.",
    ),
    (
        lambda: PretrainedVectors({"text": Given({"the": [1.0, 2.0]})}, roles=["label"]),
        "vectors.roles=['label'], but there are vectors for: text. Name each role once.",
    ),
]


@pytest.mark.parametrize(("given", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_what_does_not_fit_is_refused(given, message):
    there = place(["the", "cat"])
    before = there.embedding.weight.detach().clone()
    with pytest.raises(UserError) as error:
        given().initialise({"text": there})
    assert message in str(error.value)
    assert torch.equal(there.embedding.weight, before)


@pytest.mark.parametrize("optimizer", [adamw, sgd])
def test_an_optimizer_leaves_frozen_vectors_alone(optimizer):
    model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 1))
    model[0].weight.requires_grad_(False)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    steps = optimizer(model.parameters(), lr=0.1, weight_decay=0.5)
    model(torch.arange(5)).sum().backward()
    steps.step()
    same = [torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True)]
    assert same == [True, False, False]


@pytest.mark.parametrize("task", [ClassifyTask, GenerateTask, TranslateTask])
def test_every_task_says_where_its_embeddings_are(task):
    assert set(task.embeddings) == {role for role, kind in task.roles.items() if kind == "text"}


# Whole runs

ROWS = 120
SMALL = ["data=files", "data.path=rows.csv", "data.batch_size=16", "trainer.max_epochs=2", "model.hidden_size=8"]
SMALL += ["callbacks.doctor=null"]
SIZES = {"text": 10, "source": 12, "target": 14}


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    """Write a small corpus for all tasks, and vectors of every other of its words."""
    monkeypatch.chdir(tmp_path)
    known = {role: [f"{role}{i}" for i in range(30)] for role in SIZES}
    random = np.random.default_rng(0)
    with Path("rows.csv").open("w", encoding="utf-8") as file:
        file.write("text,source,target,label\n")
        for i in range(ROWS):
            file.write(",".join(" ".join(random.choice(words, 6)) for words in known.values()) + f",{'ab'[i % 2]}\n")
    for role, size in SIZES.items():
        numbers = random.normal(scale=0.3, size=(30, size)).round(4)
        lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in zip(known[role], numbers, strict=True)]
        Path(f"{role}.txt").write_text("".join(lines[::2]))


def weights(folder):
    return torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


def expected(path, task, role):
    """Return the ids of a trained task whose words are in the file, and their vectors."""
    tokens = task.vocabulary.tokenizers[role].tokens
    vectors = VectorFile(path).read(tokens)
    ids = [i for i, token in enumerate(tokens) if token in vectors.words]
    return ids, torch.from_numpy(vectors.values[[vectors.words[tokens[i]] for i in ids]])


@pytest.mark.usefixtures("_own_folder")
def test_a_frozen_run_keeps_its_vectors_and_needs_the_file_no_more(capsys):
    given = ["task=classify", *SMALL, "vectors=file", "vectors.path=text.txt", "vectors.freeze=true"]
    given += ["model.embedding_size=10", "optimizer.weight_decay=0.5"]
    main([*given, "hydra.run.dir=whole"])
    assert "text: 'text.txt' has 15 of 30 words (50.0 %), " in capsys.readouterr().out
    metrics = json.loads(Path("whole/metrics.json").read_text())
    assert metrics["vectors/text/words"] == 0.5
    assert 0.4 < metrics["vectors/text/tokens"] < 0.6
    task = ClassifyTask.load_from_checkpoint("whole/checkpoints/last.ckpt")
    ids, vectors = expected("text.txt", task, "text")
    assert len(ids) == 15
    assert torch.equal(task.model.encoder.embedding.weight[ids], vectors)

    killer = f"{{_target_: lstm_readout_test_tools.SendSignal, step: 4, number: {int(signal.SIGINT)}}}"
    with pytest.raises(SystemExit):
        main([*given, f"+callbacks.killer={killer}", "hydra.run.dir=part"])
    Path("text.txt").unlink()
    main(["resume=part", "callbacks.killer=null"])
    assert all(torch.equal(weights("part")[name], weight) for name, weight in weights("whole").items())
    resumed = json.loads(Path("part/metrics.json").read_text())
    assert resumed["vectors/text/words"] == metrics["vectors/text/words"]
    evaluate(["checkpoint=whole/checkpoints/best.ckpt", "output=again.json"])
    assert json.loads(Path("again.json").read_text())["vectors/text/tokens"] == metrics["vectors/text/tokens"]
    assert DocumentClassifier.load("whole/checkpoints/best.ckpt")(["a film"])[0].label in ("a", "b")


def build(task_class, *arguments):
    """Compose a configuration and build its task, untrained."""
    name = task_class.name
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("explain", [f"task={name}", f"model={name}", "vectors=file", *arguments])
    data = TextDataModule(roles=task_class.roles, batch_type=task_class.batch_type, name="files", path="rows.csv")
    data.setup()
    return build_task(plain_values(config), data)


@pytest.mark.usefixtures("_own_folder")
def test_both_sides_of_a_translator_begin_with_vectors_of_their_own():
    paths = "vectors.path={source:source.txt,target:target.txt}"
    sizes = ["model.encoder.embedding_size=12", "model.decoder.embedding_size=14"]
    task = build(TranslateTask, paths, *sizes)
    embeddings = {"source": task.model.encoder.embedding, "target": task.model.decoder.encoder.embedding}
    for role, embedding in embeddings.items():
        ids, vectors = expected(f"{role}.txt", task, role)
        assert len(ids) == 15
        assert torch.equal(embedding.weight[ids], vectors)
        assert embedding.weight.requires_grad
    assert task.config["vectors"]["target/words"] == 0.5


@pytest.mark.usefixtures("_own_folder")
def test_vectors_are_trained_on_where_they_are_not_frozen():
    task = build(GenerateTask, "vectors.path=text.txt", "model.embedding_size=10")
    ids, vectors = expected("text.txt", task, "text")
    assert torch.equal(task.model.encoder.embedding.weight[ids], vectors)
    steps = task.optimizer(task.parameters())
    task.model(torch.tensor(ids)[:, None]).logits.sum().backward()
    steps.step()
    assert 0 < (task.model.encoder.embedding.weight[ids] - vectors).abs().max() < 0.1


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        (ClassifyTask, [], "vectors.path: no file given. For example: vectors=file vectors.path="),
        (
            TranslateTask,
            ["vectors.path={source:source.txt,target:target.txt}"],
            "vectors.path.source: 'source.txt' has 12 numbers per word; model.encoder.embedding_size is 64. Set",
        ),
        (
            TranslateTask,
            ["vectors.path=target.txt", "vectors.roles=[target]"],
            "vectors.path: 'target.txt' has 14 numbers per word; model.embedding_size is 64. Set",
        ),
        (
            TranslateTask,
            ["vectors.path=target.txt", "vectors.roles=[target]", "model.decoder.embedding_size=9"],
            "vectors.path: 'target.txt' has 14 numbers per word; model.decoder.embedding_size is 9. Set",
        ),
    ],
    ids=["no path", "source", "target", "one side"],
)
def test_a_configuration_that_does_not_fit_is_refused(task, arguments, message):
    with pytest.raises(UserError) as error:
        build(task, *arguments)
    assert message in str(error.value)


@pytest.mark.usefixtures("_own_folder")
def test_a_task_that_does_not_say_where_its_embeddings_are(monkeypatch):
    monkeypatch.setattr(ClassifyTask, "embeddings", {})
    with pytest.raises(UserError, match=r"vectors: ClassifyTask\.embeddings does not say where the model holds them"):
        build(ClassifyTask, "vectors.path=text.txt")


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "vectors.path=text.txt",
            "vectors.path: 'text.txt' has 10 numbers per word; model.embedding_size is 128. Set "
            "model.embedding_size=10.",
        ),
        ("vectors.path={text:no such file.txt}", "vectors.path.text: no such file: 'no such file.txt'."),
        ("vectors.paht=x", "Did you mean 'vectors.path'?"),
    ],
)
def test_a_mistake_ends_the_run_before_training(argument, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["task=classify", argument, "vectors=file", *SMALL])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(Path().rglob("*.ckpt"))


@pytest.mark.usefixtures("_own_folder")
def test_a_comparison_trains_its_variants_with_the_vectors():
    words = ["vectors=file", "vectors.path=text.txt", "model.embedding_size=10", "trainer.default_root_dir=."]
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("compare", words)
    config = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    roles, batch_type = ClassifyTask.roles, ClassifyTask.batch_type
    data = TextDataModule(roles=roles, batch_type=batch_type, name="files", path="rows.csv")
    data.setup()
    for variant in read_variants(config, data):
        assert variant.config["vectors"]["path"] == "text.txt"


@pytest.mark.usefixtures("_own_folder")
def test_what_was_found_is_told(caplog):
    with caplog.at_level(logging.INFO):
        from_file(path="text.txt").initialise({"text": place(["text0", "zzz"], size=10, counts=np.arange(5))})
    told = "text: 'text.txt' has 1 of 2 words (50.0 %), 42.9 % of the training tokens; missing: 'zzz', ..."
    assert told in caplog.text
