"""A stranger's run folder under ``resume=``: nothing of it runs, and nothing is written elsewhere."""

import os
from pathlib import Path

import pytest

from lstm_readout.commands.train import main
from lstm_readout.config.overrides_of_run import check_overrides_of_run, with_overrides_of_run
from lstm_readout.errors import UserError
from lstm_readout_hostile_files import OVERRIDES

RUN = Path("run")


@pytest.mark.parametrize("line", OVERRIDES)
def test_what_a_run_folder_may_not_ask_for_is_refused_in_one_line(line):
    with pytest.raises(UserError) as refused:
        check_overrides_of_run([line], RUN)
    assert OVERRIDES[line] in str(refused.value)
    assert str(refused.value).count("\n") == 0
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "line",
    [
        "task=classify",
        "model.hidden_size=8",
        "data.path='/anywhere/a, b.csv'",
        "data.columns={text: review, label: a/../b}",
        "data.path=${oc.env:HOME}/x.csv",
        "init_from=../generate",
        "optimizer._target_=torch.optim.RMSprop",
        "optimizer.lr=${seed}",
        "+callbacks.x={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss}",
        "model._target_=lstm_readout.compare.controls.PaddedClassifier",
        "callbacks=ema",
        "~callbacks.best",
    ],
)
def test_what_a_run_sets_is_taken(line):
    assert with_overrides_of_run(RUN, [line, "resume=other"], ["resume=run"]) == [line, "resume=run"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["callbacks.x=null"], ["seed=1", "+callbacks.x=null"]),
        (["~callbacks.x"], ["seed=1"]),
        (["+callbacks.x={_target_: mine.X}"], ["seed=1", "+callbacks.x={_target_: mine.X}"]),
        (["seed=2", "callbacks.x=null"], ["seed=2", "+callbacks.x=null"]),
    ],
)
def test_a_word_given_now_replaces_the_recorded_one(given, wanted):
    assert with_overrides_of_run(RUN, ["+callbacks.x={_target_: mine.X}", "seed=1"], given) == wanted


@pytest.mark.parametrize("flag", ["--config-dir=own", "--config-dir own", "hydra.searchpath=[file://{}/own]"])
def test_code_that_ones_own_configurations_name_is_ones_own(tmp_path, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    Path("own/callbacks").mkdir(parents=True)
    Path("own/callbacks/mine.yaml").write_text("x:\n  _target_: mine.X\n")
    check_overrides_of_run(["task._target_=mine.X"], RUN, flag.format(tmp_path).split(" "))
    with pytest.raises(UserError, match="runs mine"):
        check_overrides_of_run(["task._target_=mine.Y"], RUN, flag.format(tmp_path).split(" "))


def resumed(capsys):
    """Return what is said of the folder ``run``."""
    with pytest.raises(SystemExit) as stop:
        main(["resume=run"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: resume: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run/.hydra/overrides.yaml", "run/checkpoints/last.ckpt"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("[]")
    return Path("run")


@pytest.mark.parametrize(
    "text",
    ["a: 1", "[1, 2]", "- {a: 1}", "!!python/object/apply:os.mkdir [made]", "[" * 100_000, "\x00", "- &a [x]\n- *a"],
)
def test_a_list_of_overrides_that_is_none(folder, capsys, text):
    (folder / ".hydra/overrides.yaml").write_text(text)
    assert "is not a list of overrides" in resumed(capsys)
    assert not Path("made").exists()


@pytest.mark.parametrize("name", ["train.log", "checkpoints/best.ckpt", "tensorboard"])
def test_a_link_out_of_the_folder(folder, capsys, name):
    Path("precious").mkdir()
    (folder / name).symlink_to(Path("precious").resolve())
    assert f"{name}' is a link to" in resumed(capsys)


def test_a_pipe_in_the_folder(folder, capsys):
    os.mkfifo(folder / "train.log")
    assert "neither a file nor a folder" in resumed(capsys)


def test_a_linked_folder_is_checked_by_what_is_in_it(folder, capsys):
    folder.rename("elsewhere")
    folder.symlink_to("elsewhere")
    (folder / "a").symlink_to("b")
    (folder / ".hydra/overrides.yaml").write_text("- optimizer._target_=os.system")
    assert "runs os.system" in resumed(capsys)
