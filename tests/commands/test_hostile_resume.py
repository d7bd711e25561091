"""A checkpoint that training cannot continue from: one line, and no run that silently begins anew."""

import shutil

import pytest
import torch

from lstm_readout.commands.train import main

SMALL = ["data.max_rows=60", "model.hidden_size=4", "model.embedding_size=4", "debug=limited", "doctor=off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    main(["task=classify", *SMALL, "baselines=off", f"hydra.run.dir={folder}"])
    return folder


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("loops", {"x": 1}, "last.ckpt': KeyError: 'fit_loop'"),
        ("random_state", "x", "last.ckpt': TypeError"),
        ("optimizer_states", [], "has no optimizer_states"),
    ],
)
def test_a_checkpoint_that_is_not_whole(run, tmp_path, monkeypatch, capsys, key, value, wanted):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "run")
    content = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    torch.save(content | {key: value}, "run/checkpoints/last.ckpt")
    with pytest.raises(SystemExit) as stop:
        main(["resume=run", "trainer.max_epochs=3"])
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert wanted in line
