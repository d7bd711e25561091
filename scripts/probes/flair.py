"""flair: ``DocumentRNNEmbeddings`` under a linear layer, which is what its ``TextClassifier`` is."""

from __future__ import annotations

import torch
from flair.data import Sentence, Token
from flair.embeddings import DocumentRNNEmbeddings
from flair.embeddings.base import TokenEmbeddings
from torch import Tensor, nn

from probes.base import VOCABULARY, Reader, main


class _Words(TokenEmbeddings):
    """A trained vector for each word; the word is its number."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.static_embeddings = "words", False
        self.table = nn.Embedding(VOCABULARY, 12)

    @property
    def embedding_length(self) -> int:
        return self.table.embedding_dim

    def _add_embeddings_internal(self, sentences: list[Sentence]) -> None:
        for token in (token for sentence in sentences for token in sentence):
            token.set_embedding(self.name, self.table.weight[int(token.text)])


class _Classifier(nn.Module):
    def __init__(self, bidirectional: bool) -> None:
        super().__init__()
        self.document = DocumentRNNEmbeddings([_Words()], 16, rnn_type="LSTM", bidirectional=bidirectional)
        self.head = nn.Linear(self.document.embedding_length, 3)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        rows = zip(token_ids.tolist(), lengths.tolist(), strict=True)
        sentences = [Sentence([Token(str(number)) for number in ids[:length]]) for ids, length in rows]
        self.document.embed(sentences)
        return self.head(torch.stack([sentence.get_embedding() for sentence in sentences]))


def build(bidirectional: bool) -> Reader:
    return Reader(_Classifier(bidirectional), lambda model, token_ids, lengths: model(token_ids, lengths), 0)


if __name__ == "__main__":
    main({"one direction": lambda: build(False), "two directions": lambda: build(True)})
