"""``data.stream`` was renamed: the old key is refused with the new one, and what earlier runs left is still read."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from lstm_readout.commands import evaluate, train
from lstm_readout.models.checkpoint import read_checkpoint

MESSAGE = "data.stream: renamed; write data.carry_state"
SMALL = ["task=generate", "data.max_rows=150", "data.window=7", "data.batch_size=8", "trainer.max_epochs=2"]
SMALL += ["model.hidden_size=8", "model.embedding_size=8", "doctor=off", "model.output_dropout=0.3"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("override", ["data.stream=true", "+data.stream=true", "data.stream=false"])
def test_the_old_key_is_refused_before_anything_is_written(override: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.main([*SMALL, override])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {MESSAGE}={override.partition('=')[2]}\n"
    assert not list(Path.cwd().iterdir())


def test_the_old_key_is_refused_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "data/mine.yaml": "defaults: [base]\nname: files\npath: a.txt\nstream: true\n",
        "experiment/mine.yaml": "# @package _global_\ndata: {stream: false}\n",
    }
    for name, text in files.items():
        Path("own", name).parent.mkdir(parents=True, exist_ok=True)
        Path("own", name).write_text(text)
    for option, value in [("data=mine", "true"), ("experiment=mine", "false")]:
        with pytest.raises(SystemExit) as stop:
            train.main([*SMALL, option, "--config-dir", "own"])
        assert stop.value.code == 2
        assert capsys.readouterr().err == f"error: {MESSAGE}={value}\n"
    assert [path.name for path in Path.cwd().iterdir()] == ["own"]


def as_of_an_earlier_version(folder: Path) -> None:
    """Rewrite a run folder as a version wrote it that knew ``data.stream``."""
    for name in ("overrides.yaml", "config.yaml"):
        file = folder / ".hydra" / name
        assert "carry_state" in file.read_text()
        file.write_text(file.read_text().replace("carry_state", "stream"))
    for file in (folder / "checkpoints").glob("*.ckpt"):
        content = torch.load(file, weights_only=True)
        data = content["hyper_parameters"]["config"]["data"]
        data["stream"] = data.pop("carry_state")
        torch.save(content, file)


def test_an_earlier_run_is_evaluated_and_resumed() -> None:
    given = [*SMALL, "data.carry_state=true"]
    train.main([*given, "hydra.run.dir=whole"])
    killer = f"+callbacks.killer={{_target_: lstm_readout_test_tools.SendSignal, step: 7, number: {signal.SIGINT}}}"
    with pytest.raises(SystemExit):
        train.main([*given, killer, "hydra.run.dir=part"])
    for folder in ("whole", "part"):
        as_of_an_earlier_version(Path(folder))

    data = read_checkpoint("whole/checkpoints/best.ckpt").config["data"]
    assert data["carry_state"] is True
    assert "stream" not in data
    evaluate.main(["checkpoint=whole/checkpoints/best.ckpt", "output=again.json"])
    before, again = (json.loads(Path(name).read_text()) for name in ("whole/metrics.json", "again.json"))
    assert again["test/loss"] == before["test/loss"]

    train.main(["resume=part", "callbacks.killer=null"])
    whole, rest = (
        torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for folder in ("whole", "part")
    )
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
