"""Initialisation of a recurrent network: an ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` goes in, its parameters change.

PyTorch stacks the gates of a layer: input, forget, cell, output in ``nn.LSTM``; reset, update, new in ``nn.GRU``.
Shapes: H hidden_size, O = proj_size or H.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def open_forget_gates(rnn: nn.RNNBase, value: float) -> None:
    """Add to the bias of the forget gates, so that a cell keeps its state until it learns to forget.

    Jozefowicz, Zaremba and Sutskever 2015, "An Empirical Exploration of Recurrent Network Architectures".
    """
    if isinstance(rnn, nn.LSTM):
        for bias in _named(rnn, "bias_ih"):
            bias[rnn.hidden_size : 2 * rnn.hidden_size] += value


@torch.no_grad()
def spread_time_scales(rnn: nn.RNNBase, longest: float) -> None:
    """Draw for each unit how long it keeps its state, from 1 step to ``longest`` - 1: chrono initialisation.

    ``b_f = log(U(1, longest - 1))`` and ``b_i = -b_f``, each the sum of PyTorch's two biases (Tallec and Ollivier 2018,
    "Can recurrent neural networks warp time?"). In a GRU it is the bias of the update gate, which in PyTorch keeps the
    state.
    """
    size = rnn.hidden_size
    if isinstance(rnn, nn.RNN):
        return
    for to_input, to_hidden in zip(_named(rnn, "bias_ih"), _named(rnn, "bias_hh"), strict=True):
        keep = torch.log(1 + torch.rand(size) * (longest - 2))
        to_input[size : 2 * size], to_hidden[size : 2 * size] = keep, 0.0
        if isinstance(rnn, nn.LSTM):
            to_input[:size], to_hidden[:size] = -keep, 0.0


@torch.no_grad()
def make_orthogonal(rnn: nn.RNNBase) -> None:
    """Make the recurrent matrix of each gate, (H, O), orthogonal, so that it initially preserves vector lengths.

    Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks".
    """
    for matrix in _named(rnn, "weight_hh"):
        for gate in matrix.split(rnn.hidden_size):
            nn.init.orthogonal_(gate)


def _named(rnn: nn.RNNBase, prefix: str) -> list[nn.Parameter]:
    return [parameter for name, parameter in rnn.named_parameters() if name.startswith(prefix)]
