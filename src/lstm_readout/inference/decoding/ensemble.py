"""Several trained translators that write one text together: at each step the mean of their probabilities.

Sutskever, Vinyals and Le 2014, "Sequence to Sequence Learning with Neural Networks", section 3.6, write with ensembles.

Shapes: N rows, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.inference.decoding.stepper import Stepper
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.outputs import LanguageModelOutput
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.nn.packed import with_data


class EnsembleState(LSTMState):
    """One state for each model; its own h and c are those of the first."""

    states: tuple[LSTMState, ...]

    def __new__(cls, states: Sequence[LSTMState]) -> EnsembleState:
        """Hold the states together."""
        state = super().__new__(cls, *states[0])
        state.states = tuple(states)
        return state

    def rows(self, index: Tensor | slice) -> EnsembleState:
        """Return the given rows of every state."""
        return EnsembleState([state.rows(index) for state in self.states])


class EnsembleStepper(Stepper):
    """A ``Stepper`` of several models: its scores are the logarithm of their mean probability."""

    def __init__(self, steppers: Sequence[Stepper]) -> None:
        self.steppers = list(steppers)
        self.device, self.dtype = steppers[0].device, steppers[0].dtype

    def __call__(self, token_ids: Tensor, state: LSTMState | None = None) -> tuple[Tensor, EnsembleState]:
        """Score what follows one more token a row: ids (N,) -> log probabilities (N, V)."""
        pairs = zip(self.steppers, states_of(state), strict=True)
        logits, states = zip(*(stepper(token_ids, one) for stepper, one in pairs), strict=True)
        return mean_log_probabilities(logits), EnsembleState(states)

    def fit(self, state: LSTMState) -> EnsembleState:
        """Return each state in the precision of its model's steps."""
        pairs = zip(self.steppers, states_of(state), strict=True)
        return EnsembleState([stepper.fit(one) for stepper, one in pairs])


class EnsembleDecoder(nn.Module):
    """What stands in place of one decoder; it starts from an ``EnsembleState``."""

    def __init__(self, decoders: Sequence[LanguageModel]) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(decoders)

    @property
    def stepper(self) -> Stepper:
        """A new stepper, for many steps."""
        return EnsembleStepper([Stepper(decoder) for decoder in self.decoders])  # pyright: ignore[reportArgumentType]

    def forward(self, token_ids: PackedSequence, state: LSTMState) -> LanguageModelOutput:
        """Return the log probabilities of the next token at every step: packed (tokens, V)."""
        outputs = [model(token_ids, one) for model, one in zip(self.decoders, states_of(state), strict=True)]
        scores = mean_log_probabilities([output.logits.data for output in outputs])
        return LanguageModelOutput(with_data(token_ids, scores), EnsembleState([output.state for output in outputs]))


class Ensemble(nn.Module):
    """Trained translators with the same vocabularies, used as one ``Seq2Seq`` is.

    Args:
        models: in eval mode.
    """

    def __init__(self, models: Sequence[Seq2Seq]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    @property
    def decoder(self) -> EnsembleDecoder:
        """The decoders as one."""
        return EnsembleDecoder([model.decoder for model in self.models])  # pyright: ignore[reportArgumentType]

    def encode(self, source_ids: PackedSequence) -> EnsembleState:
        """Read whole sources with every encoder."""
        return EnsembleState([model.encode(source_ids) for model in self.models])  # pyright: ignore[reportCallIssue]

    def loss(
        self, source_ids: PackedSequence, inputs: PackedSequence, targets: Tensor, *, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the mean cross-entropy of the target tokens under the mean of the probabilities, in nats."""
        scores = self.decoder(inputs, self.encode(source_ids)).logits.data
        return cross_entropy(scores, targets, label_smoothing=label_smoothing)


def states_of(state: LSTMState | None) -> tuple[LSTMState, ...]:
    """Return the states of an ``EnsembleState``."""
    assert isinstance(state, EnsembleState), "an ensemble starts from what Ensemble.encode gives"
    return state.states


def mean_log_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean of the models' probabilities: (N, V) each, in float32 at least."""
    wide = [x.to(torch.promote_types(x.dtype, torch.float32)).log_softmax(-1) for x in logits]
    return torch.stack(wide).logsumexp(0) - math.log(len(wide))
