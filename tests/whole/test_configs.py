"""What stands in configs/ works: each choice of each group composes and trains a few steps."""

import itertools
import os
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from lstm_readout.commands.train import main
from lstm_readout.config.check import check_targets
from lstm_readout.tokenizer import TextTokenizer
from lstm_readout_test_tools import has_torchtext

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = ["debug=limited", "model.hidden_size=16", "model.embedding_size=8"]
CORPORA = ["imdb", "multi30k", "tinyshakespeare", "trec"]
TASKS = ["classify", "generate", "translate"]
SERVES = {"imdb": {"classify", "generate"}, "trec": {"classify", "generate"}, "tinyshakespeare": {"generate"}}
SERVES["multi30k"] = {"translate", "generate"}
NEEDS = {"tokenizer=file": ["tokenizer.path=tokenizer.json"]}
BEGINS_WITH = {  # a language model, which gives the sizes
    "imdb_transfer_gpu": "imdb_words_gpu",
    "imdb_transfer_hour": "imdb_words_hour",
    "trec_hour": "imdb_words_hour",
    "trec_transfer": "imdb_words",
}


def choices(group):
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _real_data():
    if not os.environ.get("LSTM_READOUT_DATA"):
        pytest.skip("LSTM_READOUT_DATA is not set")


def runs():
    """A task and a choice of a group; a choice that knows nothing of tasks is trained with one of them."""
    for group in ("optimizer", "scheduler", "tokenizer", "logger", "debug"):
        marks = () if group in ("optimizer", "scheduler") else pytest.mark.slow
        for number, choice in enumerate(choices(group)):
            if (group, choice) != ("tokenizer", "base"):  # the part that all tokenizers share
                yield pytest.param(TASKS[number % len(TASKS)], group, choice, marks=marks)
    for group, task in itertools.product(("callbacks", "doctor"), TASKS):
        yield from (pytest.param(task, group, choice, marks=pytest.mark.slow) for choice in choices(group))


@pytest.mark.parametrize(("task", "group", "choice"), [*runs()])
def test_every_choice_trains_a_few_steps(task, group, choice):
    if choice == "torchtext" and not has_torchtext():
        pytest.skip("tests/torchtext_lane")
    TextTokenizer.train(["some words of a tokenizer"], kind="bpe").backend.save("tokenizer.json")
    small = [argument for argument in SMALL if not (group == "debug" and argument.startswith("debug"))]
    main([f"task={task}", f"{group}={choice}", *NEEDS.get(f"{group}={choice}", []), "data.max_rows=200", *small])


@pytest.mark.parametrize(
    "overrides",
    [
        ["task=classify", "model.bidirectional=true", "model.num_layers=2", "model.dropout=0.1"],
        ["task=classify", "model.cell=gru", "data.max_tokens=300", "model.chrono_init=50"],
        ["task=classify", "task.adversarial=0.5", "model.word_dropout=0.1", "model.readout=concat"],
        ["task=classify", "model.proj_size=5", "model.batch_first=true", "model.bias=false"],
        ["task=generate", "data.carry_state=true", "data.window=20", "data.batch_size=4"],
        ["task=generate", "model.cell=rnn", "model.num_layers=2", "model.batch_first=true"],
        ["task=translate", "model.bidirectional=true", "model.encoder.num_layers=2", "model.decoder.hidden_size=24"],
        ["task=translate", "model.encoder.cell=gru", "model.decoder.proj_size=7", "model.reverse_source=true"],
        ["task=translate", "model.feed_state=true", "model.bidirectional=true"],
        ["task=translate", "model.batch_first=true", "model.forget_bias=1.0", "task.label_smoothing=0.1"],
        ["task=translate", "model.forget_bias=0.0", "model.encoder.chrono_init=20"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_every_shape_of_model_trains_a_few_steps(overrides):
    main([*SMALL, "data.max_rows=200", *overrides])


DATA = "files, imdb, multi30k, sample, tinyshakespeare, trec"
TOKENIZERS = "basic_english, bpe, byte, char, file, torchtext, unigram, whitespace, word, wordpiece"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=lstm"], "model=lstm: this file is a part of other choices. Valid: classify, generate, translate."),
        (["model=translate/side"], "model=translate/side: this file is a part of other choices. Did you mean 'tr"),
        (["data=base"], f"data=base: this file is a part of other choices. Valid: {DATA}."),
        (["-m", "tokenizer=word,base"], f"tokenizer=base: this file is a part of other choices. Valid: {TOKENIZERS}."),
        (["experiment=mine", "--config-dir=own"], f"data=base: this file is a part of other choices. Valid: {DATA}."),
        (["model=lst"], "Could not find 'model/lst'. Valid: classify, generate, translate."),
        (["data=bas"], f"Could not find 'data/bas'. Valid: {DATA}."),
        (["sed=1", "data=base"], "Could not find 'sed'. Did you mean 'seed'?"),
        (["sed=1", "data=base"], f"       data=base: this file is a part of other choices. Valid: {DATA}."),
    ],
)
def test_a_part_of_other_choices_is_no_choice(arguments, message, capsys):
    Path("own/experiment").mkdir(parents=True)
    Path("own/experiment/mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /data: base\n")
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["own"]


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes(experiment):
    with initialize_config_module("lstm_readout.configs", version_base="1.3"):
        config = compose("train", [f"experiment={experiment}"])
    for name in ("task", "model", "data", "tokenizer", "optimizer", "scheduler"):
        check_targets(OmegaConf.create({"model": config.model, name: config[name]}))


@pytest.mark.parametrize("experiment", sorted(BEGINS_WITH))
def test_an_experiment_that_begins_with_a_language_model_says_which_is_missing(experiment, capsys):
    with pytest.raises(SystemExit) as stop:
        main([f"experiment={experiment}", "data=sample"])
    assert stop.value.code == 2
    wanted = "error: init_from: must be given: the run folder or a checkpoint of a language model (task=generate), "
    assert wanted + "for example init_from=runs/generate/..." in capsys.readouterr().err
    assert f"the run folder of experiment={BEGINS_WITH[experiment]}" in (
        CONFIGS / "experiment" / f"{experiment}.yaml"
    ).read_text(encoding="utf-8")
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("_real_data")
@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_trains_a_few_steps(experiment):
    small, begins = [*SMALL, "model.embedding_size=16"], []  # of one width, for what ties them
    if experiment in BEGINS_WITH:
        main([f"experiment={BEGINS_WITH[experiment]}", "data.max_rows=500", "hydra.run.dir=lm", *small])
        begins = ["init_from=lm"]
    main([f"experiment={experiment}", "data.max_rows=500", *small, *begins])


@pytest.mark.usefixtures("_real_data")
@pytest.mark.parametrize(("corpus", "task"), [(c, t) for c in CORPORA for t in TASKS])
def test_a_corpus_serves_every_task_whose_roles_it_has(corpus, task, capsys):
    arguments = [f"task={task}", f"data={corpus}", "data.max_rows=300", "tokenizer.max_length=60", *SMALL]
    if task in SERVES[corpus]:
        main(arguments)
    else:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "has no column" in capsys.readouterr().err
