"""What a resumed run is held to, what it may change, and that a refusal leaves the run as it was."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lstm_readout.commands.train import main
from lstm_readout.errors import UserError
from lstm_readout.training.checkpoint_files import WholeFiles

SMALL = ["model.hidden_size=8", "model.embedding_size=8", "data.batch_size=16", "doctor=off", "baselines=off"]
RUN = ["task=classify", "data=files", "data.path=rows.csv", "scheduler=constant", "optimizer.lr=0.005", *SMALL]
ROWS = [
    f"the film was {('good', 'bad')[number % 2]} number {number},{('yes', 'no')[number % 2]}" for number in range(60)
]


def write_rows(path, rows):
    Path(path).write_text("\n".join(["text,label", *rows]) + "\n")


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run of one epoch, to copy."""
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_rows("rows.csv", ROWS)
        main([*RUN, "trainer.max_epochs=1", "hydra.run.dir=run"])
    return folder


@pytest.fixture(autouse=True)
def _copy_of_the_run(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "ended" in request.fixturenames:
        shutil.copytree(request.getfixturevalue("ended"), tmp_path, dirs_exist_ok=True)


def content(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def refusal(arguments, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def last(folder="run", name="last"):
    return torch.load(f"{folder}/checkpoints/{name}.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["task=generate"], "task=generate: the run has task._target_=lstm_readout.tasks.ClassifyTask"),
        (["model.hidden_size=16"], "model.hidden_size=16: the run has model.hidden_size=8, and .* keeps its model"),
        (["optimizer=sgd"], "optimizer=sgd: the run has optimizer._target_=.*adamw, and .* keeps its optimizer"),
        (["tokenizer=char"], "tokenizer=char: the run has .* keeps its tokenizer"),
        (["seed=1"], "seed=1: the run has seed=0, and a resumed run keeps its seed"),
        (["data.batch_size=8", "trainer.max_epochs=3"], "data.batch_size=8: the run has data.batch_size=16"),
        (["data.max_rows=20"], r"the data has changed: train has \d+ rows, not 49"),
        (["data.path=elsewhere.csv"], "elsewhere.csv"),
        (["find_lr=true"], "find_lr=true needs a new run"),
    ],
)
def test_another_run_is_refused_and_nothing_is_touched(words, told, ended, capsys):
    before = content("run")
    error = refusal(["resume=run", *words], capsys)
    assert error.startswith("error: ")
    assert "\n" not in error.strip()
    assert re.search(told, error)
    assert content("run") == before


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS[:40], r"train has \d+ rows, not 49"),
        ([row.replace("number 7,no", "number 7,yes") for row in ROWS], "label of "),
        ([row.replace("number 7,", "number x,") for row in ROWS], "text of "),
        (ROWS[::-1], "the order of the rows of |text and label of "),
    ],
)
def test_other_rows_are_refused_by_what_has_changed(rows, told, ended, capsys):
    write_rows("rows.csv", rows)
    before = content("run")
    assert re.search(f"the data has changed: .*({told})", refusal(["resume=run", "trainer.max_epochs=2"], capsys))
    assert content("run") == before


def test_moved_rows_and_another_learning_rate_are_used_and_told(ended, capsys):
    Path("rows.csv").rename("moved.csv")
    main(["resume=run", "data.path=moved.csv", "optimizer.lr=0.1", "trainer.max_epochs=2"])
    told = capsys.readouterr().out
    for line in ("data.path=moved.csv, the run had rows.csv", "optimizer.lr=0.1, the run had 0.005"):
        assert f"resume: {line}" in told
    assert last()["optimizer_states"][0]["param_groups"][0]["lr"] == 0.1
    assert json.loads(Path("run/card.json").read_text())["config"]["optimizer"]["lr"] == 0.1
    assert "optimizer.lr=0.1" in Path("run/.hydra/overrides.yaml").read_text()
    main(["resume=run"])  # and the next time it is the run's own
    assert "the run had" not in capsys.readouterr().out


def test_a_run_without_a_record_says_what_is_not_compared(ended, capsys):
    Path("run/run.json").unlink()
    assert "keeps its model" in refusal(["resume=run", "model.hidden_size=16"], capsys)
    main(["resume=run"])
    assert "its rows could not be compared" in capsys.readouterr().out
    assert Path("run/run.json").is_file()


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(ended, capsys):
    path = Path("run/checkpoints/last.ckpt")
    moments = last()["optimizer_states"][0]["state"][0]["exp_avg"].numpy().tobytes()
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(moments) + 5] ^= 0x40  # no hash of the weights would notice
    path.write_bytes(damaged)
    main(["resume=run"])
    assert "Continuing from the checkpoint before it" in capsys.readouterr().out
    assert last()["global_step"] == 4


