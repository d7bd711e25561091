"""Classify documents: the task reads ``h_n[-1]``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.corpus import Role
from lstm_readout.data.module import TextDataModule
from lstm_readout.errors import UserError
from lstm_readout.models.classify import Classifier
from lstm_readout.nn.head import check_label_smoothing
from lstm_readout.tasks.adversarial import adversarial_loss
from lstm_readout.tasks.base import Stage, Task, text_of
from lstm_readout.tasks.counts import fill_features, log_count_ratios
from lstm_readout.tasks.metrics.baselines import majority_accuracy, timed
from lstm_readout.tokenizer import Vocabulary


class ClassifyTask(Task):
    """Train a ``Classifier`` with cross-entropy; measure accuracy, macro-F1 and the confusion matrix.

    Args:
        label_smoothing: share of the target probability spread over all classes, in training.
        adversarial: if above 0, also train on adversarial examples at this distance: see ``adversarial_loss``.
        arguments: see ``Task``.

    Raises:
        UserError: ``adversarial`` is below 0, or ``label_smoothing`` is no share.
    """

    name = "classify"
    judged_by = "accuracy"
    roles: ClassVar[Mapping[str, Role]] = {"text": "text", "label": "label"}
    batch_type = ClassifyBatch
    model_type = Classifier
    embeddings: ClassVar[Mapping[str, str]] = {"text": "encoder.embedding"}

    def __init__(self, *, label_smoothing: float = 0.0, adversarial: float = 0.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        if not 0 <= adversarial < math.inf:
            raise UserError(f"task.adversarial: wanted a length, 0 or more, got {adversarial}.")
        check_label_smoothing(self.model, label_smoothing)
        self.label_smoothing, self.adversarial = label_smoothing, adversarial
        self.measures = nn.ModuleDict({stage: _measures(len(self.vocabulary.labels)) for stage in ("val", "test")})

    @classmethod
    def sizes(cls, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the vocabulary size and the number of labels."""
        return {"vocab_size": len(vocabulary.tokenizers["text"]), "num_classes": len(vocabulary.labels)}

    @classmethod
    def init_from_counts(cls, model: nn.Module, data: TextDataModule) -> None:
        """Write the log-count ratios of each word into the first features of the embedding."""
        embedding = model.get_submodule(cls.embeddings["text"])
        if isinstance(embedding, nn.Embedding):
            columns, classes = data.columns["train"], len(data.vocabulary.labels)
            labels = np.asarray(columns["label"])
            fill_features(embedding, log_count_ratios(text_of(columns), labels, embedding.num_embeddings, classes))

    def loss(self, batch: ClassifyBatch, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean over documents."""
        score = partial(cross_entropy, target=batch.labels, label_smoothing=self.label_smoothing)
        if stage == "train" and self.adversarial:
            return adversarial_loss(self.model, batch.token_ids, score, self.adversarial), len(batch.labels)
        return score(self.model(batch.token_ids)), len(batch.labels)  # of logits (B, C)

    def measure(self, batch: ClassifyBatch, stage: Stage) -> None:
        """Count correct and wrong documents."""
        logits = self.model(batch.token_ids)
        for name, metric in self._metrics(stage).items():
            if name == "loss":
                metric.update(cross_entropy(logits, batch.labels), weight=len(batch.labels))
            else:
                metric.update(logits, batch.labels)

    def measured(self, stage: Stage) -> dict[str, float]:
        """Return loss, accuracy and macro-F1."""
        computed = {name: metric.compute() for name, metric in self._metrics(stage).items()}
        for metric in self._metrics(stage).values():
            metric.reset()
        self.confusion = computed.pop("confusion").cpu()
        metrics = {name: float(value) for name, value in computed.items()}
        self.standard_error = self._standard_error(metrics["accuracy"]) if self.monitor == "val/accuracy" else 0.0
        return metrics

    def _standard_error(self, accuracy: float) -> float:
        rows = 0 if self.confusion is None else int(self.confusion.sum())
        return math.sqrt(accuracy * (1 - accuracy) / max(rows, 1))

    def describe_readout(self, batch: ClassifyBatch) -> str:
        """Name ``h_n[-1]``, or what ``model.readout`` reads instead."""
        readout = self.model.readout
        shape = tuple(readout(self.model.encoder(batch.token_ids)).shape)
        expression, sentence = readout.text(readout.expression), readout.text(readout.sentence)
        return f"this task reads {expression}: {sentence}; (batch, features) = {shape}"

    def baselines(self, data: TextDataModule, *, full: bool = False) -> dict[str, Any]:
        """Return the accuracy of the most frequent label, and of linear models of words and of word n-grams.

        They read the original texts, whatever tokens the model reads.
        """
        # Here: scikit-learn would make every command start later
        from lstm_readout.tasks.metrics.ngram_classifier import LabelledTexts, ngram_accuracy

        split = "test" if "test" in data.columns else "validation"
        if split not in data.columns:
            return {}
        train, held_out = (
            LabelledTexts(data.texts[name]["text"][:], np.asarray(data.columns[name]["label"]))
            for name in ("train", split)
        )
        majority = {"majority_accuracy": majority_accuracy(train.labels, held_out.labels)}
        return majority | timed("ngram", partial(ngram_accuracy, train, held_out, full=full))

    def _metrics(self, stage: Stage) -> dict[str, Metric]:
        return cast(dict[str, Metric], self.measures[stage])


def _measures(classes: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "loss": MeanMetric(nan_strategy=math.nan),  # keeps a nan, which it would leave out
            "accuracy": MulticlassAccuracy(classes, average="micro"),
            "macro_f1": MulticlassF1Score(classes, average="macro"),
            "confusion": MulticlassConfusionMatrix(classes),
        }
    )
