"""A command that is given a checkpoint reads the file once, though its task must be known before Hydra composes."""

from pathlib import Path

import pytest
import torch

from lstm_readout.commands import doctor, evaluate, explain, predict, train

SMALL = ["data.max_rows=100", "trainer.max_epochs=1", "model.hidden_size=8", "model.embedding_size=8"]
COMMANDS = {
    "predict": (predict, ["text=a film"]),
    "evaluate": (evaluate, []),
    "explain": (explain, ["output=picture"]),
    "doctor": (doctor, []),
}


@pytest.fixture(scope="module", params=["classify", "generate", "translate"])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "run"
    train.main([f"task={request.param}", *SMALL, "doctor=off", f"hydra.run.dir={folder}"])
    return folder / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_checkpoint_is_read_once(command, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read, load = [], torch.load

    def counted(file, *arguments, **options):
        read.append(Path(file))
        return load(file, *arguments, **options)

    monkeypatch.setattr(torch, "load", counted)
    module, arguments = COMMANDS[command]
    module.main([f"checkpoint={checkpoint}", *arguments])
    assert read == [checkpoint]


def test_a_checkpoint_that_was_read_is_refused_for_another_task(checkpoint, capsys):
    task = "classify" if "classify" not in str(checkpoint) else "generate"
    with pytest.raises(SystemExit) as stop:
        predict.main([f"checkpoint={checkpoint}", f"pipeline={task}", "text=a"])
    assert stop.value.code == 2
    assert f", not for {task}." in capsys.readouterr().err
