"""One layer, one step: the input and [h, c] go in, the next [h, c] comes out, without checks and without a graph.

Shapes: N rows, I input size, H hidden_size, O = proj_size or H, V vocabulary size, E embedding_size, G gates (4 of an
LSTM, 3 of a GRU, 1 of an RNN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lstm_readout.inference.decoding.products import Product

MakeProduct = Callable[[Tensor, Tensor | None], Product]


class _InputTable:
    """What layer 0 computes from each token, ``embedding @ W_ih.T + biases``: a look-up in place of a product per step.

    A row is computed when its token first occurs, and reused after that: no more products than without a table, and no
    memory for tokens that never occur. A table of up to ``AT_ONCE`` rows is computed whole at the first step.

    Args:
        embedding: (V, E).
        weight: (G * H, E).
        bias: (G * H,), or None.
    """

    AT_ONCE = 512

    def __init__(self, embedding: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        self.embedding, self.weight, self.bias = embedding, weight, bias
        self.rows = embedding.new_empty(len(embedding), len(weight))  # (V, G * H): no memory until it is written
        self.known = torch.zeros(len(embedding), dtype=torch.bool)
        self.complete = False

    def __call__(self, token_ids: Tensor) -> Tensor:
        """Look ids up, into new memory: (N,) -> (N, G * H)."""
        if not self.complete and not self.known.index_select(0, token_ids).all():
            self._fill(token_ids)
        return self.rows.index_select(0, token_ids)

    @torch.inference_mode()
    def _fill(self, token_ids: Tensor) -> None:
        self.complete = len(self.known) <= self.AT_ONCE
        wanted = torch.full_like(self.known, self.complete).index_fill_(0, token_ids, True)
        new = (wanted & ~self.known).nonzero().squeeze(1)
        self.rows[new] = nn.functional.linear(self.embedding[new], self.weight, self.bias)
        self.known[new] = True


Input = Any  # token ids (N,) for layer 0, with input feeding (token ids, fed (N, O)); x (N, I) for other layers


class _FedInput:
    """An ``InputTable`` for an embedding and what is fed beside it; the product of the latter is computed at each step.

    Args:
        embedding: (V, E).
        weight: (G * H, E + O).
        bias: (G * H,), or None.
        make: lays out a weight.
    """

    def __init__(self, embedding: Tensor, weight: Tensor, bias: Tensor | None, make: MakeProduct) -> None:
        width = embedding.shape[1]
        self.table = _InputTable(embedding, weight[:, :width], bias)
        self.fed = make(weight[:, width:].contiguous(), None)

    def __call__(self, x: tuple[Tensor, Tensor]) -> Tensor:
        """Look ids up and add what is fed: (N,) and (N, O) -> (N, G * H)."""
        token_ids, fed = x
        return self.fed.add_to(self.table(token_ids), fed)


class Cell(Protocol):
    """A layer: its ``Input``, and [h (N, O), c (N, H)] of an LSTM or [h] of the others -> the same one step later."""

    def __call__(self, x: Input, state: list[Tensor]) -> list[Tensor]:
        """Advance by one step."""
        ...


class LSTMCell:
    """A layer of an LSTM.

    Args:
        weights: of the layer, by PyTorch's names without the layer: ``weight_ih``, ``weight_hh``, and ``bias_ih``,
            ``bias_hh``, ``weight_hr`` where it has them.
        embedding: (V, E) for layer 0, whose input is token ids; None for the others.
        make: lays out a weight.
    """

    def __init__(self, weights: dict[str, Tensor], embedding: Tensor | None, make: MakeProduct) -> None:
        self.hidden_size = weights["weight_hh"].shape[0] // 4
        projection = weights.get("weight_hr")
        self.project = None if projection is None else make(projection, None)
        # PyTorch's order is input, forget, cell, output: with the cell last, one call computes all three sigmoids
        order = [0, 1, 3, 2]
        gates = {name: torch.cat([w.chunk(4)[k] for k in order]) for name, w in weights.items() if name != "weight_hr"}
        self.gates = _sum_of_products(gates, embedding, make)

    def __call__(self, x: Input, state: list[Tensor]) -> list[Tensor]:
        """Advance by one step."""
        h, c = state
        gates = self.gates(x, h)  # (N, 4H)
        gates[:, : 3 * self.hidden_size].sigmoid_()
        i, f, o, g = gates.chunk(4, dim=1)
        c = (f * c).addcmul_(i, g.tanh_())
        h = c.tanh().mul_(o)
        return [h if self.project is None else self.project(h), c]


class GRUCell:
    """A layer of a GRU; its arguments are those of ``LSTMCell``."""

    def __init__(self, weights: dict[str, Tensor], embedding: Tensor | None, make: MakeProduct) -> None:
        self.hidden_size = weights["weight_hh"].shape[0] // 3
        weight, bias = weights["weight_ih"], weights.get("bias_ih")
        self.input = make(weight, bias) if embedding is None else _input_of(embedding, weight, bias, make)
        self.recurrent = make(weights["weight_hh"], weights.get("bias_hh"))

    def __call__(self, x: Input, state: list[Tensor]) -> list[Tensor]:
        """Advance by one step."""
        (h,), size = state, self.hidden_size
        from_x, from_h = self.input(x), self.recurrent(h)  # (N, 3H): reset, update, new
        r, z = from_x[:, : 2 * size].add_(from_h[:, : 2 * size]).sigmoid_().chunk(2, dim=1)
        n = torch.addcmul(from_x[:, 2 * size :], r, from_h[:, 2 * size :]).tanh_()
        return [torch.lerp(n, h, z)]


class RNNCell:
    """A layer of an RNN with tanh; its arguments are those of ``LSTMCell``."""

    def __init__(self, weights: dict[str, Tensor], embedding: Tensor | None, make: MakeProduct) -> None:
        self.gates = _sum_of_products(weights, embedding, make)

    def __call__(self, x: Input, state: list[Tensor]) -> list[Tensor]:
        """Advance by one step."""
        (h,) = state
        return [self.gates(x, h).tanh_()]


def _sum_of_products(
    weights: dict[str, Tensor], embedding: Tensor | None, make: MakeProduct
) -> Callable[[Input, Tensor], Tensor]:
    """Return a function of x and h that gives ``x @ W_ih.T + h @ W_hh.T + biases``; x is the ``Input``."""
    weight_ih, weight_hh = weights["weight_ih"], weights["weight_hh"]
    bias = weights["bias_ih"] + weights["bias_hh"] if "bias_ih" in weights else None
    if embedding is None:
        both = make(torch.cat((weight_ih, weight_hh), dim=1), bias)
        return lambda x, h: both(torch.cat((x, h), dim=1))
    table, recurrent = _input_of(embedding, weight_ih, bias, make), make(weight_hh, None)
    return lambda x, h: recurrent.add_to(table(x), h)


def _input_of(embedding: Tensor, weight: Tensor, bias: Tensor | None, make: MakeProduct) -> Callable[[Input], Tensor]:
    """Return what layer 0 computes from its ``Input``."""
    if weight.shape[1] == embedding.shape[1]:
        return _InputTable(embedding, weight, bias)
    return _FedInput(embedding, weight, bias, make)
