"""Trained models that score and decode as one: at each step their scores are the logarithm of their mean probability.

Sutskever, Vinyals and Le 2014, "Sequence to Sequence Learning with Neural Networks", section 3.6, decode with
ensembles.

Shapes: N rows, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.inference.decoding.stepper import Stepper
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.outputs import LanguageModelOutput
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.head import target_log_probabilities
from lstm_readout.nn.packed import as_packed, with_data


@dataclass(frozen=True)
class _EnsembleState:
    """One state per model; ``h`` and ``c`` are those of the first."""

    states: tuple[DecoderState, ...]

    @property
    def h(self) -> Tensor:
        return self.states[0].h

    @property
    def c(self) -> Tensor | None:
        return self.states[0].c

    def rows(self, index: Tensor | slice) -> _EnsembleState:
        return _EnsembleState(tuple(state.rows(index) for state in self.states))

    def detach(self) -> _EnsembleState:
        return _EnsembleState(tuple(state.detach() for state in self.states))

    def to(self, dtype: torch.dtype) -> _EnsembleState:
        return _EnsembleState(tuple(state.to(dtype) for state in self.states))


class _EnsembleStepper(Stepper):
    """A ``Stepper`` of several models."""

    def __init__(self, steppers: Sequence[Stepper]) -> None:
        self.steppers = list(steppers)
        self.device, self.dtype = steppers[0].device, steppers[0].dtype

    def __call__(self, token_ids: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Score what follows one more token per row: ids (N,) -> log probabilities (N, V)."""
        pairs = zip(self.steppers, _parts_of(state, len(self.steppers)), strict=True)
        logits, states = zip(*(stepper(token_ids, one) for stepper, one in pairs), strict=True)
        return mean_log_probabilities(logits), _EnsembleState(states)

    def fit(self, state: DecoderState) -> DecoderState:
        """Return each state in the precision of its model's steps."""
        pairs = zip(self.steppers, _states_of(state), strict=True)
        return _EnsembleState(tuple(stepper.fit(one) for stepper, one in pairs))

    def read(self, rows: Sequence[Tensor]) -> DecoderState:
        """Return the state of each model after whole rows of token ids."""
        return _EnsembleState(tuple(stepper.read(rows) for stepper in self.steppers))


class LanguageModelEnsemble(nn.Module):
    """Several language models, or decoders, in place of one; each has its own state.

    Args:
        models: with the same vocabulary, in eval mode.
    """

    def __init__(self, models: Sequence[LanguageModel]) -> None:
        super().__init__()
        self.models = cast(Sequence[LanguageModel], nn.ModuleList(models))
        self.arguments = models[0].arguments

    @property
    def stepper(self) -> Stepper:
        """A new stepper, for many steps."""
        return _EnsembleStepper([Stepper(model) for model in self.models])

    def forward(self, token_ids: PackedSequence, state: DecoderState | None = None) -> LanguageModelOutput:
        """Return the log probabilities of the next token at every step: packed (tokens, V)."""
        outputs = [model(token_ids, one) for model, one in self._with_states(state)]
        scores = mean_log_probabilities([output.logits.data for output in outputs])
        state = _EnsembleState(tuple(output.state for output in outputs))
        return LanguageModelOutput(with_data(token_ids, scores), state)

    def loss(
        self, inputs: PackedSequence, targets: Tensor, state: DecoderState | None = None, scored: Tensor | None = None
    ) -> tuple[Tensor, DecoderState]:
        """Return the mean cross-entropy under the mean of the probabilities, in nats: see ``LanguageModel.loss``."""
        values, states = [], []
        for model, one in self._with_states(state):
            lstm = model.read(inputs, one)
            output = as_packed(lstm.output).data  # (tokens, O)
            vectors = output if scored is None else output[scored]
            values.append(target_log_probabilities(model.head, vectors, targets, model.arguments["vocab_size"]))
            states.append(lstm.state)
        return -mean_of_logarithms(values).mean(), _EnsembleState(tuple(states))

    def _with_states(self, state: DecoderState | None) -> list[tuple[LanguageModel, DecoderState | None]]:
        return list(zip(self.models, _parts_of(state, len(self.models)), strict=True))


class Ensemble(nn.Module):
    """Trained translators with the same vocabularies, which replace one ``Seq2Seq``.

    Args:
        models: in eval mode.
    """

    def __init__(self, models: Sequence[Seq2Seq]) -> None:
        super().__init__()
        self.models = cast(Sequence[Seq2Seq], nn.ModuleList(models))

    @property
    def decoder(self) -> LanguageModelEnsemble:
        """The decoders as one."""
        return LanguageModelEnsemble([model.decoder for model in self.models])

    def encode(self, source_ids: PackedSequence) -> DecoderState:
        """Read whole sources with every encoder."""
        return _EnsembleState(tuple(model.encode(source_ids) for model in self.models))

    def loss(
        self, source_ids: PackedSequence, inputs: PackedSequence, targets: Tensor, *, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the mean cross-entropy of the target tokens under the mean of the probabilities, in nats."""
        scores = self.decoder(inputs, self.encode(source_ids)).logits.data
        return cross_entropy(scores, targets, label_smoothing=label_smoothing)


def mean_log_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean of the models' probabilities: (N, V) each, in float32 at least."""
    wide = [x.to(torch.promote_types(x.dtype, torch.float32)).log_softmax(-1) for x in logits]
    return mean_of_logarithms(wide)


def mean_of_logarithms(values: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean of probabilities that are given by their logarithms."""
    return torch.stack(list(values)).logsumexp(0) - math.log(len(values))


def _parts_of(state: DecoderState | None, models: int) -> tuple[DecoderState | None, ...]:
    return (None,) * models if state is None else _states_of(state)


def _states_of(state: DecoderState) -> tuple[DecoderState, ...]:
    if isinstance(state, _EnsembleState):
        return state.states
    raise TypeError(f"state: an ensemble continues from its own state, one for each model, got {type(state).__name__}.")
