"""The page of results: numbers against the formula written out, what cannot share a row, and what is published."""

import copy
import json
import statistics
import sys
from pathlib import Path

import pytest

from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.train import main as train

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
try:
    import results
    from published.page import page
    from published.recipes import header_of, minutes, recipes_of
    from published.records import RECORDS, collect, read_ablations, read_all, recipe_of
finally:
    sys.path.remove(str(ROOT / "scripts"))

PUBLISHED = ROOT / "docs" / "results"
SMALL = [
    "data.max_rows=60",
    "model.hidden_size=8",
    "model.embedding_size=8",
    "trainer.max_epochs=1",
    "doctor=off",
    "settings=fixed",
]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """One run of the real thing: (metrics, card)."""
    folder = tmp_path_factory.mktemp("results") / "run"
    train(["task=classify", "seed=0", *SMALL, f"hydra.run.dir={folder}"])
    return tuple(json.loads((folder / name).read_text()) for name in ("metrics.json", "card.json"))


@pytest.fixture
def write(real, tmp_path):
    """Write a run folder like the real one, with another seed, recipe, accuracy or anything of its card."""

    def write(name, *, seed=0, accuracy=0.9, recipe="trial", seconds=840.0, change=None):
        metrics, card = copy.deepcopy(real)
        metrics |= {"test/accuracy": accuracy, "baseline/majority_accuracy": 0.4}
        metrics |= {"baseline/bag_of_words_accuracy": 0.5, "baseline/ngram_accuracy": 0.55}
        card |= {"seed": seed, "seconds": seconds, "overrides": [f"experiment={recipe}", f"seed={seed}"]}
        card["device"] |= {"threads": 2, "name": "AVX2"}
        if change is not None:
            change(card)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "card.json").write_text(json.dumps(card))
        return folder

    return write


@pytest.fixture
def three(write):
    return [write(f"run{seed}", seed=seed, accuracy=score) for seed, score in enumerate((0.90, 0.91, 0.95))]


FIGURES = """
- title: a trial
  recipe: trial
  metric: test/accuracy
  unit: accuracy
  beat:
    - {figure: 0.869, what: packed LSTM, source: a notebook}
    - {figure: 0.9, what: another, source: a paper, second_hand: true}
- title: nobody ran this
  recipe: other
  metric: test/accuracy
  unit: accuracy
"""


@pytest.fixture
def figures(tmp_path):
    path = tmp_path / "figures.yaml"
    path.write_text(FIGURES)
    return path


