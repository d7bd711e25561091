"""The table of layers: what a run prints of its model."""

import pytest
import torch
from rich.console import Console
from torch import nn

from lstm_readout.commands.train import main
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.training.callbacks.model_summary import model_table

MODELS = {
    "classify": lambda: Classifier(vocab_size=30, num_classes=3, hidden_size=6),
    "generate": lambda: LanguageModel(vocab_size=30, hidden_size=6, cell="gru"),
    "translate": lambda: Seq2Seq(source_vocab_size=20, target_vocab_size=30, hidden_size=6),
}


def rows_of(table):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("task", sorted(MODELS))
def test_every_module_of_the_model_has_a_row(task):
    model = MODELS[task]()
    heading, *rows = rows_of(model_table(model))
    assert heading.split() == ["layer", "type", "parameters"]
    assert len(rows) == len(list(model.modules()))
    for row, (name, module) in zip(rows, model.named_modules(), strict=True):
        assert row.split()[0] == (name.rpartition(".")[2] or "model")
        assert row.split()[-1] == f"{sum(parameter.numel() for parameter in module.parameters()):,}"
        assert ("nn." in row) == type(module).__module__.startswith("torch.")  # not of a subclass
    cell = "nn.GRU(" if task == "generate" else "nn.LSTM("
    number = sum(isinstance(module, nn.RNNBase) for module in model.modules())
    assert sum(cell in row for row in rows) == number > 0


def test_depth_and_frozen_parameters():
    model = MODELS["classify"]()
    model.encoder.embedding.requires_grad_(False)
    assert [row.split()[0] for row in rows_of(model_table(model, max_depth=0))[1:-1]] == ["model"]
    assert rows_of(model_table(model))[-1].strip() == f"{model.encoder.embedding.weight.numel():,} of them frozen"


@pytest.mark.parametrize("task", sorted(MODELS))
def test_a_run_lists_its_layers_and_no_metrics(task, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    state = torch.get_rng_state()
    main([f"task={task}", "data.max_rows=100", "debug=one_batch", "model.hidden_size=7", "doctor=off"])
    torch.set_rng_state(state)
    printed = capsys.readouterr().out
    assert "nn.LSTM(" in printed
    assert "Metric" not in printed
    assert "FLOPs" not in printed
