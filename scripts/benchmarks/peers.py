"""The models that training steps are compared with: a few lines of plain PyTorch, as in tutorials.

They were written for this benchmark, after what introductions to PyTorch show. Rows of random lengths are padded to the
longest with a token of its own; the loss ignores it, but the LSTM reads it (``packed`` classifiers leave it out with
``pack_padded_sequence``). The translator's decoder takes the right token with a probability at each step, else its own
(teacher forcing). The language model is that of PyTorch's word language model example: two layers, log-softmax, clipped
gradients, an update written as a loop.

Shapes: B rows, S source steps, T target steps, V vocabulary size; token V is the padding. Steps come first, as in
``nn.LSTM``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

State = tuple[Tensor, Tensor]


def padded(rows: Sequence[Tensor], vocab_size: int) -> Tensor:
    """Pad rows with an extra token, the last id plus one: (T, B)."""
    return pad_sequence(list(rows), padding_value=vocab_size)


class TutorialEncoder(nn.Module):
    """Reads padded sources."""

    def __init__(self, vocab_size: int, embedding_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size + 1, embedding_size)
        self.rnn = nn.LSTM(embedding_size, hidden_size, num_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source: Tensor) -> State:
        """Return the state after the longest row's last step: (S, B) -> twice (L, B, H)."""
        _, state = self.rnn(self.dropout(self.embedding(source)))
        return state


class TutorialDecoder(nn.Module):
    """Scores the next token, for one step or many."""

    def __init__(self, vocab_size: int, embedding_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size + 1, embedding_size)
        self.rnn = nn.LSTM(embedding_size, hidden_size, num_layers, dropout=dropout)
        self.fc_out = nn.Linear(hidden_size, vocab_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, target: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (T, B, V) and the state."""
        output, state = self.rnn(self.dropout(self.embedding(target)), state)
        return self.fc_out(output), state


class TutorialSeq2Seq(nn.Module):
    """An encoder, and a decoder that steps.

    Args:
        teacher_forcing: probability that a step reads the right token; None reads all of them in one call.
    """

    def __init__(
        self, encoder: TutorialEncoder, decoder: TutorialDecoder, vocab_size: int, teacher_forcing: float | None
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.vocab_size, self.teacher_forcing = vocab_size, teacher_forcing
        self.criterion = nn.CrossEntropyLoss(ignore_index=vocab_size)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return logits of all tokens after ``<bos>``: (S, B), (T + 1, B) -> (T, B, V)."""
        state = self.encoder(source)
        if self.teacher_forcing is None:
            return self.decoder(target[:-1], state)[0]
        steps, rows = target.shape
        logits = torch.zeros(steps - 1, rows, self.vocab_size)
        token_ids = target[0]
        for step in range(1, steps):
            output, state = self.decoder(token_ids.unsqueeze(0), state)
            logits[step - 1] = output.squeeze(0)
            forced = random.random() < self.teacher_forcing
            token_ids = target[step] if forced else output.squeeze(0).argmax(1)
        return logits

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the mean over target tokens without padding."""
        return self.criterion(self(source, target).view(-1, self.vocab_size), target[1:].view(-1))


class TutorialClassifier(nn.Module):
    """Reads ``h_n[-1]`` of padded documents, or of packed ones.

    Args:
        packed: leave the padding out.
    """

    def __init__(self, vocab_size: int, classes: int, embedding_size: int, hidden_size: int, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(vocab_size + 1, embedding_size, padding_idx=vocab_size)
        self.rnn = nn.LSTM(embedding_size, hidden_size)
        self.fc = nn.Linear(hidden_size, classes)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, text: Tensor, lengths: Tensor) -> Tensor:
        """Return logits: (T, B), (B,) -> (B, classes)."""
        embedded = self.embedding(text)
        if self.packed:
            embedded = pack_padded_sequence(embedded, lengths, enforce_sorted=False)
        _, (h_n, _) = self.rnn(embedded)
        return self.fc(h_n[-1])

    def loss(self, text: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over documents."""
        return self.criterion(self(text, lengths), labels)


class WordLanguageModel(nn.Module):
    """Scores the next word at every step of a window."""

    def __init__(self, vocab_size: int, embedding_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, embedding_size)
        self.rnn = nn.LSTM(embedding_size, hidden_size, num_layers, dropout=dropout)
        self.decoder = nn.Linear(hidden_size, vocab_size)
        self.criterion = nn.NLLLoss()
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, window: Tensor, first: State | None) -> tuple[Tensor, State]:
        """Return log-probabilities (T * B, V) and the state: (T, B)."""
        output, state = self.rnn(self.drop(self.encoder(window)), first)
        decoded = self.decoder(self.drop(output))
        return log_softmax(decoded.view(-1, decoded.shape[-1]), dim=1), state

    def loss(self, window: Tensor, targets: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return the mean over words, (T * B,) of them, and the state to continue from, without its graph."""
        scores, (h, c) = self(window, state)
        return self.criterion(scores, targets), (h.detach(), c.detach())
