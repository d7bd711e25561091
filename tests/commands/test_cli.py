"""``lstm-readout`` and ``python -m lstm_readout`` are one program."""

import subprocess
import sys

import pytest

from lstm_readout.commands.cli import main


def python_m(*arguments):
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)


def test_python_m_lists_the_commands(capsys):
    main([])
    result = python_m("lstm_readout")
    assert result.returncode == 0
    assert result.stdout == capsys.readouterr().out
    assert "usage: lstm-readout COMMAND" in result.stdout


def test_python_m_refuses_an_unknown_command():
    result = python_m("lstm_readout", "trian")
    assert result.returncode == 2
    assert "error: there is no command 'trian'. Did you mean 'train'?" in result.stderr


@pytest.mark.parametrize("arguments", [["lstm_readout", "train"], ["lstm_readout.commands.train"]])
def test_python_m_runs_a_command(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = python_m(*arguments, "nonsense=1")
    assert result.returncode == 2
    assert "error: Could not find 'nonsense'." in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["task=clasify"], "Did you mean 'classify'?"),
        (["data=imbd"], "Did you mean 'imdb'?"),
        (["tokenizer=wrod"], "Did you mean 'word'?"),
        (["model.hidden_size=abc"], "model.hidden_size: wanted int"),
        (["data.batch_size=abc"], "data.batch_size: wanted int"),
        (["+tokenizer.vocab=3"], "takes no 'vocab'"),
        (["task=generate", "model.bidirectional=true"], "the future would leak"),
        (["model.hidden_size=0"], "hidden_size must be greater than zero"),
        (["data=files"], "data.path: no file given."),
        (["data=files", "data.path=nowhere.csv"], "no such file: 'nowhere.csv'"),
        (["data=files", "data.path=r.csv", "data.columns.text=review"], "it has: words, label"),
        (["trainer.accelerator=quantum"], "trainer:"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_message_and_leaves_no_checkpoint(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.csv").write_text("words,label\na,b\n")
    with pytest.raises(SystemExit) as stop:
        main(["train", *arguments])
    assert stop.value.code == 2
    told = "".join(capsys.readouterr())
    assert message in told
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("*.ckpt"))
