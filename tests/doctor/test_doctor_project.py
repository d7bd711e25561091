"""This project's own tasks: nothing is found in any shape of model, and what is broken on purpose is."""

import itertools
import random

import numpy as np
import pytest
import torch

from lstm_readout.doctor import tasks as project
from lstm_readout.inference.decoding import beam_search
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.tasks import ClassifyTask, GenerateTask, TranslateTask
from lstm_readout.tokenizer import EOS, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged

V = 40
CELLS = ["lstm", "gru", "rnn"]
READOUTS = ["last", "last_step", "mean", "max", "attention", "concat", "first_layer", "cell"]
SHAPES = [
    {"cell": cell, "num_layers": layers, "bidirectional": bidirectional}
    for cell, layers, bidirectional in itertools.product(CELLS, [1, 2], [False, True])
] + [{"proj_size": 3, "num_layers": layers, "bidirectional": both} for layers, both in [(1, False), (3, True)]]
MORE = [
    {"embedding_std": 0.1, "forget_bias": 1.0, "word_dropout": 0.2, "input_dropout": 0.3, "output_dropout": 0.3},
    {"batch_first": True, "bias": False, "num_layers": 2, "dropout": 0.2},
]
TEXTS = {
    "texts": [[*range(3, 3 + length), EOS] for length in (5, 9, 1, 14, 30, 7, 22, 3)],
    "one text": [[*range(3, 20), EOS]],
    "two texts": [[4, 5, 6, EOS], [7, EOS]],
    "one length": [[i, i + 1, i + 2, EOS] for i in range(3, 12)],
    "empty texts": [[EOS]] * 6,
    "one empty text": [[EOS]],
    "one document": [[*(np.arange(500) % 30 + 3).tolist(), EOS]],
}


def build(kind, **options):
    vocabulary = Vocabulary({}, ["a", "b", "c"])
    sizes = {"embedding_size": 6, "hidden_size": 8, **options}
    if kind == "classify":
        return ClassifyTask(model=Classifier(vocab_size=V, num_classes=3, **sizes), vocabulary=vocabulary)
    if kind == "generate":
        sizes.pop("bidirectional", None)
        return GenerateTask(model=LanguageModel(vocab_size=V, **sizes), vocabulary=vocabulary)
    return TranslateTask(model=Seq2Seq(source_vocab_size=V, target_vocab_size=V, **sizes), vocabulary=vocabulary)


def splits(texts=TEXTS["texts"]):
    column = Ragged.from_lists(texts)
    return {"train": {"text": column, "source": column, "target": Ragged.from_lists(texts[::-1])}}


def found(task, texts=TEXTS["texts"]):
    report = project.examine_task(task, splits(texts), untrained=True)
    return (report.failed, report.warned), report


@pytest.mark.parametrize("options", [*SHAPES, *MORE], ids=str)
@pytest.mark.parametrize("kind", ["classify", "generate", "translate"])
def test_nothing_is_found_in_any_shape_of_model(kind, options):
    outcome, report = found(build(kind, **options))
    assert outcome == ([], []), str(report)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": {"bidirectional": True, "num_layers": 2}, "decoder": {"hidden_size": 5}},
        {"encoder": {"cell": "gru"}, "decoder": {"proj_size": 4}, "reverse_source": True},
        {"encoder": {"num_layers": 1}, "decoder": {"num_layers": 3}},
        {"encoder": {"num_layers": 3}, "decoder": {"num_layers": 1, "cell": "rnn"}},
        {"attention": "dot", "num_layers": 2},
        {"attention": "general", "bidirectional": True, "input_feeding": True},
        {"feed_state": True, "num_layers": 2},
        {"attention": "additive", "cell": "gru", "reverse_source": True, "batch_first": True},
    ],
    ids=str,
)
def test_nothing_is_found_in_a_translator_of_two_kinds(options):
    outcome, report = found(build("translate", **options))
    assert outcome == ([], []), str(report)


