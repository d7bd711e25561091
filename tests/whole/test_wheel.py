"""What pip installs is whole: the wheel, outside the clone, trains, predicts, and finds its configs."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def run(program, *arguments, folder, **options):
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [program, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, **options)


def test_the_wheel_holds_every_module_and_every_config(built):
    names = set(zipfile.ZipFile(built).namelist())
    for path in (REPOSITORY / "src" / "lstm_readout").rglob("*.py"):
        assert f"lstm_readout/{path.relative_to(REPOSITORY / 'src' / 'lstm_readout')}" in names
    for path in (REPOSITORY / "configs").rglob("*.yaml"):
        assert f"lstm_readout/configs/{path.relative_to(REPOSITORY / 'configs')}" in names
    assert "lstm_readout/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "scripts/"))]


def test_the_installed_command_trains_and_predicts(installed, tmp_path):
    where = run(installed / "python", "-c", "import lstm_readout; print(lstm_readout.__file__)", folder=tmp_path)
    assert str(REPOSITORY) not in where.stdout
    trained = run(
        *(installed / "lstm-readout", "train", "task=classify", "debug=limited", "hydra.run.dir=mine"), folder=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    assert "this task reads h_n[-1]" in trained.stdout
    predicted = run(
        *(installed / "lstm-readout", "predict", "checkpoint=mine/checkpoints/best.ckpt", "text=a good film"),
        folder=tmp_path,
    )
    assert predicted.returncode == 0, predicted.stderr
    assert '"label"' in predicted.stdout


def test_a_task_of_another_project_needs_new_files_only(installed, tmp_path):
    """A subclass in a module of its own and two configs in a folder of its own, chosen with --config-dir."""
    (tmp_path / "mine.py").write_text(
        "from lstm_readout.tasks import ClassifyTask\n\n\nclass StarsTask(ClassifyTask):\n    name = 'stars'\n",
    )
    for group, lines in {
        "task": "_target_: mine.StarsTask\nmonitor: val/macro_f1\nmode: max\n",
        "model": "_target_: lstm_readout.models.Classifier\nhidden_size: 8\nembedding_size: 8\n",
    }.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "stars.yaml").write_text(lines)
    arguments = ["--config-dir", "conf", "task=stars", "debug=limited", "hydra.run.dir=run"]
    trained = run(installed / "python", "-m", "lstm_readout.commands.cli", "train", *arguments, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    evaluated = run(
        *(installed / "python", "-m", "lstm_readout.commands.cli", "evaluate", "checkpoint=run/checkpoints/best.ckpt"),
        *("--config-dir", "conf"),
        folder=tmp_path,
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert "macro_f1" in evaluated.stdout


def test_a_mistake_is_one_message_and_leaves_nothing(installed, tmp_path):
    done = run(installed / "lstm-readout", "train", "model.hiden_size=3", folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: Could not find 'model.hiden_size'. Did you mean 'model.hidden_size'?")
    assert not list(tmp_path.iterdir())
