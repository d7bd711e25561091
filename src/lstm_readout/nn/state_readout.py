"""What a decoder without attention can read from its source at each step: its own first state.

Shapes: B sources, O width of the decoder's output, N tokens of the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.nn.attention import Grid, Memory
from lstm_readout.nn.bridge import state_sizes
from lstm_readout.nn.lstm import LSTM, LSTMState


class StateReadout(nn.Module):
    """The decoder's output joined with its first state: ``h~ = tanh(W_s [h_0; c_0] + W_h h_t + b)``.

    Each word is thus generated from the summary itself, not from what earlier steps have left of it (Cho et al. 2014,
    "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", section 2.2). The
    form is that of Luong et al. 2015, equation 5, with the state in place of what attention reads.

    Args:
        lstm: the decoder's; the state is its h_0 of all layers, and c_0 where the cell has one.
        dropout: probability for each feature of the state.
    """

    def __init__(self, lstm: LSTM, dropout: float = 0.0) -> None:
        super().__init__()
        h, c = state_sizes(lstm)
        self.dropout = nn.Dropout(dropout)
        self.state = nn.Linear(lstm.rnn.num_layers * (h + (c or 0)), lstm.output_size)
        self.query = nn.Linear(lstm.output_size, lstm.output_size, bias=False)

    def remember(self, state: LSTMState, _: PackedSequence) -> Memory:
        """Project the first state once for all steps: a memory of one step, (B, 1, O)."""
        both = torch.cat([part for part in state if part is not None], dim=-1)  # (L, B, features)
        values = self.state(self.dropout(both.transpose(0, 1).flatten(1))).unsqueeze(1)
        return Memory(values, values, values.new_ones(values.shape[:2], dtype=torch.bool))

    def forward(self, output: Tensor, grid: Grid, memory: Memory) -> Tensor:
        """Read the state of its source from each token of the decoder: (N, O) -> (N, O)."""
        return torch.tanh(self.query(output) + memory.values.squeeze(1)[grid.places // grid.width])
