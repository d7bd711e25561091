"""The command: three formats, files that are never written over, and mistakes that are refused before anything is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lstm_readout.commands.cli import main as command_line
from lstm_readout.commands.explain import format_first, main
from lstm_readout.commands.train import main as train
from lstm_readout.tasks import ClassifyTask

SMALL = ["model.hidden_size=8", "model.embedding_size=4", "data.max_rows=50"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def refused(arguments, capsys):
    """Return the message; nothing may have been written or printed."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sorted(Path().rglob("*")) == before
    return told.err


@pytest.mark.parametrize("task", ["classify", "generate", "translate"])
def test_the_terminal_tells_all_parts_in_80_columns(task, capsys):
    main([f"task={task}", *SMALL, "model.num_layers=2"])
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines())) <= 80
    assert "\x1b" not in told.out
    assert "train text" not in told.out  # what reading the data tells goes beside it
    for part in (
        f"{task} reads",
        "(layers, batch, hidden_size) = (2, 6, 8)",
        "✓ holds",
        "● read",
        "nn.LSTM(",
        "logits =",
    ):
        assert part in told.out
    assert "✗" not in told.out
    (folder,) = Path("runs/explain", task).iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["explain.png", "explain.svg"]
    assert f"wrote {folder / 'explain.png'}" in told.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["task=generate", "data.carry_state=true", "data.window=9"],
        ["task=classify", "tokenizer=bpe", "model.proj_size=4", "model.readout=attention"],
        ["task=translate", "model.reverse_source=true", "model.encoder.cell=gru", "tokenizer=char", "rows=1"],
    ],
    ids=str,
)
def test_every_kind_of_batch_and_model_is_explained(arguments, capsys):
    main([*arguments, *SMALL])
    told = capsys.readouterr().out
    assert "✗" not in told
    assert "● read" in told


def test_json_is_one_object_and_nothing_else(capsys):
    main(["task=classify", *SMALL, "model.bidirectional=true", "format=json", "output=told", "rows=4"])
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(Path("told/explain.json").read_text(encoding="utf-8"))
    (lstm,) = told["lstms"]
    assert lstm["reading"]["h_n"] == [0, 1]
    assert len(lstm["lengths"]) == 4
    assert [bool(value) for value in lstm["gradients"]["h_n"]] == [True, True]
    assert lstm["gradients"]["output"] == 0
    assert all(claim["holds"] for claim in lstm["identities"])
    assert {tensor["name"]: tensor["shape"] for tensor in lstm["tensors"]}["h_n"] == [2, 4, 8]
    assert told["files"] == ["told/explain.svg", "told/explain.png", "told/explain.json"]
    assert all(Path(file).stat().st_size for file in told["files"])


@pytest.mark.parametrize("asked", [["--format", "html"], ["--format=html"], ["format=html"]], ids=str)
def test_format_has_two_spellings(asked):
    assert format_first(["task=classify", *asked, "rows=2"]) == ["task=classify", "format=html", "rows=2"]


def test_the_command_line_leads_here(capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["lstm-readout", "explain", "task=generate", *SMALL, "--format", "html", "output=a b"]
    )
    command_line()
    assert capsys.readouterr().out.splitlines() == [f"wrote a b/explain.{end}" for end in ("svg", "png", "html")]
    assert Path("a b/explain.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_same_arguments_tell_the_same(capsys):
    for folder in ("one", "two"):
        main(["task=translate", *SMALL, "--format", "json", f"output={folder}"])
    one, two = (json.loads(Path(folder, "explain.json").read_text()) | {"files": []} for folder in ("one", "two"))
    assert one == two
    assert Path("one/explain.svg").read_bytes() == Path("two/explain.svg").read_bytes()


def test_a_trained_model_is_explained_from_its_file(capsys):
    train(["task=classify", "debug=limited", *SMALL, "model.readout=mean", "hydra.run.dir=run"])
    capsys.readouterr()
    main(["checkpoint=run/checkpoints/best.ckpt", "format=json", "output=told"])
    told = json.loads(capsys.readouterr().out)
    assert told["title"] == "classify reads mean(output)"
    assert told["lstms"][0]["gradients"]["steps_read"] == sum(told["lstms"][0]["lengths"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["format=htm"], "error: format: there is no 'htm'. Did you mean 'html'? Valid: html, json, terminal."),
        (["--format"], "error: --format: no format given. Valid: html, json, terminal."),
        (["--format", "text"], "error: format: there is no 'text'."),
        (["rows=0"], "error: rows: wanted a whole number, 1 or more, got 0. For example: rows=6."),
        (["rows=many"], "error: rows: wanted a whole number, 1 or more, got many."),
        (["rows=true"], "error: rows: wanted a whole number, 1 or more, got True."),
        (["model.hiden_size=3"], "Did you mean 'model.hidden_size'?"),
        (["task=generate", "model.bidirectional=true"], "bidirectional=true cannot generate"),
        (["checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
    ],
    ids=str,
)
def test_a_mistake_is_refused_before_anything_is_written(arguments, message, capsys):
    assert message in refused(arguments, capsys)


def test_files_are_never_written_over(capsys):
    Path("told").mkdir()
    Path("told/explain.png").write_bytes(b"mine")
    told = refused(["output=told"], capsys)
    assert "already holds explain.png. Name another folder, remove it first, or set overwrite=true." in told
    assert Path("told/explain.png").read_bytes() == b"mine"


def test_a_file_is_no_folder(capsys):
    Path("told").write_text("mine")
    assert "output: 'told' is a file; name a folder." in refused(["output=told"], capsys)


def test_a_folder_that_cannot_be_made_is_told(capsys):
    Path("told").write_text("mine")
    told = refused(["output=told/here", *SMALL], capsys)
    assert "output: cannot write to 'told/here': Not a directory. Name another folder: output=..." in told


class Own(torch.nn.Module):
    """The model of another project."""

    def __init__(self, *, vocab_size: int, num_classes: int) -> None:
        super().__init__()


class OwnTask(ClassifyTask):
    """A task of another project."""

    name = "own"
    model_type = Own


def test_a_task_of_another_project_is_refused(capsys):
    Path("own/task").mkdir(parents=True)
    Path("own/model").mkdir()
    Path("own/task/own.yaml").write_text(
        "_target_: test_explain_command.OwnTask\nmonitor: val/loss\nmode: min\nlabel_smoothing: 0.0\n"
    )
    Path("own/model/own.yaml").write_text("_target_: test_explain_command.Own\n")
    told = refused(["--config-dir", "own", "task=own", "data.max_rows=20"], capsys)
    assert "task: explain knows the models of classify, generate, translate; 'own' has a Own." in told
