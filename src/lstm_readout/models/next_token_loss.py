"""What a language model's head reads and the next tokens go in, their loss comes out.

Logits exist for a block of tokens at a time: see ``linear_cross_entropy``. Shapes: O width of ``output``.
"""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.nn.head import head_loss
from lstm_readout.nn.packed import step_before


class LossOptions(TypedDict, total=False):
    """The options of ``LanguageModel.loss``: see ``next_token_loss``."""

    label_smoothing: float
    scored: Tensor | None
    activation: float
    temporal_activation: float


def next_token_loss(
    head: nn.Module,
    dropout: nn.Module,
    output: PackedSequence,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    scored: Tensor | None = None,
    activation: float = 0.0,
    temporal_activation: float = 0.0,
) -> Tensor:
    """Return the mean cross-entropy of the next tokens, in nats.

    Args:
        head: scores the vocabulary.
        dropout: drops features of ``output`` while training.
        output: packed (tokens, O).
        targets: the token after every scored step, (predictions,), in the packed order.
        label_smoothing: share of the target probability spread over the vocabulary.
        scored: (predictions,) the packed steps that the targets follow; None: all. The others only advance the state.
        activation, temporal_activation: weights of two penalties while training: the mean square of what the head
            reads, and of the change of ``output`` from one step to the next (Merity, McCann and Socher 2017,
            "Revisiting Activation Regularization for Language RNNs").
    """
    dropped = dropout(output).data
    vectors = dropped if scored is None else dropped[scored]  # (predictions, O)
    loss = head_loss(head, vectors, targets, label_smoothing)
    if dropout.training and (activation or temporal_activation):
        change = output.data[int(output.batch_sizes[0]) :] - output.data[step_before(output)]
        changed = change.square().sum() / max(change.numel(), 1)
        loss = loss + activation * vectors.square().mean() + temporal_activation * changed
    return loss
