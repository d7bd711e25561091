"""Each task reaches the known answer of its sample, from the default configuration, within a minute of training.

The trained runs are then used as a person uses them.
"""

import json
import subprocess
import sys
from hashlib import sha256

import pytest
import torch

from lstm_readout import DocumentClassifier, TextGenerator, Translator
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main as train
from lstm_readout.data.synthetic import sample

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Task -> folder of a default run on the sample, trained when first asked for."""
    made = {}

    def run(task):
        if task not in made:
            made[task] = tmp_path_factory.mktemp("runs") / task
            train([f"task={task}", f"hydra.run.dir={made[task]}"])
        return made[task]

    return run


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def checkpoint(folder):
    return f"checkpoint={folder}/checkpoints/best.ckpt"


def test_classify_reaches_the_ceiling_where_a_bag_of_words_fails(runs):
    reached = metrics(runs("classify"))
    assert reached["test/accuracy"] >= 0.99 * reached["ceiling"]
    assert reached["baseline/bag_of_words_accuracy"] < 0.75
    assert (runs("classify") / "confusion.png").stat().st_size


def test_translate_reaches_the_ceiling(runs):
    reached = metrics(runs("translate"))
    assert reached["test/bleu"] >= 0.99 * reached["ceiling"]
    assert reached["baseline/copy_source_bleu"] < 10


def test_generate_comes_within_three_percent_of_the_entropy(runs):
    reached = metrics(runs("generate"))
    assert reached["test/loss"] <= 1.03 * reached["ceiling"]
    assert reached["test/loss"] > 0.98 * reached["ceiling"], "below the entropy: a leak"
    assert reached["baseline/unigram_loss"] > 1.3 * reached["ceiling"]


def test_evaluate_finds_the_metrics_of_the_run_again(runs, tmp_path):
    for task in ("classify", "generate", "translate"):
        folder = runs(task)
        for split, stage in (("test", "test"), ("validation", "val")):
            output = tmp_path / f"{task}-{split}.json"
            evaluate([checkpoint(folder), f"split={split}", f"output={output}"])
            again = json.loads(output.read_text())
            for name, value in metrics(folder).items():
                if name.startswith(f"{stage}/"):
                    expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-4)
                    assert again[name] == expected, name


def test_evaluate_on_a_new_file_uses_all_of_it(runs, tmp_path):
    texts = sample(("text", "label")).splits["test"]
    file = tmp_path / "new.csv"
    rows = [f'"{text}",{label}' for text, label in zip(texts["text"], texts["label"], strict=True)]
    file.write_text("text,label\n" + "\n".join(rows) + "\n")
    evaluate([checkpoint(runs("classify")), "data=files", f"data.path={file}", f"output={tmp_path}/out.json"])
    assert (
        json.loads((tmp_path / "out.json").read_text())["test/accuracy"] == metrics(runs("classify"))["test/accuracy"]
    )


def test_evaluate_measures_classifiers_together(runs, tmp_path):
    """The run beside itself is the run; beside one that knows nothing it is less sure, and no less right."""
    folder, output = runs("classify"), tmp_path / "together.json"
    evaluate([checkpoint(folder), f"ensemble=[{folder}/checkpoints/best.ckpt]", f"output={output}"])
    again, alone = json.loads(output.read_text()), metrics(folder)
    for name in ("test/loss", "test/accuracy", "test/macro_f1", "baseline/bag_of_words_accuracy"):
        assert again[name] == pytest.approx(alone[name], rel=1e-4), name
    assert again["parameters"] == 2 * alone["parameters"]
    card = json.loads(output.with_suffix(".card.json").read_text())
    assert card["config"]["ensemble"] == [sha256((folder / "checkpoints/best.ckpt").read_bytes()).hexdigest()]
    weak = tmp_path / "weak.ckpt"
    content = torch.load(folder / "checkpoints/best.ckpt")
    content["state_dict"] |= {name: torch.zeros_like(w) for name, w in content["state_dict"].items() if "head" in name}
    del content["weights_sha256"]  # as a file of an earlier version
    torch.save(content, weak)
    evaluate([checkpoint(folder), f"ensemble=[{weak}]", f"output={tmp_path}/unsure.json"])
    unsure = json.loads((tmp_path / "unsure.json").read_text())
    assert unsure["test/accuracy"] == alone["test/accuracy"]
    assert unsure["test/loss"] > alone["test/loss"] + 0.1


def test_predict_answers_a_text_a_file_and_standard_input(runs, tmp_path, capsys):
    text = "the plot was dull but the acting was not bad"
    predict([checkpoint(runs("classify")), f"text={text}"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["label"] == "positive"
    assert answer["probabilities"]["positive"] > 0.9
    (tmp_path / "in.txt").write_text(f"{text}\n\nthe food was not good\n", encoding="utf-8")
    predict([checkpoint(runs("classify")), f"input={tmp_path}/in.txt", f"output={tmp_path}/out.jsonl"])
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in (lines[0], lines[2])] == ["positive", "negative"]
    assert len(lines) == 3  # the empty line is a text too
    (tmp_path / "in.csv").write_text(f"more;review\n1;{text}\n2;the food was not good\n", encoding="utf-8")
    column = "data.columns.text=review"
    predict([checkpoint(runs("classify")), f"input={tmp_path}/in.csv", column, f"output={tmp_path}/table.jsonl"])
    table = [json.loads(line) for line in (tmp_path / "table.jsonl").read_text().splitlines()]
    assert [(row["more"], row["label"]) for row in table] == [("1", "positive"), ("2", "negative")]
    command = [sys.executable, "-m", "lstm_readout.commands.cli", "predict", checkpoint(runs("classify"))]
    piped = subprocess.run(command, input=f"{text}\n", capture_output=True, text=True, check=True)
    assert json.loads(piped.stdout) == answer


def test_predict_takes_any_text_as_it_is(runs, capsys):
    for text in ["a, b", "it's [x] {y}", "${x}", 'say "no"', "back\\slash\\", "a=b", "日本語 🙂", "null", "1"]:
        predict([checkpoint(runs("generate")), f"text={text}", "max_tokens=3", "temperature=0"])
        assert capsys.readouterr().out.startswith(text), text


def test_predict_translates_and_continues(runs, capsys):
    rows = sample(("source", "target")).splits["test"]
    predict([checkpoint(runs("translate")), f"text={rows['source'][0]}"])
    assert capsys.readouterr().out.strip() == rows["target"][0]
    for _ in range(2):
        predict([checkpoint(runs("generate")), "text=the dogs", "seed=3", "top_k=20", "top_p=0.9", "temperature=0.7"])
    first, second = capsys.readouterr().out.strip().split("\n")
    assert first == second
    assert first.startswith("the dogs ")


def test_three_lines_of_python_do_the_same(runs):
    folder = "checkpoints/best.ckpt"
    assert DocumentClassifier.load(runs("classify") / folder)(["the food was not good"])[0].label == "negative"
    rows = sample(("source", "target")).splits["test"]
    translated = Translator.load(runs("translate") / folder)(rows["source"][:50])
    assert sum(a == b for a, b in zip(translated, rows["target"], strict=False)) >= 48
    assert TextGenerator.load(runs("generate") / folder)(["the dogs"])[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=nowhere.ckpt", "text=a"], "no such file: 'nowhere.ckpt'"),
        (["text=a"], "checkpoint: must be given"),
        (["{checkpoint}", "text=a", "input=b"], "text and input: both are given; leave one out."),
        (["{checkpoint}", "input=nowhere.txt"], "no such file: 'nowhere.txt'"),
        (["{checkpoint}", "text=a", "temperature=1"], "temperature"),
        (["{checkpoint}", "pipeline=translate", "text=a"], "was trained for task=classify, not for translate"),
        (["{checkpoint}", "text=a", "output={existing}"], "already exists"),
        (["{checkpoint}", "text=a", "output=nowhere/out.txt"], "no such folder"),
    ],
)
def test_predict_refuses_mistakes(runs, tmp_path, capsys, arguments, message):
    existing = tmp_path / "here.txt"
    existing.write_text("kept")
    given = [a.format(checkpoint=checkpoint(runs("classify")), existing=existing) for a in arguments]
    with pytest.raises(SystemExit) as stop:
        predict(given)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert existing.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [existing]
