"""Groups of parameters: the layer of each, what decays, how fast each learns; and layers that are unfrozen in turn."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from torch import nn
from torch.optim import SGD, Adagrad, AdamW

from lstm_readout.commands.train import main
from lstm_readout.errors import UserError
from lstm_readout.models import Classifier, LanguageModel, Seq2Seq
from lstm_readout.training.callbacks.gradual_unfreezing import GradualUnfreezing
from lstm_readout.training.optimizers import adamw, sgd
from lstm_readout.training.parameter_groups import build_optimizer, layers_below_head
from lstm_readout.training.schedules import one_cycle

SIZES = {"embedding_size": 4, "hidden_size": 4}


def depths(model):
    return layers_below_head(name for name, _ in model.named_parameters())


def of(found, word):
    return {depth for name, depth in found.items() if word in name}


def test_a_classifiers_layers():
    found = depths(
        Classifier(vocab_size=9, num_classes=2, readout="attention", num_layers=3, bidirectional=True, **SIZES)
    )
    assert of(found, "head") == of(found, "readout") == {0}
    assert [of(found, f"_l{layer}") for layer in range(3)] == [{3}, {2}, {1}]
    assert of(found, "embedding") == {4}


def test_a_language_models_layers():
    assert of(depths(LanguageModel(vocab_size=9, proj_size=3, **SIZES)), "_l0") == {1}
    tied = depths(LanguageModel(vocab_size=9, tied_embeddings=True, **SIZES))
    assert tied["encoder.embedding.weight"] == 2
    assert tied["head.bias"] == 0


def test_a_translators_layers():
    model = Seq2Seq(source_vocab_size=9, target_vocab_size=9, encoder={"num_layers": 2}, attention="general", **SIZES)
    found = depths(model)
    assert found["encoder.lstm.rnn.weight_hh_l1"] == found["decoder.encoder.lstm.rnn.weight_hh_l0"] == 1
    assert found["encoder.lstm.rnn.weight_hh_l0"] == 2
    assert of(found, "embedding") == {3}
    assert of(found, "bridge") == of(found, "decoder.head") == of(found, "attention") == {0}


def test_without_options_the_optimizer_gets_what_it_always_got():
    given = []
    model = nn.Linear(2, 2)

    def optimizer(parameters):
        given.extend(parameters)
        return SGD(model.parameters(), lr=1.0)

    assert len(build_optimizer(optimizer, dict(model.named_parameters())).param_groups) == 1
    assert [id(one) for one in given] == [id(one) for one in model.parameters()]


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda groups: adamw(groups, lr=0.1, weight_decay=0.5),
        lambda groups: sgd(groups, lr=0.1, weight_decay=0.5),
        lambda groups: AdamW(groups, lr=0.1, weight_decay=0.5),
        lambda groups: Adagrad(groups, lr=0.1, weight_decay=0.5),
    ],
    ids=["adamw", "sgd", "torch.optim.AdamW", "torch.optim.Adagrad"],
)
def test_each_parameter_has_the_rate_and_decay_of_its_group(optimizer):
    model = Classifier(vocab_size=9, num_classes=2, num_layers=2, **SIZES)
    named = dict(model.named_parameters())
    built = build_optimizer(optimizer, named, no_decay=["bias", "embedding"], layer_lr_decay=0.5)
    names = {id(parameter): name for name, parameter in named.items()}
    seen = {}
    for group in built.param_groups:
        for parameter in group["params"]:
            seen[names[id(parameter)]] = (group["lr"], group["weight_decay"])
    expected = {
        name: (0.1 * 0.5**depth, 0.0 if "bias" in name or "embedding" in name else 0.5)
        for name, depth in depths(model).items()
    }
    assert seen == expected  # halves: without rounding
    one_cycle(built, total_steps=10, div_factor=2.0)
    assert {group["name"]: group["max_lr"] for group in built.param_groups}["below_head_2"] == 0.1 * 0.25


def test_a_parameter_without_decay_stays_where_no_gradient_moves_it():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    built = build_optimizer(
        lambda groups: adamw(groups, lr=0.1, weight_decay=0.5), dict(model.named_parameters()), no_decay=["bias"]
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    built.step()
    for name, value in model.state_dict().items():
        assert torch.allclose(value, before[name] * (1 if "bias" in name else 1 - 0.1 * 0.5))


def test_what_does_nothing_is_told(caplog):
    named = dict(nn.Linear(2, 2).named_parameters())
    build_optimizer(adamw, named, no_decay=["bias"])
    assert "task.no_decay does nothing here: optimizer.weight_decay is 0" in caplog.text
    caplog.clear()
    build_optimizer(AdamW, named, no_decay=["bias"])  # torch's own default is 0.01
    assert not caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_lr_decay": 0.0}, "task.layer_lr_decay: wanted more than 0 and at most 1, got 0.0."),
        ({"layer_lr_decay": 2.6}, "task.layer_lr_decay: wanted more than 0 and at most 1, got 2.6."),
        ({"no_decay": ["biass"]}, "task.no_decay: no parameter's name contains 'biass'. Did you mean 'bias'?"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UserError) as error:
        build_optimizer(adamw, dict(nn.Linear(2, 2).named_parameters()), **options)
    assert message in str(error.value)


# Whole runs

SMALL = ["task=classify", "data.max_rows=120", "data.batch_size=32", "model.hidden_size=8", "model.embedding_size=8"]
SMALL += ["doctor=off", "trainer.max_epochs=4", "model.num_layers=2"]
GROUPS = ["task.no_decay=[bias]", "task.layer_lr_decay=0.5", "optimizer.weight_decay=0.1", "model.dropout=0.2"]


class KeepMoved(Callback):
    """Write down which parameters each epoch moves."""

    moved: list[set[str]] = []  # noqa: RUF012 (a run builds the callback itself)

    def on_train_epoch_start(self, trainer, pl_module):
        self.before = {name: value.clone() for name, value in pl_module.state_dict().items()}

    def on_train_epoch_end(self, trainer, pl_module):
        now = pl_module.state_dict()
        self.moved.append(
            {name for name, _ in pl_module.named_parameters() if not torch.equal(now[name], self.before[name])}
        )


@pytest.fixture
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_own_folder")
def test_each_epoch_trains_one_layer_more(monkeypatch, capsys):
    monkeypatch.setattr(KeepMoved, "moved", [])
    main([*SMALL, "callbacks=gradual_unfreezing", "+callbacks.keep={_target_: test_parameter_groups.KeepMoved}"])
    every = KeepMoved.moved[-1]
    found = layers_below_head(every)
    assert {depth for depth in found.values()} == {0, 1, 2, 3}
    assert KeepMoved.moved == [{name for name in every if found[name] <= epoch} for epoch in range(4)]
    assert "now training the head and 2 of 3 layers below it" in capsys.readouterr().out


@pytest.mark.usefixtures("_own_folder")
def test_a_stopped_run_goes_on_with_the_same_layers():
    given = [*SMALL, *GROUPS, "callbacks=gradual_unfreezing", "scheduler=slanted_triangular"]
    main([*given, "hydra.run.dir=whole"])
    killer = f"{{_target_: lstm_readout_test_tools.SendSignal, step: 5, number: {int(signal.SIGINT)}}}"
    with pytest.raises(SystemExit):
        main([*given, f"+callbacks.killer={killer}", "hydra.run.dir=part"])
    main(["resume=part", "callbacks.killer=null"])
    whole, part = (
        torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for folder in ("whole", "part")
    )
    assert all(torch.equal(part[name], value) for name, value in whole.items())


def test_several_processes_are_refused():
    with pytest.raises(UserError, match=r"callbacks.unfreeze: only one process can .* Set trainer.devices=1"):
        GradualUnfreezing().setup(SimpleNamespace(world_size=2), nn.Linear(1, 1), "fit")
