"""What a finished or stopped run prints works when pasted, also for a task of the user's own."""

import shlex
from importlib import import_module
from pathlib import Path

import pytest

from lstm_readout.commands.train import main as train

SMALL = ["debug=limited", "data.max_rows=60", "model.hidden_size=8", "model.embedding_size=8", "hydra.run.dir=run"]
MODULE = """
from lstm_readout.inference import DocumentClassifier
from lstm_readout.tasks import ClassifyTask


class OwnTask(ClassifyTask):
    name = "own"


class OwnPipeline(DocumentClassifier):
    task = "own"
"""
TASK = "_target_: own_task.OwnTask\nmonitor: val/accuracy\nmode: max\n"
PIPELINE = "# @package _global_\npipeline: {_target_: own_task.OwnPipeline.load, _partial_: true}\n"
KILLER = "+callbacks.killer={_target_: lstm_readout_test_tools.SendSignal, step: 1, number: 2}"


@pytest.fixture(autouse=True)
def _own_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {
        "own_task.py": MODULE,
        "own/configs/task/own.yaml": TASK,
        "own/configs/model/own.yaml": "defaults: [classify]\n",
    }
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)


def hint(start):
    """Return the hint in the log of the run that begins like this."""
    (line,) = [line for line in Path("run/train.log").read_text().splitlines() if start in line]
    return line.partition(start)[2].strip()


def paste(line):
    """Run a command line in this process."""
    _, command, *arguments = shlex.split(line)
    import_module(f"lstm_readout.commands.{command}").main(arguments)
    return command, arguments


CHECKPOINT = "checkpoint=run/checkpoints/best.ckpt"
OWN_CONFIGS = {"config-dir": ["--config-dir", "own/configs"], "searchpath": ["hydra.searchpath=[own/configs]"]}


def test_a_task_with_a_pipeline_of_its_own_is_used_by_predict(capsys):
    Path("own/configs/pipeline").mkdir()
    Path("own/configs/pipeline/own.yaml").write_text(PIPELINE)
    train(["--config-dir=own/configs", "task=own", *SMALL])
    capsys.readouterr()
    command, arguments = paste(hint("use it:"))
    assert (command, arguments[:3]) == ("predict", ["--config-dir", "own/configs", CHECKPOINT])
    assert capsys.readouterr().out.startswith('{"label": ')


@pytest.mark.parametrize("own", sorted(OWN_CONFIGS))
def test_a_task_without_a_pipeline_is_used_by_evaluate(own, capsys):
    train([*OWN_CONFIGS[own], "task=own", *SMALL])
    capsys.readouterr()
    assert paste(hint("use it:")) == ("evaluate", [*OWN_CONFIGS[own], CHECKPOINT])
    assert "accuracy" in capsys.readouterr().out


def test_a_task_without_a_configuration_is_used_from_python():
    train(["task._target_=own_task.OwnTask", *SMALL])
    line = hint("use it:")
    assert line == 'from own_task import OwnTask; OwnTask.load_from_checkpoint("run/checkpoints/best.ckpt")'
    exec(line, {})


@pytest.mark.parametrize("own", sorted(OWN_CONFIGS))
def test_a_stopped_run_names_the_folder_of_its_task(own):
    with pytest.raises(SystemExit):
        train([*OWN_CONFIGS[own], "task=own", *SMALL, KILLER])
    line = hint("To resume:")
    assert shlex.split(line)[1:] == ["train", *OWN_CONFIGS[own], "resume=run"]
    paste(f"{line} callbacks.killer=null")
    assert Path("run/metrics.json").exists()
