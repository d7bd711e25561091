"""The command and the callback: whole runs from the command line's words."""

import json
from pathlib import Path

import pytest
import torch
from lightning import Callback

from lstm_readout.commands.doctor import main as doctor
from lstm_readout.commands.train import main as train
from lstm_readout.models import Classifier
from lstm_readout.tasks import ClassifyTask

SMALL = ["data.max_rows=60", "trainer.max_epochs=1", "model.hidden_size=8", "model.embedding_size=6"]
HERE = "test_doctor_runs"


class Mixed(Classifier):
    """What .view makes of h_n."""

    def forward(self, token_ids):
        h_n = self.encoder(token_ids).h_n
        return self.head(h_n.reshape(h_n.shape[1], -1))


class OtherTask(ClassifyTask):
    pass


class Reached(Callback):
    """Say that training began."""

    def on_train_start(self, trainer, pl_module):
        Path("reached").touch()


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("COLUMNS", "80")


MIXED = [f"model._target_={HERE}.Mixed", "model.bidirectional=true"]


@pytest.mark.parametrize("task", ["classify", "generate", "translate"])
def test_the_command_tells_each_check_in_80_columns(task, capsys):
    doctor([f"task={task}", "model.num_layers=2", *SMALL[:1], *SMALL[2:], "output=report.json"])
    told = capsys.readouterr().out
    plain = json.loads(Path("report.json").read_text())
    assert plain["failed"] == []
    lines = told[told.index("check ") :].splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert all(any(line.startswith(name) for line in lines) for name in plain["passed"])
    assert lines[-1].startswith(f"{len(plain['passed'])} passed")
    if task == "generate":
        assert "carried" in plain["passed"]


def test_the_command_ends_with_1_if_a_check_failed(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor(["task=classify", *MIXED, *SMALL[:1], *SMALL[2:], "output=report.json"])
    assert stop.value.code == 1
    told = capsys.readouterr().out
    assert "h_n_view failed" in told
    assert "h_n.transpose(0, 1).reshape(batch, -1)" in told
    assert json.loads(Path("report.json").read_text())["failed"] == ["h_n_view"]


def test_the_command_examines_a_checkpoint(capsys):
    train(["task=translate", *SMALL, "hydra.run.dir=run", "doctor=off"])
    capsys.readouterr()
    doctor(["checkpoint=run/checkpoints/best.ckpt", "output=report.json"])
    plain = json.loads(Path("report.json").read_text())
    assert plain["failed"] == plain["warned"] == []
    assert "beam" in plain["passed"]
    assert "start_loss" not in plain["passed"]


def test_the_command_refuses_a_task_that_it_does_not_know(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor([f"task._target_={HERE}.OtherTask", *SMALL[:1]])
    assert stop.value.code == 2
    assert "the doctor knows classify, generate and translate, not OtherTask" in capsys.readouterr().err


def test_a_mistake_stops_the_run_before_training(capsys):
    reached = f"+callbacks.reached={{_target_: {HERE}.Reached}}"
    with pytest.raises(SystemExit) as stop:
        train(["task=classify", *MIXED, *SMALL, reached])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert "error: doctor: the model has 1 mistake(s); nothing was trained." in told
    assert "h_n_view: changed one row's tokens; wanted: only that row's logits change" in told
    assert "doctor=off" in told
    assert not Path("reached").exists()
    train(["task=classify", *MIXED, *SMALL, reached, "debug=one_batch", "doctor=off"])
    assert Path("reached").exists()


def test_a_readout_that_is_asked_for_is_warned_of_in_one_line(capsys):
    train(["task=classify", "model.readout=last_step", "model.bidirectional=true", "debug=one_batch", *SMALL])
    told = [line for line in capsys.readouterr().out.splitlines() if "doctor:" in line]
    assert len(told) == 2
    assert "doctor: directions: " in told[0]


def test_a_task_of_another_project_is_left_alone():
    train([f"task._target_={HERE}.OtherTask", "debug=one_batch", *SMALL])
    (log,) = Path("runs").rglob("train.log")
    (line,) = [line for line in log.read_text().splitlines() if "doctor:" in line]
    message = "doctor: there are no checks for OtherTask; check its model in Python with lstm_readout.doctor.check."
    assert line.partition("] ")[2] == message


STREAM = ["task=generate", "data.carry_state=true", "data.window=7", "data.batch_size=4", "model.output_dropout=0.3"]
RUNS = {
    "classify": ["task=classify", "model.input_dropout=0.3"],
    "stream": STREAM,
    "translate": ["task=translate", "model.output_dropout=0.2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(RUNS))
def test_training_is_the_same_with_and_without_the_doctor(case, capsys):
    for name in ("default", "off"):
        train([*RUNS[case], *SMALL, "logger.tensorboard=null", f"doctor={name}", f"hydra.run.dir={name}"])
        told = [line for line in capsys.readouterr().out.splitlines() if "doctor:" in line]
        assert len(told) == (name == "default")
        assert all("checks passed in" in line for line in told)
    with_it, without = (
        torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for name in ("default", "off")
    )
    assert with_it.keys() == without.keys()
    assert all(torch.equal(with_it[name], without[name]) for name in with_it)


def test_one_document_read_as_a_stream_is_examined(capsys):
    Path("play.txt").write_text("to be or not to be " * 40)
    play = ["data=files", "data.path=play.txt", "data.whole=true", "tokenizer=char", "data.carry_state=true"]
    train(["task=generate", *play, *SMALL[1:], "debug=one_batch"])
    assert "checks passed in" in capsys.readouterr().out