def test_latest_is_the_newest_run_of_the_task(ended, capsys):
    for number in "12":
        shutil.copytree("run", f"runs/classify/{number}")
    os.utime("runs/classify/1/checkpoints/last.ckpt")
    main(["resume=latest"])
    assert "resuming runs/classify/1 from last.ckpt" in capsys.readouterr().out
    assert "there is no run in 'runs/translate'" in refusal(["resume=latest", "task=translate"], capsys)


def test_a_run_without_a_checkpoint_has_one_way_out(ended, capsys):
    shutil.rmtree("run/checkpoints")
    resumed, repeated = refusal(["resume=run"], capsys), refusal([*RUN, "hydra.run.dir=run"], capsys)
    for told in (resumed, repeated):
        assert "There is nothing to resume: delete the folder and train again, or name another one" in told


def test_a_folder_in_which_another_process_trains_is_refused(ended, capsys):
    hold = "import fcntl, sys; file = open('run/.lock', 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX); print(1); input()"
    with subprocess.Popen([sys.executable, "-uc", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        before = content("run")
        assert "is still training in 'run'" in refusal(["resume=run"], capsys)
        assert content("run") == before
        other.communicate(b"\n")
    main(["resume=run"])


def test_a_renamed_run_keeps_its_best_checkpoint(ended):
    before = last(name="best")["callbacks"]
    Path("run").rename("renamed")
    (state,) = (one for key, one in before.items() if key.startswith("BestCheckpoint"))
    best = Path("renamed/checkpoints/best.ckpt").read_bytes()
    better = {path: torch.tensor(2.0) for path in state["best_k_models"]}  # no accuracy is above 1
    checkpoint = last("renamed")
    key = next(key for key in checkpoint["callbacks"] if key.startswith("BestCheckpoint"))
    checkpoint["callbacks"][key] |= {"best_k_models": better, "best_score": 2.0, "best_model_score": torch.tensor(2.0)}
    torch.save(checkpoint, "renamed/checkpoints/last.ckpt")
    main(["resume=renamed", "trainer.max_epochs=2", "callbacks.best.standard_errors=0.0"])
    assert Path("renamed/checkpoints/best.ckpt").read_bytes() == best


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_it(limit, ended):
    path = Path("run/checkpoints/last.ckpt").absolute()
    before, (soft, hard) = content("run"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(UserError, match=f"could not write '{path}': .*What was saved before is whole"):
            WholeFiles().save_checkpoint({"weights": torch.zeros(5000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content("run") == before


def test_last_becomes_previous_and_nothing_else_stays(tmp_path):
    for number in range(3):
        WholeFiles().save_checkpoint({"number": number}, tmp_path / "last.ckpt")
    found = {path.name: torch.load(path, weights_only=True)["number"] for path in tmp_path.iterdir()}
    assert found == {"last.ckpt": 2, "previous.ckpt": 1}


MORE = {
    "stream": ["task=generate", "data.max_rows=60", "data.carry_state=true", "data.window=7"],
    "a worker": [*RUN[:3], "data.num_workers=1"],
    "ended within an epoch": [*RUN[:3], "trainer.max_epochs=-1", "callbacks.best=null"],
}


@pytest.mark.parametrize("case", sorted(MORE))
def test_an_ended_run_given_more_loses_nothing(case, ended):
    length = "trainer.max_steps" if "within" in case else "trainer.max_epochs"
    given = ["settings=fixed", "scheduler=constant", "model.output_dropout=0.3", *MORE[case], *SMALL]
    main([*given, f"{length}=4", "hydra.run.dir=whole"])
    main([*given, f"{length}=2", "hydra.run.dir=part"])
    main(["resume=part", f"{length}=4"])
    whole, part = last("whole"), last("part")
    assert whole["global_step"] == part["global_step"]
    assert all(torch.equal(value, part["state_dict"][name]) for name, value in whole["state_dict"].items())


def send(number, times=1, **options):
    values = {"step": 2, "number": int(number), "times": times, **options}
    shown = ", ".join(f"{key}: {value}" for key, value in values.items())
    return f"+callbacks.killer={{_target_: lstm_readout_test_tools.SendSignal, {shown}}}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_run_at_once(number, ended, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*RUN, "trainer.max_epochs=2", send(number, times=2), "hydra.run.dir=part"])
    assert stop.value.code == 128 + number
    told = capsys.readouterr().out
    assert f"stopped by {number.name}; at once" in told
    assert "resume=part" in told
    assert last("part")["global_step"] == 1  # that of the start


@pytest.fixture
def _heard():
    """Hear SIGHUP, even if the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
@pytest.mark.usefixtures("_heard")
def test_a_signal_in_the_last_validation_is_honoured(number, ended, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*RUN, "trainer.max_epochs=1", send(number, in_validation="true"), "hydra.run.dir=part"])
    assert stop.value.code == 128 + number
    assert not Path("part/metrics.json").exists()
    assert last("part")["global_step"] == 4
    assert "; saved. To resume: " in capsys.readouterr().out
