"""Whole runs, from the command line's words to the files they leave."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch

from lstm_readout.commands.train import main
from lstm_readout.tokenizer import TextTokenizer, Vocabulary

SMALL = ["data.max_rows=150", "trainer.max_epochs=2", "model.hidden_size=16", "model.embedding_size=8"]
METRICS = {
    "classify": {"loss", "accuracy", "macro_f1"},
    "generate": {"loss", "perplexity", "bits_per_token", "bits_per_byte", "bits_per_character", "unk_share"},
    "translate": {
        "loss",
        "perplexity",
        "bleu",
        "bleu_lowercase",
        "chrf",
        *(f"{name}_signature" for name in ("bleu", "bleu_lowercase", "chrf")),
    },
}
BASELINES = {
    "classify": {
        "majority_accuracy",
        "bag_of_words_accuracy",
        *(f"ngram_{name}" for name in ("accuracy", "order", "penalty", "seconds")),
    },
    "generate": {
        "unigram_loss",
        "unigram_perplexity",
        *(f"kneser_ney_{name}" for name in ("loss", "perplexity", "order", "seconds")),
    },
    "translate": {"copy_source_bleu", "nearest_source_bleu", "nearest_source_seconds"},
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_folder(task):
    (folder,) = (path for path in Path("runs", task).iterdir())
    return folder


@pytest.mark.parametrize("task", sorted(METRICS))
def test_a_run_leaves_its_evidence(task, capsys):
    main([f"task={task}", *SMALL])
    folder = run_folder(task)
    for name in [
        ".hydra/config.yaml",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.csv",
        "metrics.json",
        "train.log",
        "learning_curve.png",
    ]:
        assert (folder / name).stat().st_size, name
    assert list((folder / "tensorboard").glob("events.*"))
    metrics = json.loads((folder / "metrics.json").read_text())
    expected = {f"{stage}/{name}" for stage in ("val", "test") for name in METRICS[task]}
    expected |= {f"baseline/{name}" for name in BASELINES[task]}
    expected |= {"train/tokens_per_second", "train/seconds", "parameters", "ceiling"}
    if task == "generate":
        expected.add("test/bits_per_byte_note")  # it holds words that training never showed
    assert set(metrics) == expected
    assert all(isinstance(value, int | float | str) for value in metrics.values())
    told = capsys.readouterr().out
    assert {"classify": "h_n[-1]", "generate": "output", "translate": "(h_n, c_n)"}[task] in told
    assert f"predict checkpoint={folder}/checkpoints/best.ckpt" in told
    assert re.search(r"\S+ \S+ (beats|does not beat) the strongest baseline, ", told.splitlines()[-1])
    assert told.splitlines()[-1] in (folder / "train.log").read_text().splitlines()[-1]


def test_a_run_without_baselines_has_none_and_judges_nothing(capsys):
    main(["task=classify", "baselines=off", *SMALL])
    metrics = json.loads((run_folder("classify") / "metrics.json").read_text())
    assert not [key for key in metrics if key.startswith("baseline/")]
    told = capsys.readouterr().out
    assert "measuring baselines" not in told
    assert "the strongest baseline" not in told


def test_an_unknown_value_of_baselines_is_refused_before_training(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["task=classify", "baselines=fulll", *SMALL])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: baselines: got 'fulll'. Did you mean 'full'? Valid: fast, full, off.\n"


def test_a_run_does_without_callbacks_loggers_validation_and_test():
    limits = ["trainer.limit_val_batches=0", "trainer.limit_test_batches=0", "trainer.limit_train_batches=2"]
    main(["~callbacks", "~logger", *limits, *SMALL, "hydra.run.dir=bare", "baselines=off"])
    metrics = json.loads(Path("bare/metrics.json").read_text())
    assert metrics["parameters"] > 0
    assert not any(key.startswith(("val/", "test/")) for key in metrics)


@pytest.mark.parametrize(
    "word", ["trainer.val_check_interval=100", "optimizer.betas=[1,2]", "tokenizer.vocab_size=3", "seed=-1"]
)
def test_a_refused_run_leaves_no_folder(word, capsys):
    with pytest.raises(SystemExit) as stop:
        main([word, *SMALL])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert not Path("runs").exists()


def test_a_sweep_goes_on_after_a_refused_job(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["-m", "tokenizer.vocab_size=3,100", "hydra.sweep.dir=s", "trainer.limit_train_batches=2", *SMALL])
    assert stop.value.code == 2
    assert "error: refused, of the jobs of this sweep: 0; their logs say why." in capsys.readouterr().err
    assert "vocab_size" in Path("s/0/train.log").read_text()
    assert Path("s/1/metrics.json").is_file()


def test_runs_do_not_overwrite_each_other():
    for _ in range(2):
        main(["debug=limited", *SMALL])
    assert len(list(Path("runs/classify").iterdir())) == 2


def test_a_run_folder_in_use_is_refused(capsys):
    arguments = ["debug=limited", "hydra.run.dir=mine", *SMALL]
    main(arguments)
    before = {path: path.stat().st_mtime_ns for path in Path("mine").rglob("*")}
    for words in (
        ["hydra.run.dir=mine"],
        ["hydra.run.dir='mine'"],
        ["-m", "hydra.sweep.dir='mine'"],
        ["-m", "hydra.sweep.dir=."],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*words, "debug=limited", *SMALL])
        assert stop.value.code == 2
        assert "'mine' already holds a run" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in Path("mine").rglob("*")}


def test_states_are_not_dropped_where_rows_carry_none(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["task=generate", "task.drop_state=0.1", *SMALL])
    assert stop.value.code == 2
    assert "error: task.drop_state=0.1: only a continuous stream carries states" in capsys.readouterr().err
    assert not list(Path("runs").rglob("*.ckpt"))


@pytest.mark.parametrize("task", ["generate", "translate"])
def test_what_a_model_cannot_learn_from_is_refused_before_the_first_step(task, capsys):
    with pytest.raises(SystemExit) as stop:
        main([f"task={task}", "model.softmax=adaptive", "model.cutoffs=[9]", "task.label_smoothing=0.1", *SMALL])
    assert stop.value.code == 2
    assert "error: task.label_smoothing=0.1 needs a full softmax. Set model.softmax=full" in capsys.readouterr().err
    assert not list(Path("runs").rglob("*.ckpt"))


STOP_AND_RESUME = {
    "classify": ["task=classify", "model.input_dropout=0.3", "model.output_dropout=0.3", "data.batch_size=16"],
    "stream": [
        "task=generate",
        "data.carry_state=true",
        "data.window=7",
        "data.batch_size=8",
        "model.output_dropout=0.3",
    ],
    "translate": ["task=translate", "model.output_dropout=0.3", "data.batch_size=16"],
}
SECOND_EPOCH = ["trainer.limit_train_batches=5"]  # which the 7th step is in
STOP_AND_RESUME |= {
    "stream, second epoch": [*STOP_AND_RESUME["stream"], *SECOND_EPOCH],
    "classify, second epoch, a worker": [*STOP_AND_RESUME["classify"], "data.num_workers=1", *SECOND_EPOCH],
}


@pytest.mark.parametrize("case", sorted(STOP_AND_RESUME))
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_same_weights(case, number, capsys):
    given = [*STOP_AND_RESUME[case], *SMALL]
    main([*given, "hydra.run.dir=whole"])
    killer = f"+callbacks.killer={{_target_: lstm_readout_test_tools.SendSignal, step: 7, number: {int(number)}}}"
    with pytest.raises(SystemExit) as stop:
        main([*given, killer, "hydra.run.dir=part"])
    assert stop.value.code == 128 + number
    assert "resume=part" in capsys.readouterr().out
    main(["resume=part", "callbacks.killer=null"])
    whole, rest = (
        torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for folder in ("whole", "part")
    )
    assert whole.keys() == rest.keys()
    for name in whole:
        assert torch.equal(whole[name], rest[name]), name


BETWEEN_EPOCHS = {
    "classify": STOP_AND_RESUME["classify"],
    "classify, a worker": [*STOP_AND_RESUME["classify"], "data.num_workers=1"],
    "stream": [*STOP_AND_RESUME["stream"], "callbacks=early_stopping"],
}


@pytest.mark.parametrize("case", sorted(BETWEEN_EPOCHS))
def test_a_run_stopped_between_epochs_goes_on_to_the_same_weights(case):
    given = [*BETWEEN_EPOCHS[case], *SMALL]
    main([*given, "hydra.run.dir=whole"])
    killer = "+callbacks.killer={_target_: lstm_readout_test_tools.FailAfterEpoch, epoch: 0}"
    with pytest.raises(SystemExit) as stop:
        main([*given, killer, "hydra.run.dir=part"])
    assert stop.value.code == 1
    main(["resume=part", "callbacks.killer=null"])
    whole, rest = (
        torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for folder in ("whole", "part")
    )
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_a_resumed_run_fits_no_tokenizer_again(monkeypatch):
    given = ["task=classify", "tokenizer=unigram", "tokenizer.vocab_size=400", "data.cache=false", *SMALL]
    killer = "+callbacks.killer={_target_: lstm_readout_test_tools.FailAfterEpoch, epoch: 0}"

    def tokens():
        saved = torch.load("part/checkpoints/last.ckpt", weights_only=True)["hyper_parameters"]["vocabulary"]
        return Vocabulary.from_dict(saved).tokenizers["text"].tokens

    with pytest.raises(SystemExit):
        main([*given, killer, "hydra.run.dir=part"])
    before = tokens()

    def refit(*arguments, **options):
        raise AssertionError("two trainings of a unigram tokenizer differ")

    monkeypatch.setattr(TextTokenizer, "train", refit)
    main(["resume=part", "callbacks.killer=null"])
    assert tokens() == before


def test_resuming_what_is_no_run_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["resume=nowhere"])
    assert stop.value.code == 2
    assert "'nowhere' is not a run folder" in capsys.readouterr().err
