"""Adversarial training gives the loss and the gradients of its formula, one document at a time in raw ``torch``."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_sequence
from torch.testing import assert_close

from lstm_readout.models import Classifier
from lstm_readout.tasks.adversarial import adversarial_loss

V, C = 11, 3


def build(**arguments: Any) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(vocab_size=V, num_classes=C, embedding_size=4, hidden_size=5, **arguments).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model


def moved(model: Any, row: Tensor, label: Tensor, length: float, share: float) -> tuple[Tensor, Tensor]:
    """Return the loss of one document as it is and moved against the model, in raw ``torch.nn``."""

    def loss(vectors: Tensor) -> Tensor:
        _, (h_n, _) = model.encoder.lstm.rnn(vectors)
        return cross_entropy(model.head(h_n[-1]), label) * share

    vectors = model.encoder.embedding(row)
    (gradient,) = torch.autograd.grad(loss(vectors), vectors, retain_graph=True)
    return loss(vectors), loss(vectors + length * gradient / gradient.norm())


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.floats(0.01, 3), st.integers(0, 2**16))
def test_it_is_the_mean_of_both_losses_and_the_move_itself_has_no_gradient(lengths, length, seed):
    model, found = build(), []
    torch.manual_seed(seed)
    rows, labels = [torch.randint(V, (n,)) for n in lengths], torch.randint(C, (len(lengths),))
    packed: Any = pack_sequence(rows, enforce_sorted=False)
    ours = adversarial_loss(model, packed, partial(cross_entropy, target=labels), length)
    pairs = [moved(model, row, label, length, 1 / len(rows)) for row, label in zip(rows, labels, strict=True)]
    expected = torch.stack([part for pair in pairs for part in pair]).sum() / 2
    assert_close(ours, expected)
    for loss in (ours, expected):
        found.append(torch.autograd.grad(loss, list(model.parameters()), retain_graph=True))
    assert_close(found[0], found[1])


def test_a_short_move_raises_the_loss_of_every_document():
    model, rows = build(bidirectional=True, num_layers=2), [torch.randint(V, (n,)) for n in (3, 1, 5)]
    packed: Any = pack_sequence(rows, enforce_sorted=False)
    losses: list[Tensor] = []

    def loss(logits: Tensor) -> Tensor:
        losses.append(cross_entropy(logits, torch.tensor([0, 1, 2]), reduction="none"))
        return losses[-1].mean()

    adversarial_loss(model, packed, loss, 1e-3)
    clean, raised = losses
    assert (raised > clean).all()


def test_a_document_whose_loss_nothing_moves_stays_where_it_is():
    model = build()
    torch.nn.init.zeros_(model.head.weight)
    packed: Any = pack_sequence([torch.tensor([3, 4]), torch.tensor([5])])
    score = partial(cross_entropy, target=torch.tensor([0, 1]))
    assert_close(adversarial_loss(model, packed, score, 1.0), score(model(packed)))


@pytest.mark.parametrize("readout", ["last", "mean", "concat"])
def test_every_weight_learns_from_it(readout):
    model = build(readout=readout)
    packed: Any = pack_sequence([torch.arange(V), torch.tensor([3])])
    adversarial_loss(model, packed, partial(cross_entropy, target=torch.tensor([0, 2])), 0.5).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
