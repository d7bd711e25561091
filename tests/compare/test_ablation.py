"""Ablations are variants: each leaves out an option that the recipe uses, on rows that no test split holds."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from lstm_readout.commands.compare import main
from lstm_readout.compare import runner
from lstm_readout.compare.runs import perform
from lstm_readout.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs"
TASKS = ["classify", "generate", "translate"]
RECIPES = sorted(
    path.stem for path in (CONFIGS / "variants" / "ablation").glob("*.yaml") if path.stem not in ["base", *TASKS]
)
SMALL = ["data.max_rows=60", "model.hidden_size=8", "model.embedding_size=8", "trainer.max_epochs=1", "jobs=1"]
FAILING = "+variants.wild={name: wild, against: last, change: {optimizer: {lr: 1.0e+30}}}"


def composed(*overrides):
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        return compose("compare", list(overrides))


def flat(change, path=""):
    for key, value in change.items():
        yield from flat(value, f"{path}{key}.") if OmegaConf.is_dict(value) else [f"{path}{key}"]


def compare(folder, *overrides):
    main([*overrides, "seeds=0", f"hydra.run.dir={folder}"])
    return json.loads((folder / "compare.json").read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_an_ablation_is_of_a_recipe_and_reads_no_test_split(name):
    config, recipe = composed(f"variants=ablation/{name}"), composed(f"experiment={name}")
    assert config.data.files.get("test") is None
    assert config.data.test == 0
    for part in ("model", "task", "tokenizer", "optimizer", "scheduler", "callbacks"):
        assert config[part] == recipe[part]


@pytest.mark.parametrize("name", RECIPES)
def test_every_variant_changes_options_that_the_recipe_has(name):
    config = composed(f"variants=ablation/{name}")
    whole, *others = config.variants.values()
    assert (whole.get("against"), whole.change) == (None, {})
    for variant in others:
        assert variant.against == "recipe"
        for key in flat(variant.change):
            parent, _, option = key.rpartition(".")
            assert parent == "callbacks" or option in OmegaConf.select(config, parent), key


@pytest.mark.parametrize("task", TASKS)
def test_any_configuration_can_be_ablated(task):
    assert "output_dropout" in composed(f"task={task}", f"variants=ablation/{task}").variants


def test_what_the_recipe_does_not_use_is_not_trained(tmp_path):
    overrides = ["task=classify", "variants=ablation/classify", "model.output_dropout=0.3", *SMALL]
    about = compare(tmp_path / "run", *overrides)
    assert [one["key"] for one in about["variants"]] == ["recipe", "output_dropout", "schedule"]
    assert [one["overrides"] for one in about["variants"][:2]] == [[], ["model.output_dropout=0.0"]]
    log = (tmp_path / "run" / "compare.log").read_text()
    assert "left out, because they change nothing here: no dropout of the embedding, no word dropout, " in log


def test_a_run_that_fails_is_named_and_the_others_are_compared(tmp_path):
    chosen = ["task=classify", "variants=classify", FAILING, *SMALL]
    drop = [f"variants.{key}=null" for key in composed().variants if key not in ("last", "mean")]
    folder = tmp_path / "run"
    about = compare(folder, *chosen, *drop)
    assert [one["key"] for one in about["variants"]] == ["last", "mean"]
    (failure,) = about["failures"]
    assert (failure["variant"], failure["seed"]) == ("wild", 0)
    assert "optimizer.lr" in failure["error"]
    assert f"- wild, seed 0: {failure['error']}" in (folder / "compare.md").read_text()
    assert "3 of 3: wild, seed 0: failed: " in (folder / "compare.log").read_text()
    finished = {path: path.stat().st_mtime_ns for path in (folder / "results").glob("*.npz")}
    main([f"resume={folder}", "variants.wild.change.optimizer.lr=0.01"])
    about = json.loads((folder / "compare.json").read_text())
    assert [one["key"] for one in about["variants"]] == ["last", "mean", "wild"]
    assert "failures" not in about
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_variant_is_compared_on_the_seeds_that_succeeded(tmp_path, monkeypatch):
    def fail_once(run):
        if run.path.name == "mean_seed1":
            raise UserError("on purpose")
        perform(run)

    monkeypatch.setattr(runner, "perform", fail_once)
    drop = [f"variants.{key}=null" for key in composed().variants if key not in ("last", "mean")]
    main(["task=classify", *drop, *SMALL, "seeds=0,1", f"hydra.run.dir={tmp_path / 'run'}"])
    about = json.loads((tmp_path / "run" / "compare.json").read_text())
    last, mean = about["variants"]
    assert (last["seeds"], mean["seeds"], len(mean["scores"])) == ([0, 1], [0], 1)
    assert mean["difference"] == pytest.approx(mean["scores"][0] - last["scores"][0])
    page = (tmp_path / "run" / "compare.md").read_text()
    assert f"| {mean['name']} (1 of 2 seeds) |" in page
    assert f"- {mean['name']}, seed 1: on purpose" in page


def test_nothing_is_compared_with_a_run_that_failed(tmp_path, capsys):
    drop = [f"variants.{key}=null" for key in composed().variants if key not in ("last", "mean")]
    with pytest.raises(SystemExit) as stop:
        compare(tmp_path / "run", "task=classify", *drop, *SMALL, "optimizer.lr=-1.0")
    assert stop.value.code == 2
    assert "optimizer.lr" in capsys.readouterr().err
    assert not (tmp_path / "run" / "compare.json").exists()


def test_a_training_that_diverges_has_failed(tmp_path):
    wild = "+variants.wild={name: wild, against: every_step, change: {optimizer: {lr: 1.0e+37}}}"
    drop = ["variants.last_step=null", "variants.reset=null"]
    about = compare(tmp_path / "run", "task=generate", wild, *drop, *SMALL, "trainer.gradient_clip_val=null")
    assert "the training diverged" in about["failures"][0]["error"]
