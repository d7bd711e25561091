"""``lstm-readout compare`` as a user runs it, made small: what it writes, how it goes on, what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lstm_readout.commands.compare import main
from lstm_readout.compare.probes.classify import FRACTIONS
from lstm_readout.compare.runs import Result
from lstm_readout.inference import DocumentClassifier

SMALL = ["data.max_rows=60", "model.hidden_size=8", "model.embedding_size=8", "trainer.max_epochs=1"]
ALONE = [*SMALL, "jobs=1"]


def only(task, *keys):
    """Return overrides that leave the named variants."""
    every = re.findall(
        r"^(\w+):", (Path(__file__).parents[2] / "configs" / "variants" / f"{task}.yaml").read_text(), re.M
    )
    return [f"task={task}", *(f"variants.{key}=null" for key in every if key not in keys)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Compare once, for all tests that look at the result."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    chosen = only("classify", "last", "last_step", "mean", "random", "padded")
    main([*chosen, *SMALL, "jobs=2", "seeds=0,1", f"hydra.run.dir={folder}"])
    return folder


def test_everything_is_written(folder):
    written = {path.name for path in folder.iterdir()}
    assert written >= {"compare.json", "compare.md", "compare.png", "compare.svg", "prefixes.png", "prefixes.svg"}
    assert {path.name for path in (folder / "results").glob("last*")} == {
        "last_seed0.npz", "last_seed0.ckpt", "last_seed0.probe.json", "last_seed1.npz",
        "last_step_seed0.npz", "last_step_seed1.npz",
    }  # fmt: skip


def test_the_page_tells_what_the_json_holds(folder):
    about = json.loads((folder / "compare.json").read_text())
    page = (folder / "compare.md").read_text()
    assert about["seeds"] == [0, 1]
    for variant in about["variants"]:
        statistics = [Result.read(folder / "results" / f"{variant['key']}_seed{seed}").statistics for seed in (0, 1)]
        assert variant["scores"] == [rows[:, 0].mean() for rows in statistics]
        assert variant["mean"] == pytest.approx(np.mean(variant["scores"]))
        name = f"*{variant['name']}*" if variant["wrong"] else variant["name"]
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert f"| {variant['mean']:.3f} [" in line
    assert f"`{about['command']}`" in page
    assert all((folder / picture).is_file() for picture in re.findall(r"!\[.*?\]\((.*?)\)", page))


def test_h_n_and_the_last_real_step_of_output_are_the_same_run(folder):
    by_key = {one["key"]: one for one in json.loads((folder / "compare.json").read_text())["variants"]}
    assert by_key["last_step"]["verdict"] == "same"
    assert by_key["last_step"]["scores"] == by_key["last"]["scores"]


def test_the_whole_text_is_known_as_well_as_the_table_says(folder):
    about = json.loads((folder / "compare.json").read_text())
    curve = about["probes"]["h_n[-1]"]["curves"]["prefixes"]
    assert curve["x"] == FRACTIONS
    assert curve["lines"]["all texts"][-1] == pytest.approx(about["variants"][0]["scores"][0])


def test_the_model_that_was_looked_into_can_be_used(folder):
    assert DocumentClassifier.load(folder / "results" / "last_seed0.ckpt")(["good"])[0].label in (
        "positive",
        "negative",
    )


def test_what_is_done_is_not_done_again_and_the_rest_is(folder, tmp_path, capsys):
    again = tmp_path / "run"
    again.mkdir()
    for path in folder.rglob("*"):  # as a killed comparison leaves it
        if path.is_file() and path.name not in ("mean_seed1.npz", "compare.json", "compare.md"):
            (again / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (again / path.relative_to(folder)).write_bytes(path.read_bytes())
    kept = {path: path.stat().st_mtime_ns for path in (again / "results").iterdir()}
    main([f"resume={again}"])
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    first, second = (json.loads((one / "compare.json").read_text()) for one in (folder, again))
    for one, other in zip(first["variants"], second["variants"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert first["probes"] == second["probes"]
    assert first["command"].replace(str(folder), "") == second["command"].replace(str(folder), "")


def test_results_of_other_settings_are_not_mixed_in(folder, tmp_path, capsys):
    again = tmp_path / "run"
    shutil.copytree(folder, again)
    with pytest.raises(SystemExit) as stop:
        main([f"resume={again}", "optimizer.lr=0.02"])
    assert stop.value.code == 2
    assert "last_seed0.npz' was measured with other settings" in capsys.readouterr().err


def test_a_translator_is_tampered_with(tmp_path):
    keys = ["two_layers", "top", "two_directions"]
    main([*only("translate", *keys), *ALONE, "seeds=0", f"hydra.run.dir={tmp_path / 'run'}"])
    about = json.loads((tmp_path / "run" / "compare.json").read_text())
    assert [one["key"] for one in about["variants"]] == keys
    (probe,) = about["probes"].values()
    changes = set(probe["bleu"])
    assert {
        "unchanged",
        "h_n: zeros",
        "c_n: from another row",
        "layer 1: zeros",
        "backward direction: zeros",
    } <= changes
    assert {"h_n and c_n swapped", "layers swapped", "directions swapped", "all of it: from another row"} <= changes
    assert probe["bleu"]["unchanged"] == pytest.approx(about["variants"][-1]["scores"][0])


def test_a_language_model_is_audited(tmp_path):
    main(
        [*only("generate", "every_step", "last_step", "reset"), *ALONE, "seeds=0", f"hydra.run.dir={tmp_path / 'run'}"]
    )
    about = json.loads((tmp_path / "run" / "compare.json").read_text())
    (probe,) = about["probes"].values()
    assert probe["audit"]["holds"]
    assert probe["audit"]["spread"] < 1e-5
    perplexity = next(iter(probe["audit"]["perplexity"].values()))
    assert np.log(perplexity) == pytest.approx(about["variants"][0]["scores"][0], abs=1e-4)


def test_what_does_not_fit_is_left_out_and_said(tmp_path, capsys):
    main([*only("classify", "last", "cell"), *ALONE, "model.cell=gru", "seeds=0", f"hydra.run.dir={tmp_path / 'run'}"])
    assert [one["key"] for one in json.loads((tmp_path / "run" / "compare.json").read_text())["variants"]] == ["last"]
    assert "left out: c_n[-1] (readout=cell: a gru has no c_n" in (tmp_path / "run" / "compare.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["seeds=0,0"], "seeds: [0, 0] repeats a seed"),
        (["seeds=one"], "seeds: wanted whole numbers, 0 or more, for example seeds=0,1,2; got one"),
        (["seeds=[]"], "seeds: wanted whole numbers"),
        (["jobs=0"], "jobs: wanted 1 or more, got 0"),
        (["rows=0"], "rows: wanted 1 or more, got 0"),
        (["-m", "seeds=0,1"], "leave out --multirun"),
        (["variants.mean.against=lost"], "variants.mean.against: no earlier variant 'lost'"),
        (["variants.mean=1"], "variants.mean: wanted name, change and"),
        (["+variants.mean.chance=1"], "variants.mean: there is no 'chance' here"),
        (["+variants.last.change.model.hiden_size=3"], "variants.last: model.hiden_size"),
        (["model.hiden_size=3"], "Did you mean 'model.hidden_size'"),
        (["resume=/nowhere"], "resume: '/nowhere' is not a run folder with a results"),
        (["variants=[]"], "variants"),
        (["data.validation=0", "data=files", "data.path=/nowhere.csv"], "no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_before_anything_is_trained(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["task=classify", *SMALL, *arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.npz"))


def test_threads_of_this_process_stay_as_they_were(folder):
    assert torch.get_num_threads() == 1
