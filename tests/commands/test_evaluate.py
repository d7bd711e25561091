"""``evaluate`` and ``predict`` give back what the run itself measured, unless the command line says otherwise."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lstm_readout import Translator
from lstm_readout.commands.evaluate import main as evaluate
from lstm_readout.commands.predict import main as predict
from lstm_readout.commands.train import main as train
from lstm_readout.training import trainer

BEST = "checkpoint=run/checkpoints/best.ckpt"
SMALL = [
    "settings=fixed",
    "model.hidden_size=8",
    "model.embedding_size=8",
    "data.max_rows=60",
    "data.eval_batch_size=7",
    "doctor=off",
]
SMALL += ["trainer.max_epochs=1", "optimizer.lr=0.05", "logger.tensorboard=null"]
GREEDY = ["task=translate", "tokenizer.reverse=true"]
RUNS = {
    "classify": ["task=classify", "callbacks=ema", "callbacks.weight_averaging.decay=0.5"],
    "translate": [*GREEDY, "task.beam_size=4", "task.length_penalty=0.7"],
    "generate": ["task=generate", "task.fresh_state_every=5", "task.dynamic_evaluation={lr: 0.1, window: 9}"],
    "stream": ["task=generate", "data.carry_state=true", "data.window=7", "data.batch_size=8"],
    "a part of each split": ["task=classify", "trainer.limit_val_batches=3", "trainer.limit_test_batches=2"],
    "rows held out of one file": ["task=classify", "data=files", "data.path=all.csv", "seed=5"],
}


def write_rows(name: str, number: int) -> None:
    lines = [f"{'good' if i % 3 else 'bad'} film {i % 7},{'yes' if i % 3 else 'no'}" for i in range(number)]
    Path(name).write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """Return a function that makes a run in the folder ``run``; each set of words trains only once."""
    monkeypatch.chdir(tmp_path)
    write_rows("all.csv", 90)

    def copied(*words: str, name: str = "run") -> None:
        kept = made / "-".join(words).translate(str.maketrans("/{}: ", "-----"))
        if not kept.exists():
            train([*SMALL, *words, f"hydra.run.dir={name}"])
            shutil.copytree(name, kept)
        else:
            shutil.copytree(kept, name)

    return copied


def scores(file: str, stage: str = "test") -> dict:
    metrics = json.loads(Path(file).read_text(encoding="utf-8"))
    return {name: value for name, value in metrics.items() if name.startswith(f"{stage}/")}


def scores_again(*arguments: str, stage: str = "test") -> dict:
    evaluate([BEST, "output=again.json", "overwrite=true", *arguments])
    return scores("again.json", stage)


@pytest.fixture
def slow_bfloat16(monkeypatch):
    """Let any processor compute in bfloat16: oneDNN has no such LSTM below AVX-512, PyTorch's own kernels do."""
    monkeypatch.setattr(trainer, "has_bfloat16", lambda device: True)
    torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(True)


@pytest.mark.parametrize("case", sorted(RUNS))
def test_evaluate_gives_back_the_scores_of_the_run(case, run, capsys):
    run(*RUNS[case])
    capsys.readouterr()
    assert scores_again() == scores("run/metrics.json")
    assert scores_again("split=validation", stage="val") == scores("run/metrics.json", "val")
    assert ": the run had" not in capsys.readouterr().out


@pytest.mark.parametrize("task", ["classify", "translate", "generate"])
def test_a_score_in_bfloat16_is_given_back_in_bfloat16(task, run, slow_bfloat16, monkeypatch, capsys):
    run(*RUNS[task], "trainer.precision=auto")
    given_back = scores_again()
    assert given_back == scores("run/metrics.json")
    capsys.readouterr()
    in_float32 = scores_again("trainer.precision=32-true")
    assert "trainer.precision=32-true: the run had bf16-mixed\n" in capsys.readouterr().out
    assert in_float32["test/loss"] != given_back["test/loss"]
    assert in_float32["test/loss"] == pytest.approx(given_back["test/loss"], rel=0.02)

    monkeypatch.setattr(trainer, "_cpu_runs_bfloat16", lambda: False)
    assert scores_again() == in_float32
    assert "trainer.precision=32-true: the run had bf16-mixed, which this device" in capsys.readouterr().out


def test_what_is_given_counts_and_the_log_says_what_it_departs_from(run, capsys):
    run(*RUNS["translate"])
    run(*GREEDY, name="greedy")
    capsys.readouterr()
    assert scores_again("task.beam_size=1", "task.length_penalty=0.7") == scores("greedy/metrics.json")
    told = capsys.readouterr().out
    assert "task.beam_size=1: the run had 4\n" in told
    assert "task.length_penalty=" not in told
    assert scores("greedy/metrics.json") != scores("run/metrics.json")


