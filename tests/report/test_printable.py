"""What a label or a generated text holds is shown in the terminal, and never obeyed by it."""

import json
import logging
from pathlib import Path

import pytest
import torch

from lstm_readout.commands import predict, train
from lstm_readout.config.hydra_main import refuse
from lstm_readout.errors import UserError, printable
from lstm_readout.models import Classifier, LanguageModel
from lstm_readout.models.checkpoint import hyper_parameters
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

RED, BELL, NEXT = "\x1b[31mred", "\x07", "\x9b2J"


def test_control_characters_are_escaped_and_nothing_else():
    assert printable(f"{RED}{BELL}{NEXT}\r\b\x7f") == "\\u001b[31mred\\u0007\\u009b2J\\u000d\\u0008\\u007f"
    text = "a\tb\né 中 \U0001f600 [bold] <b> \u200d"
    assert printable(text) == text


def test_an_error_is_printed_without_them(capsys):
    with pytest.raises(SystemExit):
        refuse(UserError(f"data: the label '{RED}'\nand another"))
    assert capsys.readouterr().err == "error: data: the label '\\u001b[31mred'\n       and another\n"


def saved(path, task, model, vocabulary):
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    values = hyper_parameters(task, model.arguments, vocabulary, {})
    torch.save({"state_dict": weights, "hyper_parameters": values}, path)


def test_labels_and_generated_texts_are_printed_without_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = TextTokenizer.train([f"{BELL}a{NEXT[0]} " * 3], kind="char", byte_fallback=False)
    vocabulary, size = Vocabulary({"text": words}, [RED, NEXT]), len(words)
    saved("c.ckpt", "classify", Classifier(vocab_size=size, hidden_size=4, num_classes=2), vocabulary)
    saved("g.ckpt", "generate", LanguageModel(vocab_size=size, hidden_size=4), vocabulary)
    predict.main(["checkpoint=c.ckpt", "text=a"])
    printed = capsys.readouterr().out
    assert printable(printed) == printed
    assert json.loads(printed)["probabilities"].keys() == {RED, NEXT}
    predict.main(["checkpoint=g.ckpt", "text=a"])
    printed = capsys.readouterr().out
    assert printable(printed) == printed
    assert "\\u0007" in printed or "\\u009b" in printed


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_run_on_such_labels_logs_them_without(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"w{i} {BELL}{RED}", "label": (RED, NEXT)[i % 2]} for i in range(60)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = ["model.hidden_size=4", "model.embedding_size=4", "debug=limited", "doctor=off", "hydra.run.dir=run"]
    train.main(["data=files", "data.path=rows.jsonl", *sizes])
    printed = capsys.readouterr()
    for text in (printed.out, printed.err, Path("run/train.log").read_text(encoding="utf-8")):
        assert printable(text) == text
    assert "\\u001b[31mred" in printed.out
    assert not any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger().handlers)