@pytest.mark.parametrize("kind", ["generate", "translate"])
def test_the_log_probabilities_of_an_adaptive_softmax_are_meant(kind):
    outcome, report = found(build(kind, softmax="adaptive", cutoffs=[10]))
    assert outcome == ([], []), str(report)
    assert "adaptive softmax" in report.result("softmax").difference


@pytest.mark.parametrize("name", sorted(TEXTS))
@pytest.mark.parametrize("kind", ["classify", "generate", "translate"])
def test_nothing_is_found_whatever_the_data(kind, name):
    outcome, report = found(build(kind, num_layers=2, bidirectional=kind != "generate"), TEXTS[name])
    assert outcome == ([], []), str(report)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 3}], ids=str)
def test_a_readout_that_is_asked_for_stops_nothing(readout, options):
    outcome, report = found(build("classify", readout=readout, **options))
    meant = {"last_step": ["directions"], "first_layer": ["layers"]}
    warned = meant.get(readout, []) if options.get("bidirectional") else []
    assert outcome == ([], warned), str(report)
    for name in warned:
        assert report.result(name).fix == f"model.readout={readout} asks for it; the right one is last."


def test_nothing_of_the_task_changes():
    task = build("generate", output_dropout=0.3)
    kept = LSTMState(torch.ones(1, 2, 8), torch.ones(1, 2, 8))
    task.carried = {"train": kept}
    task.model.dropout.eval()
    weights = {name: value.clone() for name, value in task.state_dict().items()}
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    project.examine_task(task, splits(), untrained=True)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert task.carried == {"train": kept}
    assert not kept.h.requires_grad
    assert (task.training, task.model.training, task.model.dropout.training) == (True, True, False)
    assert all(torch.equal(value, weights[name]) for name, value in task.state_dict().items())
    assert all(parameter.grad is None for parameter in task.parameters())


# What is broken on purpose


class WithGraph(LSTMState):
    def detach(self):
        return self


class Forgets(LSTMState):
    def detach(self):
        return LSTMState(torch.zeros_like(self.h), torch.zeros_like(self.c))


@pytest.mark.parametrize(("state", "told"), [(WithGraph, "the carried state has a graph"), (Forgets, "in one piece")])
def test_a_state_that_is_carried_wrongly_is_found(monkeypatch, state, told):
    task = build("generate")
    loss = task.model.loss

    def broken(*given, **options):
        value, last = loss(*given, **options)
        return value, state(*last)

    monkeypatch.setattr(task.model, "loss", broken)
    outcome, report = found(task)
    assert outcome == (["carried"], [])
    assert told in report.result("carried").difference


def test_a_translator_that_loses_the_state_of_a_hypothesis_is_found(monkeypatch):
    def shuffled(decoder, state, beam_size, max_length):
        found = beam_search(decoder, state, beam_size, max_length)
        return [[hypothesis._replace(score=hypothesis.score - 0.5) for hypothesis in one] for one in found]

    monkeypatch.setattr(project, "beam_search", shuffled)
    outcome, report = found(build("translate"))
    assert outcome == (["beam"], []), str(report)


class Flipped(Classifier):
    """Reads the neighbour's state."""

    def forward(self, token_ids):
        return super().forward(token_ids).roll(1, 0)


class Leaky(Classifier):
    def forward(self, token_ids):
        logits = super().forward(token_ids)
        return logits - logits.mean(0)


@pytest.mark.parametrize(("model", "failed"), [(Flipped, ["order"]), (Leaky, ["rows"])])
def test_a_classifier_of_ones_own_is_examined_as_well(model, failed):
    task = ClassifyTask(model=model(vocab_size=V, num_classes=3), vocabulary=Vocabulary({}, ["a", "b", "c"]))
    outcome, report = found(task)
    assert outcome[0] == failed, str(report)


class Other(ClassifyTask):
    name = "other"


def test_a_task_of_another_project_is_left_alone():
    task = Other(model=Classifier(vocab_size=V, num_classes=3), vocabulary=Vocabulary({}, ["a", "b", "c"]))
    assert project.examine_task(task, splits(), untrained=True) is None
