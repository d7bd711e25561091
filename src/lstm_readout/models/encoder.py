"""Token ids go in, ``LSTMOutput`` comes out: an embedding and an LSTM, which all three models hold.

Shapes: B rows, T steps, E embedding_size; packed data is (tokens, ...), the steps of all rows one after another.
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.engine import Engine, reversal, row_of_token
from lstm_readout.errors import UserError
from lstm_readout.lstm import LSTM, Cell, LSTMOutput, LSTMState, with_data


class EncoderArguments(TypedDict, total=False):
    """Every size and switch of an ``Encoder``, by name: what ``model.…`` sets from the command line."""

    embedding_size: int
    embedding_std: float
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    cell: Cell
    forget_bias: float
    engine: Engine
    word_dropout: float
    input_dropout: float


class Encoder(nn.Module):
    """An embedding and the LSTM that reads it.

    Args:
        vocab_size: number of token ids.
        embedding_size: E, which is the LSTM's ``input_size``.
        embedding_std: scale of the first, random embedding; 1 is that of ``nn.Embedding``.
        hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, cell, forget_bias, engine:
            see ``LSTM``.
        word_dropout: probability that a word is left out wherever it stands in the batch (a zeroed row of the
            embedding matrix; Gal and Ghahramani 2016, "A Theoretically Grounded Application of Dropout in RNNs").
        input_dropout: probability for each feature of the embedding, one mask a row for all of its steps (same source).

    Raises:
        UserError: for ``word_dropout`` or ``input_dropout`` out of range.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_size: int = 128,
        embedding_std: float = 1.0,
        hidden_size: int = 128,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        cell: Cell = "lstm",
        forget_bias: float = 0.0,
        engine: Engine = "auto",
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, rate in (("word_dropout", word_dropout), ("input_dropout", input_dropout)):
            if not 0 <= rate < 1:
                raise UserError(f"{name}: wanted 0 or more and less than 1, got {rate}.")
        self.word_dropout = word_dropout
        self.input_dropout = input_dropout
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_std)
        self.lstm = LSTM(
            embedding_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            cell=cell,
            forget_bias=forget_bias,
            engine=engine,
        )

    def forward(self, token_ids: Tensor | PackedSequence, state: LSTMState | None = None) -> LSTMOutput:
        """Read token ids: packed (tokens,), or a Tensor (T, B), (B, T) with ``batch_first``."""
        if not isinstance(token_ids, PackedSequence):
            vectors = self.embed(token_ids)
            time = 1 if self.lstm.rnn.batch_first and vectors.dim() == 3 else 0
            return self.lstm(self.drop_features(vectors, time), state)
        vectors = self.embed(token_ids.data)  # (tokens, E)
        if self.training and self.input_dropout:
            mask = self._mask(vectors[: int(token_ids.batch_sizes[0])])  # (B, E)
            vectors = vectors * mask[row_of_token(token_ids)]
        return self.lstm(with_data(token_ids, vectors), state)

    def drop_features(self, vectors: Tensor, time: int = 0) -> Tensor:
        """Drop features of dense vectors while training, the same ones at all steps of a row: (T, B, E) alike."""
        if not (self.training and self.input_dropout):
            return vectors
        return vectors * self._mask(vectors.select(time, 0)).unsqueeze(time)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Look up (...) ids as (..., E) vectors, words left out at random while training."""
        vectors = self.embedding(token_ids)
        if not (self.training and self.word_dropout):
            return vectors
        kept = vectors.new_empty(self.embedding.num_embeddings, 1).bernoulli_(1 - self.word_dropout)
        return vectors * (kept / (1 - self.word_dropout))[token_ids]

    def _mask(self, first_step: Tensor) -> Tensor:
        """Draw which features each row keeps in all of its steps, scaled: (B, E) -> (B, E)."""
        return torch.empty_like(first_step).bernoulli_(1 - self.input_dropout) / (1 - self.input_dropout)


def reversed_rows(packed: PackedSequence) -> PackedSequence:
    """Turn each row around, its own last token first; lengths and order of the rows stay."""
    return with_data(packed, packed.data[reversal(packed)])
