"""Decoding in int8: a trained model goes in, the same one with int8 weights in its steps comes out.

Steps of one token spend their time reading the weights, so int8 is several times faster. What is read at once, a source
or a document, stays float: there a call of ``nn.LSTM`` is as fast or faster.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.ensemble import LanguageModelEnsemble
from lstm_readout.inference.decoding.stepper import Stepper
from lstm_readout.models.attentive_decoder import DecoderWithMemory
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.decoder_state import DecoderState, concatenated
from lstm_readout.nn.lstm import LSTMState

_IGNORED = -100  # a target that is not scored


class Int8LanguageModel(nn.Module):
    """A language model whose steps are those of an int8 ``Stepper``, in its loss as well: what is scored is what runs.

    Args:
        model: the trained model, on the CPU. It keeps its float weights; the steps do not use them.

    Raises:
        UserError: as ``Stepper``.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model, self.arguments = model, model.arguments
        self.stepper = Stepper(model, int8=True)

    def begin(self, state: LSTMState, output: PackedSequence) -> DecoderState:
        """Return the first state of the decoder; see ``DecoderWithMemory``."""
        return self.model.begin(state, output) if isinstance(self.model, DecoderWithMemory) else state

    @torch.autocast("cpu", enabled=False)
    @torch.inference_mode()
    def loss(
        self,
        inputs: PackedSequence,
        targets: Tensor,
        state: DecoderState | None = None,
        *,
        label_smoothing: float = 0.0,
        scored: Tensor | None = None,
    ) -> tuple[Tensor, DecoderState]:
        """Return what ``LanguageModel.loss`` does, one step after another."""
        sizes = inputs.batch_sizes.tolist()
        now = self.stepper.first_state(sizes[0]) if state is None else self.stepper.fit(state)
        if inputs.sorted_indices is not None:
            now = now.rows(inputs.sorted_indices)
        if scored is not None:
            targets = targets.new_full((len(inputs.data),), _IGNORED).index_copy_(0, scored, targets)
        total, ended = targets.new_zeros((), dtype=torch.float64), list[DecoderState]()
        for token_ids, wanted in zip(inputs.data.split(sizes), targets.split(sizes), strict=True):
            number = len(token_ids)
            if number < now.h.shape[1]:
                ended.append(now.rows(slice(number, None)))
                now = now.rows(slice(number))
            logits, now = self.stepper(token_ids, now)  # (N, V)
            losses = cross_entropy(
                logits, wanted, ignore_index=_IGNORED, label_smoothing=label_smoothing, reduction="sum"
            )
            total += losses.double()
        last = concatenated([*ended, now][::-1])
        if inputs.unsorted_indices is not None:
            last = last.rows(inputs.unsorted_indices)
        return (total / (targets != _IGNORED).sum()).float(), last


Decoder = LanguageModel | Int8LanguageModel | LanguageModelEnsemble | Stepper


def stepper_of(decoder: Decoder) -> Stepper:
    """Return the decoder's ``Stepper``; for a language model a new one, which is worth building once for many steps."""
    if isinstance(decoder, Stepper):
        return decoder
    return Stepper(decoder) if isinstance(decoder, LanguageModel) else decoder.stepper


def with_int8(model: nn.Module) -> nn.Module:
    """Return the model with int8 in its steps: a language model, or a translator, whose decoder is replaced in place.

    Raises:
        UserError: for a model that takes no steps, or as ``Stepper``.
    """
    if isinstance(model, LanguageModel):
        return Int8LanguageModel(model)
    if isinstance(model, Seq2Seq):
        model.register_module("decoder", Int8LanguageModel(model.decoder))
        return model
    raise UserError(
        f"int8=true: a {type(model).__name__} generates nothing step by step, and reading is faster in float: "
        "1.8 to 14 times for one document at a time. Set int8=false."
    )
