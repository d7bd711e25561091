"""Documents in, labels with probabilities out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from lstm_readout.models.classify import Classifier
from lstm_readout.pipelines.base import Pipeline, check_texts, packed_batches


class Classified(NamedTuple):
    """The label of one document."""

    label: str
    probabilities: dict[str, float]  # of every label, highest first


class DocumentClassifier(Pipeline):
    """A trained classifier: ``DocumentClassifier.load(path)(["a great film"])``."""

    task = "classify"
    model_type = Classifier

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[Classified]:
        """Classify each text."""
        check_texts(texts)
        results: dict[int, Classified] = {}
        for rows, token_ids in packed_batches(self.vocabulary.tokenizers["text"], texts, self.device):
            probabilities = self.model(token_ids).softmax(-1).tolist()  # (B, C)
            for row, values in zip(rows.tolist(), probabilities, strict=True):
                pairs = sorted(zip(self.vocabulary.labels, values, strict=True), key=lambda pair: -pair[1])
                results[row] = Classified(pairs[0][0], dict(pairs))
        return [results[row] for row in range(len(texts))]

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one JSON object a text."""
        for label, probabilities in self(texts):
            rounded = {name: round(value, 6) for name, value in probabilities.items()}
            yield json.dumps({"label": label, "probabilities": rounded}, ensure_ascii=False)
