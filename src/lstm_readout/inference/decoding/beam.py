"""The most probable texts that a beam finds: B first states go in, B lists of scored hypotheses come out.

Shapes: B texts, N unfinished hypotheses (of all texts), K beam_size, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.ensemble import LanguageModelEnsemble
from lstm_readout.inference.decoding.int8 import Decoder, stepper_of
from lstm_readout.inference.decoding.stepper import forbid
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.packed import row_of_token, to_device
from lstm_readout.tokenizer import BOS, EOS
from lstm_readout.tokenizer.ragged import Ragged, pack


class Hypothesis(NamedTuple):
    """One text that a beam has found."""

    token_ids: list[int]  # without <bos> and <eos>
    score: float  # log probability in nats: of every token, and of <eos> unless max_length cut the text


class _Ended(NamedTuple):
    """Hypotheses that are complete after the same number of steps, in the order of their texts."""

    step: int
    rows: Tensor  # (F,) of that step
    texts: Tensor  # (F,)
    scores: Tensor  # (F,)


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def beam_search(
    decoder: Decoder,
    state: DecoderState,
    beam_size: int,
    max_length: int | Sequence[int],
    *,
    length_penalty: float = 0.0,
    only_best: bool = False,
) -> list[list[Hypothesis]]:
    """Keep the ``beam_size`` most probable prefixes of each text at every step, until all have ended.

    A hypothesis that takes ``<eos>`` is complete and gives up its place in the beam (Sutskever, Vinyals and Le 2014,
    "Sequence to Sequence Learning with Neural Networks", section 3.2). Probabilities are over the model's whole
    vocabulary, but ``<unk>`` and ``<bos>`` are never chosen. A beam of 1 finds what ``greedy`` finds (of two tokens
    with exactly the same probability, either may be taken).

    Args:
        decoder: the language model, in eval mode; for many calls its ``Stepper``.
        state: (h_0, c_0) of B texts.
        beam_size: K, hypotheses per text.
        max_length: the limit on tokens, for all texts or one per text. Hypotheses that are cut there are returned as
            well; their scores do not include ``<eos>``.
        length_penalty: hypotheses are ranked by ``score / length ** length_penalty`` (Wu et al. 2016, "Google's
            Neural Machine Translation System", section 7, the form before their equation 14). The length counts
            what the score counts, ``<eos>`` included. 0 prefers short texts, 1 compares means per token.
        only_best: stop searching a text as soon as no unfinished hypothesis can pass its best complete one. That one
            is the best of the whole search; hypotheses that would have been completed later are missing.

    Returns:
        B lists of up to K hypotheses, the best first.

    Raises:
        UserError: for a beam_size or length_penalty out of range.
    """
    check_beam(beam_size, length_penalty)
    stepper, batch, device = stepper_of(decoder), state.h.shape[1], state.h.device
    limits = torch.as_tensor(max_length, device=device).expand(batch)
    places = torch.full((batch,), beam_size, device=device)  # of each text's beam, without those of complete hypotheses
    best = torch.full((batch,), -torch.inf, dtype=torch.float64, device=device)  # rank of each text's best complete one
    texts = torch.arange(batch, device=device)  # (N,) which text a hypothesis belongs to, ascending
    slots = torch.zeros_like(texts)  # (N,) its place in the text's beam, the best first
    token_ids, parents = torch.full_like(texts, BOS), texts  # (N,) its last token, and its row one step before
    state = stepper.fit(state)
    scores = torch.zeros_like(texts, dtype=torch.promote_types(state.h.dtype, torch.float32))  # (N,)
    came_from, history, ended = texts, [], []
    for step in count():
        history.append((token_ids, parents))
        leaving = (token_ids == EOS) | (limits[texts] <= step)  # (N,)
        complete = leaving.nonzero().squeeze(1)
        if len(complete):
            ended.append(_Ended(step, complete, texts[complete], scores[complete]))
            places = places - ended[-1].texts.bincount(minlength=batch)
        if only_best and ended:
            if len(complete):
                best = _highest(best, ended[-1].texts, _rank(ended[-1].scores, step, length_penalty))
            # The rank that a hypothesis can still reach: scores only fall, and no text is longer than its limit
            reach = _rank(scores, limits[texts], length_penalty).masked_fill(leaving, -torch.inf)
            leaving = leaving | (_highest(torch.full_like(best, -torch.inf), texts, reach) <= best)[texts]
        alive = (~leaving).nonzero().squeeze(1)
        if not len(alive):
            break
        if len(alive) < len(texts):
            texts, slots, token_ids, scores, came_from = (
                x[alive] for x in (texts, slots, token_ids, scores, came_from)
            )
        logits, state = stepper(token_ids, state.rows(came_from))  # (N, V)
        next_scores, next_ids = _continuations(logits, beam_size)  # (N, K)
        next_scores = scores.unsqueeze(1) + next_scores
        grid = next_scores.new_full((batch, beam_size, next_ids.shape[1]), -torch.inf)
        grid[texts, slots] = next_scores
        grid, order = (x[:, :beam_size] for x in grid.flatten(1).sort(descending=True, stable=True))  # (B, K)
        chosen = (torch.arange(grid.shape[1], device=device) < places.unsqueeze(1)) & (grid != -torch.inf)
        rows = texts.new_zeros(batch, beam_size).index_put_((texts, slots), torch.arange(len(texts), device=device))
        texts, slots = chosen.nonzero(as_tuple=True)
        taken = order[texts, slots]  # (N,)
        came_from = rows[texts, taken // next_ids.shape[1]]
        token_ids, scores, parents = (
            next_ids[came_from, taken % next_ids.shape[1]],
            grid[texts, slots],
            alive[came_from],
        )
    return _hypotheses(ended, history, batch, length_penalty)


@torch.inference_mode()
def forced_scores(
    decoder: LanguageModel | LanguageModelEnsemble, state: DecoderState, texts: Sequence[Sequence[int]]
) -> Tensor:
    """Return the log probabilities of given texts and their ``<eos>``, in nats: (B,).

    Args:
        decoder: the language model, in eval mode.
        state: (h_0, c_0) of B texts.
        texts: B lists of ids without ``<bos>`` and ``<eos>``.
    """
    column, rows = Ragged.from_lists([[*ids, EOS] for ids in texts]), torch.arange(len(texts)).numpy()
    device = state.h.device
    inputs = to_device(pack(column, rows, first=BOS), device)
    logits = decoder(inputs, state).logits.data  # (tokens, V)
    scores = -cross_entropy(_wide(logits), pack(column, rows).data.to(device), reduction="none")  # (tokens,)
    return scores.new_zeros(len(rows)).index_add_(0, row_of_token(inputs), scores)[inputs.unsorted_indices]


def check_beam(beam_size: int, length_penalty: float) -> None:
    """Raise ``UserError`` for a setting of ``beam_search`` that is out of range."""
    if beam_size < 1:
        raise UserError(f"beam_size: wanted 1 or more, got {beam_size}.")
    if not 0 <= length_penalty < math.inf:
        raise UserError(f"length_penalty: wanted 0 or more, got {length_penalty}.")


def _continuations(logits: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return log probabilities and ids of the best next tokens of each row: (N, V) -> (N, number or V - 2) each."""
    scores, token_ids = forbid(_wide(logits).log_softmax(-1)).topk(min(number, logits.shape[-1] - 2))
    return scores, token_ids


def _rank(scores: Tensor, lengths: Tensor | int, length_penalty: float) -> Tensor:
    """Return what hypotheses are sorted by: (N,) in float64."""
    return scores.double() / torch.as_tensor(lengths).clamp(min=1).double() ** length_penalty


def _highest(start: Tensor, texts: Tensor, values: Tensor) -> Tensor:
    """Return the highest value of each text, or ``start`` (B,) where that is higher."""
    return start.scatter_reduce(0, texts, values, "amax")


def _hypotheses(
    ended: list[_Ended], history: list[tuple[Tensor, Tensor]], batch: int, length_penalty: float
) -> list[list[Hypothesis]]:
    """Follow each complete hypothesis back to its beginning, and sort those of each text.

    Args:
        ended: the complete hypotheses, step after step.
        history: per step (the token of each row, its row one step before).
        batch, length_penalty: see ``beam_search``.
    """
    found: list[list[tuple[float, Hypothesis]]] = [[] for _ in range(batch)]  # with their ranks
    rows = torch.cat([part.rows for part in ended])  # (F,) of all texts
    steps = torch.cat([torch.full_like(part.rows, part.step) for part in ended])
    token_ids = rows.new_full((len(rows), len(history)), EOS)  # (F, steps)
    for step in range(len(history) - 1, 0, -1):
        longer = (steps >= step).nonzero().squeeze(1)
        tokens, parents = history[step]
        token_ids[longer, step - 1] = tokens[rows[longer]]
        rows[longer] = parents[rows[longer]]
    scores = torch.cat([part.scores for part in ended])
    ranks, texts = _rank(scores, steps, length_penalty), torch.cat([part.texts for part in ended])
    columns = (x.tolist() for x in (texts, ranks, scores, token_ids))
    for text, rank, score, ids in zip(*columns, strict=True):
        found[text].append((rank, Hypothesis(ids[: ids.index(EOS)] if EOS in ids else ids, score)))
    return [[hypothesis for _, hypothesis in sorted(one, key=lambda pair: -pair[0])] for one in found]


def _wide(logits: Tensor) -> Tensor:
    """Return logits in float32 at least: sums of log probabilities need it."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
