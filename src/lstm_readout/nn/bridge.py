"""An encoder's state goes in, a decoder's first state comes out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstm_readout.nn.lstm import LSTM, LSTMState


class Bridge(nn.Module):
    """Fit an encoder's ``(h_n, c_n)`` to a decoder: unchanged where the shapes agree, else by one linear map per layer.

    Decoder layer k reads encoder layer k, counted from the top (the lowest one again where the encoder has fewer
    layers), both directions side by side. h passes through tanh, as every h of an LSTM does; c does not. A gru or rnn
    encoder has no c_n: then an LSTM decoder's c_0 is mapped from h_n.

    Args:
        source: the encoder's LSTM.
        target: the decoder's LSTM.
    """

    def __init__(self, source: LSTM, target: LSTM) -> None:
        super().__init__()
        self.directions = 2 if source.rnn.bidirectional else 1
        source_layers, target_layers = source.rnn.num_layers, target.rnn.num_layers
        self.layers = [max(0, k + source_layers - target_layers) for k in range(target_layers)]
        (h_in, c_in), (h_out, c_out) = state_sizes(source), state_sizes(target)
        same = (source_layers, h_in, c_in) == (target_layers, h_out, c_out) and self.directions == 1
        self.h, self.c = nn.ModuleList(), nn.ModuleList()
        if not same:
            self.h.extend(nn.Linear(h_in * self.directions, h_out) for _ in self.layers)
            if c_out is not None:
                c_in = h_in if c_in is None else c_in
                self.c.extend(nn.Linear(c_in * self.directions, c_out) for _ in self.layers)

    def forward(self, state: LSTMState) -> LSTMState:
        """Map the encoder's (L * D, B, size) to the decoder's (L', B, size')."""
        if not self.h:
            return state
        h = torch.stack([torch.tanh(linear(x)) for linear, x in zip(self.h, self._by_layer(state.h), strict=True)])
        if not self.c:
            return LSTMState(h)
        cells = self._by_layer(state.h if state.c is None else state.c)
        return LSTMState(h, torch.stack([linear(x) for linear, x in zip(self.c, cells, strict=True)]))

    def _by_layer(self, part: Tensor) -> list[Tensor]:
        layers = part.unflatten(0, (-1, self.directions))  # (L, D, B, size)
        return [torch.cat(tuple(layers[k]), dim=-1) for k in self.layers]  # each (B, D * size)


def state_sizes(lstm: LSTM) -> tuple[int, int | None]:
    """Return the widths of one layer's h and c; None where the cell has no c."""
    rnn = lstm.rnn
    return rnn.proj_size or rnn.hidden_size, rnn.hidden_size if lstm.cell == "lstm" else None
