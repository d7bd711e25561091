"""Token ids go in, ``LSTMOutput`` comes out: an embedding and an LSTM, which all three models contain.

Shapes: B rows, T steps, E embedding_size; packed data is (tokens, ...), the steps of all rows one after another.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Unpack

from lstm_readout.errors import UserError
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.lstm import LSTM, LSTMArguments, LSTMOutput, LSTMState
from lstm_readout.nn.packed import each_token


class EncoderArguments(LSTMArguments, total=False):
    """Every size and switch of an ``Encoder``, by name: what ``model.…`` sets from the command line."""

    embedding_size: int
    embedding_std: float
    hidden_size: int
    word_dropout: float
    input_dropout: float


class Encoder(nn.Module):
    """An embedding and the LSTM that reads it.

    Args:
        vocab_size: number of token ids.
        embedding_size: E, which is the LSTM's ``input_size``.
        embedding_std: standard deviation of the random embedding; ``nn.Embedding`` has 1.
        hidden_size: see ``LSTM``.
        word_dropout: probability that a word is dropped wherever it occurs in the batch (a zeroed row of the embedding
            matrix; Gal and Ghahramani 2016, "A Theoretically Grounded Application of Dropout in RNNs").
        input_dropout: probability for each feature of the embedding, one mask per row for all of its steps (same
            source).
        lstm: the other arguments of ``LSTM``.

    Raises:
        UserError: for ``word_dropout`` or ``input_dropout`` out of range, or as ``LSTM``.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_size: int = 128,
        embedding_std: float = 1.0,
        hidden_size: int = 128,
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
        **lstm: Unpack[LSTMArguments],
    ) -> None:
        super().__init__()
        for name, rate in (("word_dropout", word_dropout), ("input_dropout", input_dropout)):
            if not 0 <= rate < 1:
                raise UserError(f"{name}: wanted 0 or more and less than 1, got {rate}.")
        self.word_dropout = word_dropout
        self.input_dropout = SequenceDropout(input_dropout, batch_first=lstm.get("batch_first", False))
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        nn.init.normal_(self.embedding.weight, std=embedding_std)
        self.lstm = LSTM(embedding_size, hidden_size, **lstm)

    def forward(
        self,
        token_ids: Tensor | PackedSequence,
        state: LSTMState | None = None,
        perturbation: Tensor | None = None,
    ) -> LSTMOutput:
        """Read token ids: packed (tokens,), or a Tensor (T, B), (B, T) with ``batch_first``.

        ``perturbation``, (..., E), is added to the vectors of the tokens: see ``adversarial_loss``.
        """
        vectors = each_token(partial(self.embed, perturbation=perturbation), token_ids)  # (..., E)
        return self.lstm(self.input_dropout(vectors), state)

    def embed(self, token_ids: Tensor, perturbation: Tensor | None = None) -> Tensor:
        """Look up (...) ids as (..., E) vectors, with some words dropped in training."""
        vectors = self.embedding(token_ids)
        if self.training and self.word_dropout:
            kept = vectors.new_empty(self.embedding.num_embeddings, 1).bernoulli_(1 - self.word_dropout)
            vectors = vectors * (kept / (1 - self.word_dropout))[token_ids]
        return vectors if perturbation is None else vectors + perturbation
