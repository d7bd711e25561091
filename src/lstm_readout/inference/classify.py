"""Documents go in, labels with their probabilities come out: those of one classifier, or the mean of several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import Self

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.ensemble import mean_log_probabilities
from lstm_readout.inference.pipeline import Pipeline, listed, packed_batches
from lstm_readout.inference.texts import as_texts
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.models.classify import Classifier
from lstm_readout.tokenizer import Vocabulary


class Classified(NamedTuple):
    """The label of one document."""

    label: str  # the most probable
    probabilities: dict[str, float]  # of every label, highest first


class DocumentClassifier(Pipeline[Classifier]):
    """A trained classifier: ``DocumentClassifier.load(path)(["a great film"])``.

    Args:
        model, vocabulary: see ``Pipeline``.
        others: further classifiers with the same labels, each with its own tokenizer: the results are the mean of all
            probabilities.

    Raises:
        UserError: for a classifier with other labels.
    """

    task = "classify"
    model_type = Classifier

    def __init__(self, model: Classifier, vocabulary: Vocabulary, others: Sequence[DocumentClassifier] = ()) -> None:
        super().__init__(model, vocabulary)
        self.others = list(others)
        self._orders: list[list[int]] = []  # the place of each label in the output of each other classifier
        for number, other in enumerate(others, start=1):
            if set(other.vocabulary.labels) != set(vocabulary.labels):
                raise UserError(
                    f"ensemble: number {number} has the labels {_shown(other)}, the first checkpoint {_shown(self)}. "
                    "Use classifiers that were trained on the same labels."
                )
            self._orders.append([other.vocabulary.labels.index(label) for label in vocabulary.labels])

    @classmethod
    def load(
        cls,
        path: str | Path | Checkpoint,
        device: str | torch.device = "cpu",
        *,
        int8: bool = False,
        ensemble: Sequence[str | Path] = (),
    ) -> Self:
        """Rebuild the model from a checkpoint file.

        Args:
            path, device, int8: see ``Pipeline.load``.
            ensemble: further checkpoints; their probabilities are averaged with those of the first.

        Raises:
            UserError: as ``Pipeline.load``, and for checkpoints with other labels.
        """
        model, vocabulary = cls.read(path, device, int8=int8)
        return cls(model, vocabulary, [DocumentClassifier.load(one, device) for one in listed(ensemble)])

    def __call__(self, texts: Sequence[str]) -> list[Classified]:
        """Classify each text."""
        results = []
        for values in self.log_probabilities(texts).exp().tolist():
            pairs = sorted(zip(self.vocabulary.labels, values, strict=True), key=lambda pair: -pair[1])
            results.append(Classified(pairs[0][0], dict(pairs)))
        return results

    @torch.inference_mode()
    def log_probabilities(self, texts: Sequence[str]) -> Tensor:
        """Return the logarithm of each label's probability, in the order of the vocabulary's labels: (texts, C)."""
        texts = as_texts(texts)
        others = zip(self.others, self._orders, strict=True)
        return mean_log_probabilities(
            [self._logits(texts), *(other._logits(texts)[:, order] for other, order in others)]
        )

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one JSON object per text."""
        for result in self.results(texts):
            yield json.dumps(result, ensure_ascii=False)

    def results(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the label and the probabilities of each text."""
        for label, probabilities in self(texts):
            yield {"label": label, "probabilities": {name: round(value, 6) for name, value in probabilities.items()}}

    def _logits(self, texts: Sequence[str]) -> Tensor:
        logits = torch.zeros(len(texts), len(self.vocabulary.labels), device=self.device)
        for rows, token_ids in packed_batches(self.vocabulary.tokenizers["text"], texts, self.device):
            logits[torch.from_numpy(rows)] = self.model(token_ids).float()  # (B, C)
        return logits


class ClassifierEnsemble(nn.Module):
    """The classifiers of a ``DocumentClassifier`` in place of one ``Classifier``; it takes texts, not their ids."""

    def __init__(self, classifier: DocumentClassifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.models = nn.ModuleList(
            one.model for one in (classifier, *classifier.others)
        )  # so that they move to a device with it
        self.arguments = classifier.model.arguments

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Return the logarithm of the mean of the probabilities: (texts, C)."""
        return self.classifier.log_probabilities(texts)


def _shown(classifier: DocumentClassifier) -> str:
    return ", ".join(map(repr, classifier.vocabulary.labels[:10]))
