"""The most probable text: first states or sources go in, one list of token ids per row comes out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lstm_readout.inference.decoding.beam import Hypothesis, beam_search, check_beam
from lstm_readout.inference.decoding.ensemble import Ensemble
from lstm_readout.inference.decoding.int8 import Decoder, stepper_of
from lstm_readout.inference.decoding.stepper import Stepper, forbid
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.tokenizer import BOS, EOS

_Translator = Seq2Seq | Ensemble


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def greedy(decoder: Decoder, state: DecoderState, max_length: int | Sequence[int]) -> list[list[int]]:
    """Generate the most probable token at every step until ``<eos>``; rows that have ended leave the batch.

    Args:
        decoder: the language model, in eval mode; for many calls its ``Stepper``.
        state: (h_0, c_0) of B texts.
        max_length: the limit on tokens, for all texts or one per text.

    Returns:
        B lists of ids without ``<bos>`` and ``<eos>``.
    """
    stepper, batch = stepper_of(decoder), state.h.shape[1]
    limits = [max_length] * batch if isinstance(max_length, int) else list(max_length)
    generated: list[list[int]] = [[] for _ in range(batch)]
    alive = [row for row in range(batch) if limits[row] > 0]
    token_ids, state = torch.full((len(alive),), BOS, device=stepper.device), stepper.fit(state)
    if len(alive) < batch:
        state = state.rows(torch.tensor(alive, dtype=torch.long, device=stepper.device))
    while alive:
        logits, state = stepper(token_ids, state)
        token_ids = forbid(logits).argmax(-1)  # (N,)
        going_on = []
        for k, (row, token_id) in enumerate(zip(alive, token_ids.tolist(), strict=True)):
            if token_id != EOS:
                generated[row].append(token_id)
                if len(generated[row]) < limits[row]:
                    going_on.append(k)
        if len(going_on) < len(alive):
            kept = torch.tensor(going_on, dtype=torch.long, device=stepper.device)
            alive, token_ids, state = [alive[k] for k in going_on], token_ids[kept], state.rows(kept)
    return generated


@torch.inference_mode()
def translate(
    model: _Translator,
    source_ids: PackedSequence,
    max_length: int | None = None,
    beam_size: int = 1,
    length_penalty: float = 0.0,
    *,
    stepper: Stepper | None = None,
) -> list[list[int]]:
    """Translate each source: greedily, or by the best hypothesis that a beam finds.

    Args:
        model: the translator, in eval mode.
        source_ids: B sources.
        max_length: the limit on tokens of a translation; None: twice those of its own source plus 20, so that no
            translation depends on the other rows of its batch.
        beam_size, length_penalty: see ``beam_search``; a beam of 1 is greedy.
        stepper: of ``model.decoder``, for many calls; None: a new one for this call.

    Returns:
        B lists of ids without ``<bos>`` and ``<eos>``.

    Raises:
        UserError: for a beam_size or length_penalty out of range.
    """
    check_beam(beam_size, length_penalty)
    limits = length_limits(source_ids, max_length)
    decoder, state = stepper_of(model.decoder) if stepper is None else stepper, model.encode(source_ids)
    if beam_size == 1:
        return greedy(decoder, state, limits)
    found = beam_search(decoder, state, beam_size, limits, length_penalty=length_penalty, only_best=True)
    return [hypotheses[0].token_ids for hypotheses in found]


@torch.inference_mode()
def translations(
    model: _Translator,
    source_ids: PackedSequence,
    beam_size: int,
    max_length: int | None = None,
    length_penalty: float = 0.0,
    *,
    stepper: Stepper | None = None,
) -> list[list[Hypothesis]]:
    """Return all that a beam finds for each source, up to ``beam_size`` hypotheses, the best first.

    Args:
        model, source_ids, beam_size, max_length, length_penalty, stepper: see ``translate``.

    Raises:
        UserError: for a beam_size or length_penalty out of range.
    """
    decoder, limits = stepper_of(model.decoder) if stepper is None else stepper, length_limits(source_ids, max_length)
    return beam_search(decoder, model.encode(source_ids), beam_size, limits, length_penalty=length_penalty)


def length_limits(source_ids: PackedSequence, max_length: int | None) -> list[int]:
    """Return the limit on tokens of each translation; see ``translate``."""
    _, lengths = pad_packed_sequence(source_ids)
    return [2 * length + 20 if max_length is None else max_length for length in lengths.tolist()]
