"""The README's promise: each line of its table is code of the forward that runs by default, letter for letter."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.nn.utils.rnn import pack_sequence

from lstm_readout import models
from lstm_readout.config.build import build_data, build_task
from lstm_readout.config.values import plain_values

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"generate": models.LanguageModel, "translate": models.Seq2Seq, "classify": models.Classifier}


def promised():
    """Return task -> the README's column "the line"."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    (head,) = (number for number, line in enumerate(lines) if re.match(r"\| *task *\| *reads *\| *the line *\|", line))
    rows = [re.split(r" *\| *", line.strip().strip("|").strip()) for line in lines[head + 2 : head + 5]]
    return {task.strip("`"): line.strip("`") for task, _, line, *_ in rows}


def default_model(task):
    """Build the model of a run on which nothing is overridden."""
    with initialize_config_dir(str(ROOT / "configs"), version_base=None):
        config = compose("train", [f"task={task}"])
    del config.callbacks, config.logger, config.trainer
    values = plain_values(config)
    data = build_data(values)
    return build_task(values, data).model


def executed(function, call):
    """Return the numbers of the lines of ``function`` that run during ``call()``."""
    numbers = set()

    def trace(frame, event, _):
        if frame.f_code is not function.__code__:
            return None
        if event == "line":
            numbers.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return numbers


def test_the_readme_promises_a_line_for_each_task():
    assert set(promised()) == set(MODELS)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("task", MODELS)
def test_the_line_stands_in_the_forward_and_runs_by_default(task, training):
    line, model = promised()[task], default_model(task).train(training)
    assert type(model) is MODELS[task]
    source, first = inspect.getsourcelines(MODELS[task].forward)
    code = [text.partition("  #")[0] for text in source]
    (number,) = (first + place for place, text in enumerate(code) if line in text)
    ids = pack_sequence([torch.randint(9, (length,)) for length in (3, 5, 1)], enforce_sorted=False)
    inputs = (ids, ids) if task == "translate" else (ids,)
    assert number in executed(MODELS[task].forward, lambda: model(*inputs))


@pytest.mark.parametrize("task", MODELS)
def test_the_answer_is_found_in_one_short_file(task):
    path = Path(inspect.getsourcefile(MODELS[task]) or "")
    assert path.name == f"{task}.py"
    text = path.read_text(encoding="utf-8")
    assert promised()[task] in text
    assert len(text.splitlines()) < 80


def test_another_readout_does_not_run_the_line_of_the_default():
    ids = pack_sequence([torch.randint(9, (length,)) for length in (3, 5)], enforce_sorted=False)
    forward = models.Classifier.forward
    for options in ({"readout": "mean"}, {"bidirectional": True}):
        model = models.Classifier(vocab_size=9, num_classes=3, **options)
        source, first = inspect.getsourcelines(forward)
        (number,) = (first + place for place, text in enumerate(source) if promised()["classify"] in text)
        assert number not in executed(forward, lambda model=model: model(ids))
