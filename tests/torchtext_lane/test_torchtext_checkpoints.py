"""A checkpoint trained beside torchtext answers the same without it, and the other way round.

The checkpoints and their answers are written by scripts/torchtext_checkpoints.py, in each environment its own.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

from lstm_readout.commands.predict import main as predict
from lstm_readout.errors import UserError
from lstm_readout.tokenizer.torchtext.tokenizer import SPLITTERS

FIXTURES = Path(__file__).parent / "fixtures"
ANSWERS = {
    f"{lane}-{name}": answer
    for lane in ("default", "torchtext")
    for name, answer in json.loads((FIXTURES / f"{lane}.json").read_text())["answers"].items()
}
ANYWHERE = [name for name in ANSWERS if "toktok" not in name]


def answers_of(name, tmp_path):
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in ANSWERS[name]["texts"]), encoding="utf-8")
    predict([f"checkpoint={FIXTURES / name}.ckpt", f"input={tmp_path}/texts.txt", f"output={tmp_path}/lines.txt"])
    return (tmp_path / "lines.txt").read_text(encoding="utf-8").splitlines()


def compare(name, told):
    for line, expected in zip(told, ANSWERS[name]["lines"], strict=True):
        if name.endswith("translate"):
            assert line == expected
        else:
            answer, known = json.loads(line), json.loads(expected)
            assert answer["label"] == known["label"]
            assert answer["probabilities"] == pytest.approx(known["probabilities"], abs=2e-5)


def test_the_two_sets_come_from_two_versions_of_torch():
    made = [json.loads((FIXTURES / f"{lane}.json").read_text())["torch"] for lane in ("default", "torchtext")]
    assert made[1].startswith("2.3.")
    assert not made[0].startswith("2.3.")


@pytest.mark.parametrize("name", ANYWHERE)
def test_a_checkpoint_of_either_environment_answers_the_same(name, tmp_path):
    compare(name, answers_of(name, tmp_path))


def test_a_tokenizer_of_another_library_needs_that_library_alone(tmp_path, capsys, monkeypatch):
    try:
        SPLITTERS["toktok"].split()
    except ImportError:
        pass
    else:
        compare("torchtext-toktok", answers_of("torchtext-toktok", tmp_path))
        for name in [name for name in sys.modules if name.partition(".")[0] == "nltk"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "nltk", None)  # Python's own way to say that a module is not there
        (tmp_path / "lines.txt").unlink()
    with pytest.raises(SystemExit) as stop:
        answers_of("torchtext-toktok", tmp_path)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert "tokenizer.name=toktok: needs nltk" in told
    assert "pip install nltk" in told


@pytest.mark.parametrize("name", ANSWERS)
def test_a_checkpoint_holds_plain_values(name):
    content = torch.load(FIXTURES / f"{name}.ckpt", weights_only=True)
    for tokenizer in content["hyper_parameters"]["vocabulary"]["tokenizers"].values():
        assert json.loads(json.dumps(tokenizer)) == tokenizer
    assert (FIXTURES / f"{name}.ckpt").stat().st_size < 50_000


def test_a_missing_library_is_told_by_name():
    from lstm_readout.tokenizer.word_rules import Splitter, splitter

    SPLITTERS["nowhere"] = Splitter("nowhere-lib", lambda: __import__("nowhere_lib"))
    try:
        with pytest.raises(UserError, match=r"tokenizer.name=nowhere: needs nowhere-lib.*pip install nowhere-lib"):
            splitter("nowhere")
    finally:
        del SPLITTERS["nowhere"]
