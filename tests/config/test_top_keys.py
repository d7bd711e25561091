"""Keys at the top of a configuration: what nothing reads is refused, wherever it stands."""

import pytest

from lstm_readout.config.check import check_jobs
from lstm_readout.config.jobs import read_command_line
from lstm_readout.errors import UserError

RECIPES = {
    "mine": "optimizer:\n  lr: 0.1\n",
    "typo": "# @package _global_\noptimiser: {lr: 0.1}\nbatch_size: 7\n",
    "referred": "# @package _global_\nsizes: {a: 8}\nmodel: {hidden_size: '${sizes.a}'}\n",
    "of_compare": "# @package _global_\nseeds: [3]\n",
}


@pytest.fixture
def check(tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    for name, text in RECIPES.items():
        (folder / f"{name}.yaml").write_text(text)

    def jobs_of(command, *words):
        arguments = [*words, "--config-dir", str(tmp_path)]
        line = read_command_line(arguments, run=check, config_name=command, config_module="lstm_readout.configs")
        check_jobs(line.jobs)
        return line.jobs

    return jobs_of


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "+typo=1"], "Could not find 'typo'."),
        (["train", "++optimiser.lr=1"], "Could not find 'optimiser'. Did you mean 'optimizer'?"),
        (["train", "+jobs=3"], "Could not find 'jobs'."),
        (["train", "+experiment.x=1"], "'experiment' names a file and has no keys of its own. Write experiment=NAME."),
        (["train", "experiment=mine"], "experiment=mine: nothing in this file is used"),
        (["train", "experiment=typo"], "Could not find 'batch_size'."),
        (["train", "-m", "experiment=referred,typo"], "Could not find 'optimiser'."),
        (["train", "+callbacks.patience=3"], "callbacks.patience: it has no _target_"),
        (["train", "+vectors.path=x"], "vectors: it has no _target_, so nothing is built from it."),
        (["train", "~optimizer"], "optimizer: it cannot be left out. Choose one: optimizer=adamw, optimizer=sgd."),
        (["train", "optimizer=null"], "'optimizer=null' names no file. To leave the group out, write ~optimizer."),
        (["predict", "checkpoint=x", "+seed=3"], "Could not find 'seed'."),
        (["predict", "checkpoint=null"], "checkpoint: must be given, for example checkpoint=..."),
        (["explain", "+typo=1"], "Could not find 'typo'."),
        (["compare", "~variants"], "variants: it cannot be left out."),
    ],
)
def test_what_nothing_reads_is_refused(check, words, message):
    with pytest.raises(UserError) as refused:
        check(*words)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "+trainer.min_epochs=1"],  # its target takes it
        ["train", "experiment=of_compare"],  # a recipe for a comparison
        ["train", "~callbacks", "~logger", "~scheduler", "~vectors", "~settings"],
        ["compare", "experiment=of_compare"],
        ["explain", "experiment=imdb"],  # a recipe for a training
        ["predict", "checkpoint=x", "pipeline=generate", "max_tokens=3"],
        ["doctor", "~model", "~data", "~tokenizer", "checkpoint=x"],  # the checkpoint has them
    ],
)
def test_what_something_reads_is_not(check, words):
    check(*words)


def test_a_key_that_another_refers_to(check):
    assert check("train", "experiment=referred")[0].model.hidden_size == 8
