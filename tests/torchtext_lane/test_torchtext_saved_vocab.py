"""A saved ``Vocab`` is read without torchtext, and without running anything that its file holds."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.torchtext.saved_vocab import read_vocab

FIXTURES = Path(__file__).parent / "fixtures"
TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "the", "film", "was", "end", "good", "not"]


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_a_vocab_is_read():
    assert read_vocab(str(FIXTURES / "vocab.pt")) == (TOKENS, 3)


def test_a_pickled_vocab_is_read(tmp_path):
    with zipfile.ZipFile(FIXTURES / "vocab.pt") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        (tmp_path / "vocab.pkl").write_bytes(archive.read(name))
    assert read_vocab(str(tmp_path / "vocab.pkl")) == (TOKENS, 3)


@pytest.mark.parametrize("content", [["b", "a"], {"a": 1, "b": 0}])
def test_a_list_or_a_mapping_is_read(tmp_path, content):
    torch.save(content, tmp_path / "tokens.pt")
    assert read_vocab(str(tmp_path / "tokens.pt")) == (["b", "a"], None)


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("inside", [False, True])
def test_code_in_the_file_is_refused_and_not_run(tmp_path, monkeypatch, save, inside):
    monkeypatch.chdir(tmp_path)
    save(["a", Attack()] if inside else Attack(), tmp_path / "vocab.pt")
    with pytest.raises(UserError, match=r"tokenizer.vocab_path: could not read .*system, which is not part of a Vocab"):
        read_vocab("vocab.pt")
    assert not Path("attacked").exists()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "could not read"),
        (b"the\nfilm\n", "could not read"),
        (pickle.dumps(7), "wanted a vocabulary in .*, got int"),
        (pickle.dumps([]), "wanted a vocabulary in .*, got list"),
        (pickle.dumps(["a", 1]), "wanted a vocabulary in .*, got list"),
        (pickle.dumps({"a": 0, "b": 5}), "wanted a vocabulary in .*, got dict"),
        (pickle.dumps(["a", "b", "a"]), "has 'a' twice"),
    ],
)
def test_what_is_no_vocabulary_is_told(tmp_path, content, wanted):
    (tmp_path / "vocab.pt").write_bytes(content)
    with pytest.raises(UserError, match=wanted):
        read_vocab(str(tmp_path / "vocab.pt"))
