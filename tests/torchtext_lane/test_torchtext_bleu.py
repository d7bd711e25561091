"""torchtext's BLEU stands beside sacreBLEU's, and is torchtext's."""

import json
from pathlib import Path

import pytest

from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.train import main as train
from lstm_readout.tasks.metrics.torchtext_bleu import torchtext_bleu
from lstm_readout_test_tools import has_torchtext, needs_torchtext

pytestmark = needs_torchtext

if has_torchtext():
    from torchtext.data import get_tokenizer
    from torchtext.data.metrics import bleu_score


def test_it_is_that_of_torchtext():
    translations, references = (
        ["A dog runs, fast in the park.", "two men"],
        ["a dog runs fast in the park.", "Two men sit"],
    )
    split = get_tokenizer("basic_english")
    wanted = bleu_score([split(text) for text in translations], [[split(text)] for text in references])
    assert torchtext_bleu(translations, references) == pytest.approx(wanted)
    assert 0 < wanted < 1
    assert torchtext_bleu(references, references) == pytest.approx(1)
    assert torchtext_bleu(["", ""], references) == 0


def test_the_test_split_has_it_if_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["debug=limited", "data.max_rows=100", "doctor=off", "model.hidden_size=8"]
    train(["task=translate", "task.torchtext_bleu=true", *small, "hydra.run.dir=run"])
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert 0 <= metrics["test/torchtext_bleu"] <= 1
    assert "val/torchtext_bleu" not in metrics
    evaluate(["checkpoint=run/checkpoints/best.ckpt", "task.torchtext_bleu=true", "output=again.json"])
    assert json.loads(Path("again.json").read_text())["test/torchtext_bleu"] == metrics["test/torchtext_bleu"]
