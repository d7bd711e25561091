"""A sample of the mistakes in scripts/bad_inputs.txt: each is one message with exit code 2, and leaves nothing."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import bad_inputs

from lstm_readout.commands import cli

LINES = list(bad_inputs.read_lines())
REFUSED_EARLY = [line for line, mistake in LINES if mistake and line.startswith("train ")][::25]


def test_there_are_enough_of_every_command():
    mistakes = [line.partition(" ")[0] for line, mistake in LINES if mistake]
    assert len(mistakes) >= 300
    assert {"train", "predict", "evaluate", "explain", "doctor", "compare"} <= {*mistakes}
    assert len(set(LINES)) == len(LINES)


@pytest.mark.parametrize("line", REFUSED_EARLY)
def test_a_mistake_is_one_message(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = list(sys.argv)
    with pytest.raises(SystemExit) as stop:
        cli.main(bad_inputs.words_of(line))
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert told.count("error: ") == 1
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []
    assert sys.argv == before