def refused(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        results.main([str(one) for one in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_recipe_is_the_mean_and_the_deviation_over_its_seeds(three, figures):
    (recipe,) = recipes_of(read_all(three))
    text = page([recipe], figures=figures)
    deviation = statistics.stdev([0.90, 0.91, 0.95])
    assert f"| a trial | accuracy | **0.920 ± {deviation:.3f}**, 3 seeds, 14 minutes |  |  | " in text
    assert "0.869 packed LSTM [1]; 0.9 another [2] |" in text
    assert "2. a paper (quoted second-hand)" in text
    assert "| nobody ran this | accuracy |  |  |  |  |" in text
    assert f"| `trial` | test accuracy | 0.920 ± {deviation:.3f} | 0 1 2 |" in text
    assert "majority 0.400, bag of words 0.500, word n-grams 0.550 | 14 minutes | two CPU cores |" in text


def test_a_score_is_bold_only_above_every_figure(write, figures):
    text = page(recipes_of(read_all([write("run", accuracy=0.9)])), figures=figures)
    assert "| a trial | accuracy | 0.900, one seed, 14 minutes |" in text


def test_a_score_that_rounds_to_a_published_one_is_not_above_it(write, figures):
    told = figures.read_text(encoding="utf-8")
    figures.write_text(told.replace("0.9,", "0.934,"), encoding="utf-8")
    text = page(recipes_of(read_all([write("same", accuracy=0.9344)])), figures=figures)
    assert "| a trial | accuracy | 0.934, one seed" in text
    text = page(recipes_of(read_all([write("above", accuracy=0.9346)])), figures=figures)
    assert "| a trial | accuracy | **0.935**, one seed" in text


def test_the_standard_error_is_that_of_a_share_of_the_test_rows(write, figures):
    run = write("run", accuracy=0.889, change=set_at("corpus", "splits", "test", "rows", value=500))
    text = page(recipes_of(read_all([run])), figures=figures)
    assert "| `trial` | test accuracy | 0.889 | 0 | 0.014 |" in text  # sqrt(0.889 * 0.111 / 500) = 0.01405


def test_a_score_above_only_our_own_baselines_is_not_bold(write, figures):
    told = figures.read_text(encoding="utf-8")
    run = recipes_of(read_all([write("run", accuracy=0.95)]))
    assert "**0.950**" in page(run, figures=figures)
    assert "**0.950**" in page(run, figures=_of_own(figures, told.replace("source: a notebook", "own: true")))
    own = told.replace("source: a notebook", "own: true").replace("source: a paper, second_hand: true", "own: true")
    text = page(run, figures=_of_own(figures, own))
    assert "| a trial | accuracy | 0.950, one seed" in text
    assert "1. this project's baselines without an LSTM" in text


def _of_own(figures, told):
    figures.write_text(told, encoding="utf-8")
    return figures


@pytest.mark.parametrize(
    ("lower_cased", "told"),
    [
        (41.04, "40.5, lower-cased 41.0, one seed"),  # 41.0 is not above 41.02
        (41.14, "**40.5**, lower-cased 41.1, one seed"),
        (None, "40.5, one seed"),  # older runs: the cased score is compared
    ],
)
def test_lower_cased_bleu_is_compared_with_lower_cased_bleu(figures, lower_cased, told):
    real = next(record for record in read_all([PUBLISHED]) if record.recipe == "multi30k")
    metrics = real.metrics | {"test/bleu": 40.5}
    metrics |= {} if lower_cased is None else {"test/bleu_lowercase": lower_cased}
    figures.write_text(
        "- {title: a trial, recipe: multi30k, metric: test/bleu, unit: BLEU, "
        "beat: [{figure: 41.02, what: lower-cased, source: a paper, lowercase: true}]}",
        encoding="utf-8",
    )
    text = page(recipes_of([real._replace(metrics=metrics)]), figures=figures)
    assert f"| a trial | BLEU | {told}" in text
    assert ("lower-cased BLEU 41" in text) == (lower_cased is not None)


def test_a_run_that_took_longer_than_its_column_says_so(write, figures):
    text = page(recipes_of(read_all([write("run", seconds=1000.0)])), figures=figures)
    assert "| a trial | accuracy | 0.900, one seed, 17 minutes (over) |" in text


def test_what_is_collected_makes_the_same_page(three, tmp_path, figures, capsys):
    (three[0] / "more").mkdir()  # whatever else lies there
    docs = tmp_path / "docs"
    results.main(["--collect", *map(str, three[::-1]), "--output", str(docs / RECORDS)])
    assert "trial, cpu, seed 0\ntrial, cpu, seed 1\n" in capsys.readouterr().out
    lines = (docs / RECORDS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["card"]["seed"] for line in lines] == [0, 1, 2]
    of_runs = page(recipes_of(read_all(three[::-1])), figures=figures)
    assert page(recipes_of(read_all([docs])), figures=figures) == of_runs
    assert str(tmp_path) not in of_runs
    results.main([str(docs), "--output", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# What the recipes reach")
    results.main([str(docs), "--headers"])
    assert "trial: test accuracy 0.920 ± 0.026 over 3 seeds, 14 minutes" in capsys.readouterr().out


def test_a_run_that_is_collected_again_replaces_its_record_and_no_other(three, write, tmp_path):
    file = tmp_path / RECORDS
    ablation = json.dumps({"ablation": "trial", "variants": []})
    file.write_text(ablation + "\n", encoding="utf-8")
    collect(three, file)
    before = file.read_text(encoding="utf-8").splitlines()
    collect([write("again", seed=1, accuracy=0.5)], file)
    after = file.read_text(encoding="utf-8").splitlines()
    assert [before[0], before[2], before[3]] == [after[0], after[2], after[3]]
    assert json.loads(after[1])["metrics"]["test/accuracy"] == 0.5
    assert after[3] == ablation
    assert read_ablations([file]) == [json.loads(ablation)]
    assert [record.where for record in read_all([file])] == [f"{file}:{number}" for number in (1, 2, 3)]


def test_the_folder_of_a_sweep_is_all_of_its_runs(three):
    assert [record.seed for record in read_all([three[0].parent])] == [0, 1, 2]


def test_the_card_tells_rows_hashes_units_and_tokenizers(three, real, figures):
    text = page(recipes_of(read_all(three)), figures=figures)
    corpus = real[1]["corpus"]
    assert "### sample\n" in text
    for split, part in corpus["splits"].items():
        assert f"| {split} | {part['rows']} | {part['sha256'][:16]} |" in text
    assert "accuracy: share of the rows, 0 to 1" in text
    assert f"text by `word`, {real[1]['tokenizers']['text']['ids']} ids" in text


def test_an_evaluation_of_several_models_is_a_record_of_the_recipe_that_is_named(tmp_path, figures, capsys):
    folder, files = tmp_path / "runs", {name: tmp_path / f"{name}.csv" for name in ("train", "test")}
    for file in files.values():
        file.write_text("text,label\n" + "good film,yes\nbad film,no\n" * 20)
    data = ["data=files", f"data.files={{train:{files['train']},test:{files['test']}}}", "data.holdout=random"]
    for seed in (0, 1):
        train(["task=classify", f"seed={seed}", *SMALL[1:], *data, f"hydra.run.dir={folder}/{seed}"])
    first, second = (f"{folder}/{seed}/checkpoints/best.ckpt" for seed in (0, 1))
    for seed, paths in enumerate(((first, second), (second, first))):
        (tmp_path / str(seed)).mkdir()
        output = tmp_path / str(seed) / "evaluation.json"
        evaluate([f"checkpoint={paths[0]}", f"ensemble=[{paths[1]}]", f"output={output}"])
        assert "is an evaluation: name its recipe" in refused(capsys, ["--collect", output])
        results.main(
            ["--collect", str(output), "--recipe", "trial ensemble", "--output", str(tmp_path / "docs" / RECORDS)]
        )
    assert [record.seed for record in read_all([tmp_path / "docs"])] == [0, 1]
    (recipe,) = recipes_of(read_all([tmp_path / "docs"]))
    assert recipe.name == "trial ensemble"
    assert recipe.scores().values[0] == recipe.scores().values[1]
    figures.write_text(figures.read_text().replace("recipe: trial", "recipe: trial\n  changes: ensemble"))
    assert f"| **{recipe.scores()}**, 2 seeds |" in page([recipe], figures=figures)


def test_a_run_of_an_older_version_is_refused(three, capsys):
    (three[1] / "card.json").unlink()
    assert f"'{three[1]}' has no card.json: an older version wrote it" in refused(capsys, three)


def test_only_recipes_are_collected(write, tmp_path, capsys):
    run = write("run", change=set_at("overrides", value=["task=classify"]))
    assert "belongs to no recipe" in refused(capsys, ["--collect", run, "--output", tmp_path / "docs" / RECORDS])
    assert not (tmp_path / "docs").exists()


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert "holds no metrics.json, no runs and no records.jsonl" in refused(capsys, [tmp_path])
    (tmp_path / RECORDS).write_text("{}\n")
    assert "records.jsonl:1 is not a record" in refused(capsys, [tmp_path])
    (tmp_path / RECORDS).write_text("{\n")
    assert "records.jsonl:1 cannot be read" in refused(capsys, [tmp_path])


def test_either_runs_or_a_comparison_is_published(tmp_path, capsys):
    assert "give runs, or --comparison" in refused(capsys, [])
    assert "give runs, or --comparison" in refused(capsys, [tmp_path, "--comparison", tmp_path, "imdb"])
    assert "has no compare.md" in refused(capsys, ["--comparison", tmp_path, "imdb"])


def set_at(*path, value):
    def change(card):
        for key in path[:-1]:
            card = card[key]
        card[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_at("corpus", "sha256", value="0" * 64), "the rows of the corpus differ"),
        (set_at("corpus", "splits", "test", "sha256", value="0" * 64), "the rows of the test split differ"),
        (set_at("tokenizers", "text", "kind", value="bpe"), "the kinds of tokenizer differ"),
        (set_at("signatures", value={"bleu": "x"}), "the signatures differ"),
        (set_at("units", "test/accuracy", value="per cent"), "the unit differ"),
        (set_at("config", "model", "hidden_size", value=9), "model.hidden_size differ (8; 9)"),
        (set_at("seed", value=0), "are both trial, seed 0"),
    ],
)
def test_runs_that_do_not_compare_cannot_share_a_row(write, capsys, change, told):
    runs = [write("one", seed=0), write("two", seed=1, change=change)]
    message = refused(capsys, runs)
    assert told in message
    assert str(runs[0]) in message
    assert str(runs[1]) in message


def test_a_setting_that_only_the_later_version_knows_is_no_difference(write):
    runs = [write("one"), write("two", seed=1, change=set_at("config", "model", "new_option", value=False))]
    (recipe,) = recipes_of(read_all(runs))
    assert len(recipe.records) == 2


@pytest.mark.parametrize(("value", "same"), [(False, True), (True, False)])
def test_a_setting_that_was_renamed_since_is_compared_all_the_same(write, capsys, value, same):
    def of_an_earlier_version(card):
        card["config"]["data"]["stream"] = card["config"]["data"].pop("carry_state")

    later = set_at("config", "data", "carry_state", value=value)
    runs = [write("one", change=of_an_earlier_version), write("two", seed=1, change=later)]
    if same:
        assert len(recipes_of(read_all(runs))) == 1
    else:
        assert "data.carry_state differ (False; True)" in refused(capsys, runs)


def test_two_budgets_of_one_row_must_have_scored_the_same_rows(write, figures):
    short, long = write("short"), write("long", recipe="trial_hour", accuracy=0.95)
    assert ", one seed, 14 minutes | **0.950**, one seed" in page(recipes_of(read_all([short, long])), figures=figures)
    other = write("other", recipe="trial_hour", change=set_at("corpus", "splits", "test", "sha256", value="0" * 64))
    with pytest.raises(ValueError, match="cannot share a row: the rows of the test split differ"):
        page(recipes_of(read_all([short, other])), figures=figures)


def test_a_recipe_is_named_by_what_changes_it():
    given = ["experiment=imdb", "seed=4", "trainer.accelerator=gpu", "+model.b=2", "data.path=x.csv", "model.a=1"]
    assert recipe_of(given) == "imdb model.a=1 model.b=2"
    assert recipe_of(["task=classify"]) == "no recipe task=classify"
    assert recipe_of(["experiment=imdb", "data.stream=true"]) == recipe_of(["experiment=imdb", "data.carry_state=true"])


def test_a_gpu_is_another_row(write, figures):
    runs = [
        write("cpu"),
        write("gpu", change=set_at("device", value={"kind": "cuda", "name": "H", "processes": 1, "threads": 8})),
    ]
    runs[1].joinpath("card.json").write_text(
        json.dumps(json.loads((runs[1] / "card.json").read_text()) | {"overrides": ["experiment=trial_gpu"]})
    )
    cpu, gpu = recipes_of(read_all(runs))
    assert (cpu.device, gpu.device, gpu.on()) == ("cpu", "cuda", "one H")


def test_seeds_side_by_side_on_fewer_threads_take_no_part_in_the_time(write):
    slow = [
        write(f"slow{seed}", seed=seed, seconds=1500.0, change=set_at("device", "threads", value=1)) for seed in (1, 2)
    ]
    (recipe,) = recipes_of(read_all([*slow, write("quick")]))
    assert (recipe.seeds, recipe.seconds, recipe.on()) == ("3 seeds", 840.0, "two CPU cores")
    (recipe,) = recipes_of(read_all(slow))
    assert (recipe.seconds, recipe.on()) == (1500.0, "one CPU core")


def test_a_time_in_bfloat16_says_so(write):
    """It is about half of what a processor without its instructions takes."""
    (recipe,) = recipes_of(read_all([write("run", change=set_at("device", "precision", value="bf16-mixed"))]))
    assert recipe.header().startswith("test accuracy 0.900, one seed, 14 minutes on two CPU cores with bf16 (")


def test_a_resumed_run_has_no_time(write):
    (recipe,) = recipes_of(read_all([write("run", seconds=None)]))
    assert recipe.header() == (
        "test accuracy 0.900, one seed, on two CPU cores (majority 0.400, bag of words 0.500, word n-grams 0.550)"
    )


def test_a_header_is_one_line_of_the_recipe(three, tmp_path):
    (recipe,) = recipes_of(read_all(three))
    path = tmp_path / "trial.yaml"
    path.write_text(
        "# @package _global_\n# python train.py experiment=trial\n# One direction. test accuracy 0.920 ± 0.026 over 3\n"
        "# seeds, 14 minutes on two CPU cores (majority 0.400, bag of words 0.500, word n-grams 0.550)\n"
        "defaults: []\n# below\n"
    )
    assert recipe.header() in header_of(path)
    assert "below" not in header_of(path)


@pytest.mark.parametrize(("seconds", "told"), [(64, "64 seconds"), (468, "7.8 minutes"), (870, "14 minutes")])
def test_a_time_is_told_in_two_digits(seconds, told):
    assert minutes(seconds) == told


def test_the_published_page_is_that_of_the_published_runs():
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == results.page_of([PUBLISHED])


def test_the_published_records_are_sorted():
    values = [json.loads(line) for line in (PUBLISHED / RECORDS).read_text(encoding="utf-8").splitlines()]
    runs = [(one["recipe"], one["card"]["device"]["kind"], one["card"]["seed"]) for one in values if "recipe" in one]
    ablations = [one["ablation"] for one in values[len(runs) :]]
    assert runs == sorted(set(runs))
    assert ablations == sorted(set(ablations))


def test_the_recipes_say_what_they_reach():
    for recipe in recipes_of(read_all([PUBLISHED])):
        path = ROOT / "configs" / "experiment" / f"{recipe.name}.yaml"
        if " " not in recipe.name:  # else the recipe with something changed on the command line
            assert recipe.header() in header_of(path), f"{path}: {recipe.header()}"
