"""Adversarial training: a classifier and a batch go in, the loss on documents and on adversarial examples comes out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.models.classify import Classifier
from lstm_readout.nn.packed import row_of_token

SMALLEST = 1e-12  # norm of a gradient that still has a direction


def adversarial_loss(
    model: Classifier, token_ids: PackedSequence, loss: Callable[[Tensor], Tensor], length: float
) -> Tensor:
    """Return the mean of two losses: on the documents, and on the same documents perturbed to increase it most.

    The embedding vectors v of a whole document are perturbed by ``r = length * g / |g|``, where g is the gradient of
    the loss with respect to v (Miyato, Dai and Goodfellow 2017, "Adversarial Training Methods for Semi-Supervised Text
    Classification", section 3; there the embedding is normalised as well). The perturbed documents get new dropout
    masks.

    Args:
        model: its parameters get gradients from the returned loss; r does not.
        token_ids: packed (tokens,), B documents.
        loss: logits (B, C) -> mean loss.
        length: norm of each document's r, in units of the embedding.
    """
    weight = model.encoder.embedding.weight  # (V, E)
    still = weight.new_zeros(len(token_ids.data), weight.shape[1], requires_grad=True)
    clean = loss(model(token_ids, still))
    (gradient,) = torch.autograd.grad(clean, still, retain_graph=True)  # (tokens, E)
    row = row_of_token(token_ids)
    squares = gradient.new_zeros(int(token_ids.batch_sizes[0])).index_add_(0, row, gradient.square().sum(-1))
    norm = squares.sqrt().clamp(min=SMALLEST)[row].unsqueeze(1)
    return (clean + loss(model(token_ids, length * gradient / norm))) / 2