def test_one_setting_of_a_group_may_be_given(run, capsys):
    run(*RUNS["generate"])
    run(*RUNS["generate"], "task.dynamic_evaluation.lr=0.3", name="other")
    capsys.readouterr()
    assert scores_again("task.dynamic_evaluation.lr=0.3") == scores("other/metrics.json")
    assert "task.dynamic_evaluation.lr=0.3: the run had 0.1\n" in capsys.readouterr().out
    assert "test/loss_dynamic" not in scores_again("task.dynamic_evaluation.lr=null")
    assert "task.dynamic_evaluation.lr=null: the run had 0.1\n" in capsys.readouterr().out


def test_a_part_of_a_split_is_measured_in_part_and_the_log_says_so(run, capsys):
    run(*RUNS["a part of each split"])
    capsys.readouterr()
    part = scores_again()
    assert "trainer.limit_test_batches=2, as in the run: trainer.limit_test_batches=1.0" in capsys.readouterr().out
    whole = scores_again("trainer.limit_test_batches=1.0")
    assert whole != part
    assert scores_again("data=sample", "data.max_rows=60", "data.eval_batch_size=7") == whole  # not limited: new data


def test_moved_data_gives_the_same_score_and_changed_rows_are_told(run, capsys, tmp_path, monkeypatch):
    run(*RUNS["rows held out of one file"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    Path("run").symlink_to(tmp_path / "run")
    write_rows("moved.csv", 90)
    capsys.readouterr()
    assert scores_again("data.path=moved.csv") == scores("run/metrics.json")
    told = capsys.readouterr().out
    assert "data.path=moved.csv: the run had all.csv\n" in told
    assert "not the rows" not in told
    write_rows("all.csv", 120)
    scores_again()
    assert "test: not the rows that the run measured; the data has changed since\n" in capsys.readouterr().out


def test_a_wrong_key_of_the_runs_data_is_refused(run, capsys):
    run(*RUNS["classify"])
    with pytest.raises(SystemExit) as stop:
        evaluate([BEST, "data.batchsize=3"])
    assert stop.value.code == 2
    assert "error: data.batchsize: TextDataModule takes no 'batchsize'. Did you mean" in capsys.readouterr().err


def test_another_number_of_threads_is_told(run, capsys):
    run(*RUNS["classify"])
    content = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    content["hyper_parameters"]["config"]["machine"]["threads"] = 9
    torch.save(content, "run/checkpoints/best.ckpt")
    capsys.readouterr()
    scores_again()
    assert "the last digits may differ from the run's: threads 1 (the run: 9)\n" in capsys.readouterr().out


def test_a_checkpoint_that_does_not_say_how_it_was_scored_is_scored_by_default(run, capsys):
    run(*RUNS["translate"])
    run(*GREEDY, name="greedy")
    content = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    for key in ("task", "trainer", "machine", "rows"):
        del content["hyper_parameters"]["config"][key]
    torch.save(content, "run/checkpoints/best.ckpt")
    capsys.readouterr()
    assert scores_again() == scores("greedy/metrics.json")
    assumed = "assumed: task.beam_size=1, task.length_penalty=0.0, trainer.precision=32-true\n"
    assert f"checkpoint: it does not say how its run was scored; {assumed}" in capsys.readouterr().out
    assert Translator.load("run/checkpoints/best.ckpt").beam_size == 1


def test_a_checkpoint_names_no_class_to_build(run):
    run(*RUNS["classify"])
    content = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    config, call = content["hyper_parameters"]["config"], {"_target_": "os.mkdir", "_args_": ["made"]}
    config["trainer"] = {"profiler": call, "precision": call, "limit_test_batches": call}
    config["data"] |= {"name": "sample", "_target_": "os.mkdir"}
    torch.save(content, "run/checkpoints/best.ckpt")
    assert scores_again("data.batch_size=5") == scores("run/metrics.json")
    assert not Path("made").exists()


def test_a_split_that_is_none_is_refused(run, capsys):
    run(*RUNS["classify"])
    with pytest.raises(SystemExit) as stop:
        evaluate([BEST, "split=dev"])
    assert stop.value.code == 2
    assert "error: split: there is no 'dev' here. Valid: train, validation, test.\n" in capsys.readouterr().err


def test_predict_and_a_loaded_translator_search_as_the_run_did(run, capsys):
    run(*RUNS["translate"])
    checkpoint, texts = "run/checkpoints/best.ckpt", ["may the second of nineteen ninety one", "the tenth of june"]
    Path("texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    beam = Translator.load(checkpoint, beam_size=4, length_penalty=0.7)(texts)
    greedy = Translator.load(checkpoint, beam_size=1)(texts)
    assert beam != greedy
    assert Translator.load(checkpoint)(texts) == beam
    capsys.readouterr()
    predict([BEST, "input=texts.txt", "output=beam.txt"])
    assert capsys.readouterr().err == ""
    predict([BEST, "input=texts.txt", "output=greedy.txt", "beam_size=1", "length_penalty=0.7"])
    assert capsys.readouterr().err == "beam_size=1: the run decoded with 4\n"
    for name, wanted in (("beam.txt", beam), ("greedy.txt", greedy)):
        assert Path(name).read_text(encoding="utf-8").splitlines() == wanted
