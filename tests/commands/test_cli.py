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
