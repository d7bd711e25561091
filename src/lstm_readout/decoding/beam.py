"""The most probable texts that a beam finds: B first states go in, B lists of scored hypotheses come out.

Shapes: B texts, N hypotheses still being written (of all texts together), K beam_size, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lstm_readout.errors import UserError
from lstm_readout.lstm import LSTMState
from lstm_readout.models.encoder import row_of_token
from lstm_readout.models.generate import LanguageModel
from lstm_readout.ragged import Ragged, pack
from lstm_readout.tokenizer import BOS, EOS, UNK


class Hypothesis(NamedTuple):
    """One text that a beam has found."""

    token_ids: list[int]  # without <bos> and <eos>
    score: float  # log probability in nats: of every token, and of <eos> unless max_length cut the text


@torch.inference_mode()
def beam_search(
    decoder: LanguageModel,
    state: LSTMState,
    beam_size: int,
    max_length: int | Sequence[int],
    *,
    length_penalty: float = 0.0,
) -> list[list[Hypothesis]]:
    """Keep the ``beam_size`` most probable beginnings of each text at every step, until all have ended.

    A hypothesis that takes ``<eos>`` is complete and gives up its place in the beam (Sutskever, Vinyals and Le 2014,
    "Sequence to Sequence Learning with Neural Networks", section 3.2). Probabilities are those of the model's whole
    vocabulary; ``<unk>`` and ``<bos>`` are only never chosen. A beam of 1 writes what ``greedy`` writes (where two
    tokens are exactly as probable, either may be taken).

    Args:
        decoder: the language model, in eval mode.
        state: (h_0, c_0) of the B texts to write.
        beam_size: K, hypotheses of each text.
        max_length: most tokens of a text, or one number for each text. What is cut there is returned as well; its
            score counts no ``<eos>``.
        length_penalty: hypotheses are ranked by ``score / length ** length_penalty`` (Wu et al. 2016, "Google's
            Neural Machine Translation System", section 7, the form before their equation 14). The length counts
            what the score counts, ``<eos>`` too. 0 prefers short texts, 1 compares means per token.

    Returns:
        B lists of up to K hypotheses, the best first.

    Raises:
        UserError: for a beam_size or length_penalty out of range.
    """
    check_beam(beam_size, length_penalty)
    batch, device = state.h.shape[1], state.h.device
    limits = torch.as_tensor(max_length, device=device).expand(batch)
    places = torch.full((batch,), beam_size, device=device)  # of each text's beam that are not taken by a complete text
    found: list[list[tuple[float, Hypothesis]]] = [[] for _ in range(batch)]  # with what they are ranked by
    texts = torch.arange(batch, device=device)  # (N,) which text a hypothesis belongs to, ascending
    token_ids = torch.full((batch, 1), BOS, device=device)  # (N, 1 + steps)
    scores = state.h.new_zeros(batch)  # (N,)
    while True:
        steps = token_ids.shape[1] - 1
        complete = (token_ids[:, -1] == EOS) | (steps >= limits[texts])
        for text, ids, score in zip(*(x[complete].tolist() for x in (texts, token_ids, scores)), strict=True):
            written = ids[1:-1] if ids[-1] == EOS else ids[1:]
            found[text].append((score / max(steps, 1) ** length_penalty, Hypothesis(written, score)))
        places = places - texts[complete].bincount(minlength=batch)
        alive = (~complete).nonzero().squeeze(1)
        if not len(alive):
            break
        texts, token_ids, scores = texts[alive], token_ids[alive], scores[alive]
        logits, state = decoder.step(token_ids[:, -1], state.rows(alive))  # (N, V)
        next_scores, next_ids = _continuations(logits, beam_size)  # (N, K)
        next_scores = (scores.unsqueeze(1) + next_scores).flatten()
        chosen = _best_of_each(next_scores, texts.repeat_interleave(next_ids.shape[1]), places)
        parents = chosen // next_ids.shape[1]
        texts, scores, state = texts[parents], next_scores[chosen], state.rows(parents)
        token_ids = torch.cat((token_ids[parents], next_ids.flatten()[chosen].unsqueeze(1)), dim=1)
    return [[hypothesis for _, hypothesis in sorted(one, key=lambda pair: -pair[0])] for one in found]


@torch.inference_mode()
def forced_scores(decoder: LanguageModel, state: LSTMState, token_ids: Sequence[Sequence[int]]) -> Tensor:
    """Return the log probabilities of given texts and their ``<eos>``, in nats: (B,).

    Args:
        decoder: the language model, in eval mode.
        state: (h_0, c_0) of the B texts.
        token_ids: B texts without ``<bos>`` and ``<eos>``.
    """
    column, rows = Ragged.from_lists([[*ids, EOS] for ids in token_ids]), torch.arange(len(token_ids)).numpy()
    device = state.h.device
    inputs = pack(column, rows, first=BOS).to(device)  # pyright: ignore[reportArgumentType, reportCallIssue]
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
    """Return log probabilities and ids of the best next tokens of each row: (N, V) -> twice (N, number or V - 2)."""
    logits = _wide(logits)
    normalizer = logits.logsumexp(-1, keepdim=True)
    logits[:, [UNK, BOS]] = -torch.inf
    top, token_ids = logits.topk(min(number, logits.shape[-1] - 2))
    return top - normalizer, token_ids


def _best_of_each(scores: Tensor, texts: Tensor, places: Tensor) -> Tensor:
    """Return the indices of the best candidates of each text, as many as it has places, text after text.

    Shapes: scores and texts (candidates,), places (B,).
    """
    order = scores.argsort(descending=True, stable=True)
    order = order[texts[order].argsort(stable=True)]  # text after text, each from its best on
    counts = texts.bincount(minlength=len(places))
    ranks = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[texts[order]]
    return order[ranks < places[texts[order]]]


def _wide(logits: Tensor) -> Tensor:
    """Return logits in float32 at least: sums of log probabilities need it."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
