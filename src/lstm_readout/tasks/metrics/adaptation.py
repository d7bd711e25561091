"""Adaptation to the text being scored: a trained language model and two texts go in, losses on the second come out.

Three things adapt, to each token after its score: the weights (``dynamic_evaluation``), a cache of what the head read
(``neural_cache``), and the counts of n-grams (``adaptive_ngrams``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import LanguageModelEnsemble
from lstm_readout.models.generate import LanguageModel
from lstm_readout.tasks.metrics.adaptive_ngrams import AdaptiveNgrams, adaptive_log_probabilities, mean_with
from lstm_readout.tasks.metrics.dynamic_evaluation import DynamicEvaluation, GradientSquares, Learner
from lstm_readout.tasks.metrics.neural_cache import Cache, NeuralCache
from lstm_readout.tasks.metrics.one_pass import Scores, score
from lstm_readout.tasks.metrics.predictions import ScoredRows

_SPANS, _WINDOWS = 16, 40  # gradients on training text: 16 spans of 40 windows each, evenly distributed


@dataclass(frozen=True)
class Adaptation:
    """The ways to adapt that are measured; see the class of each."""

    dynamic: DynamicEvaluation
    cache: NeuralCache
    ngrams: AdaptiveNgrams

    @property
    def parts(self) -> list[str]:
        """The names of those that are on."""
        on = {
            "dynamic": self.dynamic.lr is not None,
            "cache": self.cache.share is not None,
            "ngrams": self.ngrams.order is not None,
        }
        return [name for name, wanted in on.items() if wanted]

    def check(self, model: nn.Module) -> None:
        """Raise ``UserError`` for a model that these cannot be measured with."""
        if self.parts:
            _members(model)

    def losses(
        self, model: nn.Module, rows: ScoredRows, train: ScoredRows | None, device: torch.device
    ) -> dict[str, float]:
        """Return the mean loss with each of the parts that are on, and as ``loss_adapted`` with all of them.

        Args:
            model: a ``LanguageModel``, or an ensemble: then each model adapts for itself, and the mean of their
                probabilities counts.
            rows: what to predict.
            train: the training text; needed for n-grams and for ``dynamic_evaluation.rms``.
            device: where the model is.

        Raises:
            UserError: for a model that cannot learn, or without a training text that is needed.
        """
        if not self.parts:
            return {}
        models = _members(model)
        found, last = dict[str, np.ndarray](), None
        if "cache" in self.parts or "ngrams" in self.parts:
            last = self._scores(models, [None] * len(models), rows, device)
            found["cache"] = last.cached
        counted = self._counted(rows, train, models[0])
        if counted is not None and last is not None:
            found["ngrams"] = mean_with(counted, last.model)
        if "dynamic" in self.parts:
            last = self._scores(models, [self._learner(one, train, device) for one in models], rows, device)
            found["dynamic"] = last.model
        if last is not None:
            found["adapted"] = last.cached if counted is None else mean_with(counted, last.cached)
        wanted = [*self.parts, "adapted"] if len(self.parts) > 1 else self.parts
        return {f"loss_{name}": -float(found[name].mean()) for name in wanted}

    def _counted(self, rows: ScoredRows, train: ScoredRows | None, model: LanguageModel) -> np.ndarray | None:
        if self.ngrams.order is None:
            return None
        known = _needed(train, "task.adaptive_ngrams.order", "null")
        return adaptive_log_probabilities(known, rows, model.arguments["vocab_size"], self.ngrams.order)

    def _learner(self, model: LanguageModel, train: ScoredRows | None, device: torch.device) -> Learner:
        if not self.dynamic.rms:
            return Learner(model, self.dynamic)
        squares = GradientSquares(model, self.dynamic.window)
        text = _needed(train, "task.dynamic_evaluation.rms", "false")
        score(model, squares, None, rows=text.spread(_SPANS, _WINDOWS * self.dynamic.window), device=device)
        return Learner(model, self.dynamic, squares.scale())

    def _scores(
        self,
        models: Sequence[LanguageModel],
        learners: Sequence[Learner | None],
        rows: ScoredRows,
        device: torch.device,
    ) -> Scores:
        """Return the mean of the models' probabilities, as logarithms."""
        caches = [None if self.cache.share is None else Cache(self.cache) for _ in models]
        each = [score(*one, rows=rows, device=device) for one in zip(models, learners, caches, strict=True)]
        plain, cached = zip(*each, strict=True)
        return Scores(_mean(plain), _mean(cached))


def _members(model: nn.Module) -> list[LanguageModel]:
    if isinstance(model, LanguageModelEnsemble):
        return list(model.models)
    if not isinstance(model, LanguageModel):
        raise UserError(
            "int8=true cannot learn. Set int8=false, or task.dynamic_evaluation.lr=null, "
            "task.neural_cache.share=null and task.adaptive_ngrams.order=null."
        )
    return [model]


def _mean(logarithms: Sequence[np.ndarray]) -> np.ndarray:
    return np.logaddexp.reduce(logarithms) - np.log(len(logarithms))


def _needed(train: ScoredRows | None, key: str, without: str) -> ScoredRows:
    if train is None:
        raise UserError(f"{key}: it reads the training text, which is not among these data. Set {key}={without}.")
    return train
