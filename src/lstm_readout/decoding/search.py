"""The most probable text: first states or sources go in, one list of token ids for each comes out."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lstm_readout.decoding.beam import beam_search, check_beam
from lstm_readout.lstm import LSTMState
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.tokenizer import BOS, EOS, UNK


@torch.inference_mode()
def greedy(decoder: LanguageModel, state: LSTMState, max_length: int) -> list[list[int]]:
    """Write the most probable token at every step until ``<eos>``; rows that have ended leave the batch.

    Args:
        decoder: the language model, in eval mode.
        state: (h_0, c_0) of the B texts to write.
        max_length: most tokens of a text.

    Returns:
        B lists of ids without ``<bos>`` and ``<eos>``.
    """
    written: list[list[int]] = [[] for _ in range(state.h.shape[1])]
    alive = torch.arange(len(written))
    token_ids = torch.full((len(written),), BOS, device=state.h.device)
    for _ in range(max_length):
        logits, state = decoder.step(token_ids, state)
        logits[:, [UNK, BOS]] = -torch.inf
        token_ids = logits.argmax(-1)
        going_on = (token_ids != EOS).nonzero().squeeze(1)
        if len(going_on) < len(alive):
            alive, token_ids, state = alive[going_on.cpu()], token_ids[going_on], state.rows(going_on)
        if not len(alive):
            break
        for row, token_id in zip(alive.tolist(), token_ids.tolist(), strict=True):
            written[row].append(token_id)
    return written


@torch.inference_mode()
def translate(
    model: Seq2Seq,
    source_ids: PackedSequence,
    max_length: int | None = None,
    beam_size: int = 1,
    length_penalty: float = 0.0,
) -> list[list[int]]:
    """Write a translation of each source: greedily, or the best that a beam finds.

    Args:
        model: the translator, in eval mode.
        source_ids: B sources.
        max_length: most tokens of a translation; None: twice its own source's and 20 more, so that no translation
            depends on the other rows of its batch.
        beam_size, length_penalty: see ``beam_search``; a beam of 1 is greedy.

    Returns:
        B lists of ids without ``<bos>`` and ``<eos>``.

    Raises:
        UserError: for a beam_size or length_penalty out of range.
    """
    check_beam(beam_size, length_penalty)
    _, lengths = pad_packed_sequence(source_ids)
    limits = [2 * length + 20 if max_length is None else max_length for length in lengths.tolist()]
    state = model.encode(source_ids)
    if beam_size > 1:
        found = beam_search(model.decoder, state, beam_size, limits, length_penalty=length_penalty)
        return [hypotheses[0].token_ids for hypotheses in found]
    written = greedy(model.decoder, state, max(limits))
    return [ids[:limit] for ids, limit in zip(written, limits, strict=True)]
