"""Models that write in whole numbers: a trained model goes in, the same one with int8 weights in its steps comes out.

Steps of one token are bound by reading the weights, and there int8 is several times faster. Whatever is read at once,
a source or a document, stays float: there a call of ``nn.LSTM`` is as fast or faster.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.ensemble import EnsembleDecoder
from lstm_readout.inference.decoding.stepper import Stepper
from lstm_readout.models.attentive_decoder import AttentiveDecoder
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.lstm import LSTMState

IGNORED = -100  # a target that is not scored


class Int8LanguageModel(nn.Module):
    """A language model whose every step is that of an int8 ``Stepper``, its loss too: what is measured is what runs.

    Args:
        model: the trained model, on the CPU. Its float weights stay where they are; they are not used by steps.

    Raises:
        UserError: the model, torch or the processor cannot; see ``Stepper``.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model, self.arguments = model, model.arguments
        self.stepper = Stepper(model, int8=True)

    def begin(self, state: LSTMState, output: PackedSequence) -> LSTMState:
        """Return the first state of a decoder that looks back; see ``AttentiveDecoder``."""
        assert isinstance(self.model, AttentiveDecoder)
        return self.model.begin(state, output)

    @torch.autocast("cpu", enabled=False)
    @torch.inference_mode()
    def loss(
        self,
        inputs: PackedSequence,
        targets: Tensor,
        state: LSTMState | None = None,
        *,
        label_smoothing: float = 0.0,
        scored: Tensor | None = None,
    ) -> tuple[Tensor, LSTMState]:
        """Return what ``LanguageModel.loss`` does, one step after another."""
        sizes = inputs.batch_sizes.tolist()
        state = self.stepper.first_state(sizes[0]) if state is None else self.stepper.fit(state)
        if inputs.sorted_indices is not None:
            state = state.rows(inputs.sorted_indices)
        if scored is not None:
            targets = targets.new_full((len(inputs.data),), IGNORED).index_copy_(0, scored, targets)
        total, ended = targets.new_zeros((), dtype=torch.float64), []
        for token_ids, wanted in zip(inputs.data.split(sizes), targets.split(sizes), strict=True):
            number = len(token_ids)
            if number < state.h.shape[1]:
                ended.append(state.rows(slice(number, None)))
                state = state.rows(slice(number))
            logits, state = self.stepper(token_ids, state)  # (N, V)
            losses = cross_entropy(
                logits, wanted, ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="sum"
            )
            total += losses.double()
        h, c = zip(*reversed([*ended, state]), strict=True)
        last = LSTMState(torch.cat(h, dim=1), None if state.c is None else torch.cat(c, dim=1))
        if inputs.unsorted_indices is not None:
            last = last.rows(inputs.unsorted_indices)
        return (total / (targets != IGNORED).sum()).float(), last


Decoder = LanguageModel | Int8LanguageModel | EnsembleDecoder | Stepper


def stepper_of(decoder: Decoder) -> Stepper:
    """Return the decoder's ``Stepper``; of a language model a new one, to be made once for many steps."""
    if isinstance(decoder, Stepper):
        return decoder
    return Stepper(decoder) if isinstance(decoder, LanguageModel) else decoder.stepper


def with_int8(model: nn.Module) -> nn.Module:
    """Return the model with int8 in its steps: a language model, or a translator, whose decoder is changed in place.

    Raises:
        UserError: the model takes no steps, or its weights, torch or the processor cannot.
    """
    if isinstance(model, LanguageModel):
        return Int8LanguageModel(model)
    if isinstance(model, Seq2Seq):
        model.decoder = Int8LanguageModel(model.decoder)  # pyright: ignore[reportAttributeAccessIssue]
        return model
    raise UserError(
        f"int8=true: a {type(model).__name__} writes nothing step by step, and reading is fast in float: "
        "one document at a time 1.8 to 14 times faster. Set int8=false."
    )
