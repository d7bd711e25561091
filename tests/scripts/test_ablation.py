"""An ablation: its numbers by hand, plans that fit the recipes, and runs that fail or are done already."""

import json
import statistics
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lstm_readout.commands.train import train
from lstm_readout.config.jobs import compose_jobs
from lstm_readout.errors import UserError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
try:
    import ablation
    from published.ablation_plan import PLANS, Plan, plan_of
    from published.ablation_runs import ablate
    from published.ablation_table import WHOLE, ablation_section, rows_of
finally:
    sys.path.remove(str(ROOT / "scripts"))

CORPORA = ["trec", "multi30k", "tinyshakespeare"]  # one for each task


def test_differences_are_paired_over_the_seeds_that_both_have():
    scores = {WHOLE: {0: 0.5, 1: 0.7, 2: 0.6}, "dropout": {0: 0.4, 1: 0.65, 2: None}, "all": dict.fromkeys(range(3))}
    whole, dropout, nothing = rows_of(scores)
    assert whole["mean"] == pytest.approx(0.6)
    assert whole["difference"] is None
    assert dropout["mean"] == pytest.approx(0.525)
    assert dropout["difference"] == pytest.approx(-0.075)
    half = 12.7062 * statistics.stdev([-0.1, -0.05]) / 2**0.5
    assert dropout["difference_interval"] == pytest.approx((-0.075 - half, -0.075 + half), rel=1e-4)
    assert (dropout["failed"], nothing["failed"], nothing["mean"]) == ([2], [0, 1, 2], None)


def test_the_page_says_which_run_failed():
    rows = rows_of({WHOLE: {0: 0.5, 1: 0.7}, "word dropout": {0: 0.4, 1: None}})
    for row in rows:
        row |= {"overrides": [] if row["name"] == WHOLE else ["model.word_dropout=0.0"], "seconds": 100.0, "errors": []}
    about = {"corpus": "x", "command": "experiment=x", "metric": "val/accuracy", "mode": "max", "seeds": [0, 1]}
    lines = ablation_section(about | {"threads": 1, "precision": ["32-true"], "variants": rows})
    assert "| word dropout | 0.400, seed 1 failed | 0.400 - | -0.100 | 100 | `model.word_dropout=0.0` |" in lines
    assert any(line.startswith("| (nothing) | 0.600 [") for line in lines)


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_plan_leaves_out_what_the_recipe_uses_and_nothing_else(corpus):
    plan = plan_of(corpus)
    recipe = OmegaConf.load(ROOT / "configs" / "experiment" / f"{corpus}.yaml")
    assert next(iter(plan.variants)) == WHOLE
    assert plan.command[0] == f"experiment={corpus}"
    assert plan.command[-1] == "trainer.max_time=null"
    assert ("dropout before the head" in plan.variants) == (recipe.model.get("output_dropout", 0.0) > 0)
    assert ("word dropout" in plan.variants) == (recipe.model.get("word_dropout", 0.0) > 0)
    assert ("averaging of weights" in plan.variants) == ("weight_averaging" in recipe.get("callbacks", {}))


def test_every_corpus_of_the_plans_is_a_recipe():
    for about in OmegaConf.load(PLANS).corpora.values():
        assert (ROOT / "configs" / "experiment" / f"{about.experiment}.yaml").is_file(), about.experiment


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("budget", [[], ["trainer.max_epochs=2"]])
def test_no_budget_reads_a_test_split(corpus, budget):
    (config,) = compose_jobs(
        plan_of(corpus, budget).command, run=train, config_name="train", config_module="lstm_readout.configs"
    )
    assert config.data.files.get("test") is None
    assert config.data.test == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--corpora", "imbd"], "there is no 'imbd'. Did you mean 'imdb'?"),
        (["--corpora", "trec", "--budget", "trainer.max_epoch=1"], "Did you mean 'trainer.max_epochs'?"),
        (["--corpora", "trec", "--seeds", "0,x"], "--seeds: wanted whole numbers"),
        (["--corpora", "trec", "--jobs", "0"], "--jobs: wanted 1 or more, got 0"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(arguments, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        ablation.main([*arguments, "--folder", str(tmp_path), "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_runs_are_kept_and_a_failed_one_stands_in_the_table(tmp_path, capsys):
    small = ["task=classify", "data.max_rows=60", "model.hidden_size=8", "trainer.max_epochs=1", "doctor=off"]
    plans = {
        "corpora": {"sample": {"experiment": "[]", "budget": small}},
        "without": {"classify": {"sense": ["optimizer.lr=-1.0"], "a layer that it has not": ["model.num_layers=1"]}},
    }
    OmegaConf.save(plans, tmp_path / "plans.yaml")
    runs, output = tmp_path / "runs", tmp_path / "docs"
    where = ["--plans", str(tmp_path / "plans.yaml"), "--folder", str(runs), "--output", str(output)]
    ablation.main(["--corpora", "sample", "--seeds", "0", *where])
    about = json.loads((output / "sample.json").read_text(encoding="utf-8"))
    whole, failed = about["variants"]
    assert (about["metric"], about["mode"], about["threads"]) == ("val/accuracy", "max", 1)
    assert 0 <= whole["mean"] <= 1
    assert whole["seconds"] > 0
    assert (failed["name"], failed["mean"], failed["failed"]) == ("sense", None, [0])
    assert "optimizer.lr" in failed["errors"][0]
    assert "sense, seed 0: failed: " in capsys.readouterr().out
    assert "seed 0 failed" in (runs / "sample" / "ablation.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in (output / "sample.json").read_text(encoding="utf-8")
    metrics = runs / "sample" / "the_whole_recipe_seed0" / "metrics.json"
    before, plan = metrics.stat().st_mtime_ns, Plan("sample", about["command"].split(), {WHOLE: []})
    ablate(plan, [0], runs / "sample")
    assert metrics.stat().st_mtime_ns == before
    other = plan._replace(command=[*plan.command, "model.num_layers=2"])
    with pytest.raises(UserError, match="holds a run of other settings"):
        ablate(other, [0], runs / "sample")
