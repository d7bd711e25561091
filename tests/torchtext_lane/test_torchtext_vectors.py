"""``vectors=torchtext``: what ``torchtext.vocab`` reads fills the embedding as ``vectors=file`` does."""

import gzip
import json
import os
import ssl
from pathlib import Path

import pytest
import torch
from torch import nn

from lstm_readout.commands.train import main as train
from lstm_readout.errors import UserError
from lstm_readout.models.pretrained.torchtext_vectors import from_torchtext
from lstm_readout.models.pretrained.vectors import Place, from_file
from lstm_readout_test_tools import needs_torchtext

pytestmark = needs_torchtext
TOKENS = ["<unk>", "<bos>", "<eos>", "film", "The", "nowhere", "bad"]
TEXT = "the 0.5 -1.5 2.0\nfilm 1.0 0.25 -0.125\nbad -3.0 1.5 0.75\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def filled(vectors, size=3):
    torch.manual_seed(0)
    embedding = nn.Embedding(len(TOKENS), size)
    covered = vectors.initialise({"text": Place(embedding, TOKENS)})
    return embedding.weight.detach(), covered["text"]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_local_file_fills_as_vectors_file_does(compressed):
    name = "small.vec.gz" if compressed else "small.vec"
    Path(name).write_bytes(gzip.compress(TEXT.encode()) if compressed else TEXT.encode())
    weight, covered = filled(from_torchtext(name=name, cache="cache"))
    same, _ = filled(from_file(path=name))
    assert torch.equal(weight, same)
    assert weight[3].tolist() == [1.0, 0.25, -0.125]
    assert weight[4].tolist() == [0.5, -1.5, 2.0]  # "The" in lower case
    assert covered.words == 0.75


def test_the_copy_in_the_cache_serves_without_the_file():
    Path("small.vec").write_text(TEXT)
    first, _ = filled(from_torchtext(name="small.vec", cache="cache"))
    Path("small.vec").write_text("")  # named, but not read again
    second, _ = filled(from_torchtext(name="small.vec", cache="cache"))
    assert torch.equal(first, second)
    assert Path("cache/small.vec.pt").is_file()


def test_a_name_of_torchtext_is_read_from_the_cache():
    Path("cache").mkdir()
    torch.save((["film"], {"film": 0}, torch.arange(50.0)[None], 50), "cache/glove.6B.50d.txt.pt")
    weight, _ = filled(from_torchtext(name="glove.6B.50d", cache="cache"), size=50)
    assert weight[3].tolist() == list(range(50))


def test_the_first_vectors_alone_are_read_if_asked_for():
    Path("small.vec").write_text(TEXT)
    _, covered = filled(from_torchtext(name="small.vec", cache="cache", max_vectors=1))
    assert covered.missing == ["film", "nowhere", "bad"]


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_code_in_a_copy_is_not_run():
    Path("cache").mkdir()
    torch.save(Attack(), "cache/glove.6B.50d.txt.pt")
    with pytest.raises(UserError, match=r"vectors.name: torchtext could not read 'glove.6B.50d'"):
        filled(from_torchtext(name="glove.6B.50d", cache="cache"))
    assert not Path("attacked").exists()


def test_torchtext_leaves_the_process_as_it_was():
    context = ssl._create_default_https_context
    Path("small.vec").write_text(TEXT)
    filled(from_torchtext(name="small.vec", cache="cache"))
    assert ssl._create_default_https_context is context
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "vectors.name: none given"),
        (
            {"name": "glove.6B.100"},
            r"vectors.name: 'glove.6B.100' is neither a file nor a torchtext name.* Did you mean 'glove.6B.100d'",
        ),
        ({"name": {"text": "nowhere"}}, "vectors.name.text: 'nowhere' is neither a file nor a torchtext name"),
        ({"name": "broken.vec"}, "vectors.name: torchtext could not read 'broken.vec'.*RuntimeError: Vector for token"),
        ({"name": "small.vec", "max_vectors": 0}, "vectors.max_vectors: wanted 1 or more"),
    ],
)
def test_a_mistake_is_one_message(options, wanted):
    Path("small.vec").write_text(TEXT)
    Path("broken.vec").write_text(TEXT + "end 1.0 2.0\n")
    with pytest.raises(UserError, match=wanted):
        filled(from_torchtext(**options))


def test_the_command_line_takes_them():
    Path("small.vec").write_text(TEXT)
    small = ["debug=limited", "data.max_rows=100", "doctor=off", "model.embedding_size=3", "model.hidden_size=4"]
    train(["tokenizer=torchtext", "vectors=torchtext", "vectors.name=small.vec", *small, "hydra.run.dir=run"])
    assert 0 < json.loads(Path("run/metrics.json").read_text())["vectors/text/words"] < 1
