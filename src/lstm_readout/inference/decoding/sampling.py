"""Sampling: the prefixes of texts go in, random continuations come out.

Shapes: N unfinished texts, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.int8 import Decoder, stepper_of
from lstm_readout.inference.decoding.stepper import Stepper, forbid
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.tokenizer import BOS, EOS


@torch.inference_mode()
def sample(
    decoder: Decoder,
    prefix: list[int],
    *,
    max_length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Yield tokens that continue ``prefix``, drawn from the model's softmax, until ``<eos>``.

    Args:
        decoder: the language model, in eval mode; for many calls its ``Stepper``.
        prefix: ids of the text so far, without ``<bos>``.
        max_length: the limit on tokens to draw.
        temperature: divides the logits: below 1 safer, above 1 wilder; 0 takes the most probable token.
        top_k: draw from the k most probable tokens only.
        top_p: draw from the smallest set of tokens with at least this probability (Holtzman et al. 2020, "The Curious
            Case of Neural Text Degeneration").
        generator: the random generator, on the model's device.

    Raises:
        UserError: for a temperature, top_k or top_p out of range.
    """
    check_sampling(temperature, top_k, top_p)
    stepper = stepper_of(decoder)
    last, state = _begin(stepper, [prefix])
    for _ in range(max_length):
        logits, state = stepper(last, state)
        token_id = draw(logits[0], temperature, top_k, top_p, generator)
        if token_id == EOS:
            return
        yield token_id
        last.fill_(token_id)


@torch.inference_mode()
def sample_texts(
    decoder: Decoder,
    prefixes: Sequence[list[int]],
    *,
    max_length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generators: Sequence[torch.Generator | None] | None = None,
) -> list[list[int]]:
    """Continue several texts at once, each as ``sample`` does alone; texts that have ended leave the batch.

    Args:
        decoder, max_length, temperature, top_k, top_p: see ``sample``.
        prefixes: ids of the texts so far, without ``<bos>``.
        generators: the random generator of each text.

    Returns:
        The continuation of each text, without ``<eos>``.

    Raises:
        UserError: for a temperature, top_k or top_p out of range.
    """
    check_sampling(temperature, top_k, top_p)
    stepper, continuations = stepper_of(decoder), [[] for _ in prefixes]
    alive, generators = list(range(len(prefixes))), list(generators or [None] * len(prefixes))
    if not alive:
        return continuations
    last, state = _begin(stepper, prefixes)
    for _ in range(max_length):
        logits, state = stepper(last, state)
        last = _draw_each(logits, temperature, top_k, top_p, [generators[row] for row in alive])
        token_ids = last.tolist()
        for row, token_id in zip(alive, token_ids, strict=True):
            continuations[row] += [token_id] if token_id != EOS else []
        going_on = [k for k, token_id in enumerate(token_ids) if token_id != EOS]
        if not going_on:
            break
        if len(going_on) < len(alive):
            kept = torch.tensor(going_on, device=stepper.device)
            alive, last, state = [alive[k] for k in going_on], last[kept], state.rows(kept)
    return continuations


def draw(
    logits: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> int:
    """Draw one token from logits (V,); never ``<unk>`` or ``<bos>``, which are in no text."""
    return int(_draw_each(logits.unsqueeze(0), temperature, top_k, top_p, [generator]))


def _draw_each(
    logits: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generators: Sequence[torch.Generator | None],
) -> Tensor:
    """Draw one token per row, (N, V) -> (N,), as ``draw`` does."""
    logits = forbid(logits.float().clone())
    if temperature < 1e-9:  # 0, or so close that the division would overflow
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[1]:
        logits[logits < logits.topk(top_k).values[:, -1:]] = -torch.inf
    if top_p is not None:
        probabilities, order = logits.softmax(-1).sort(descending=True)
        outside = probabilities.cumsum(-1) - probabilities >= top_p  # the tokens before it have top_p already
        outside[:, 0] = False
        logits = logits.masked_fill(outside.scatter(1, order, outside), -torch.inf)
    # Inverse transform sampling, with one random number per text from its own generator
    sums = logits.softmax(-1).double().cumsum(-1)  # (N, V)
    numbers = torch.cat([torch.rand(1, generator=g, device=logits.device, dtype=torch.float64) for g in generators])
    falls = numbers.clamp(max=1 - 1e-12).unsqueeze(1) * sums[:, -1:]
    return torch.searchsorted(sums, falls, right=True).squeeze(1)


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ``UserError`` for a setting of ``sample`` that is out of range."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature: wanted 0 or more, got {temperature}.")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k: wanted 1 or more, or null for no limit, got {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p: wanted more than 0 and at most 1, or null for no limit, got {top_p}.")


def _begin(stepper: Stepper, prefixes: Sequence[list[int]]) -> tuple[Tensor, DecoderState]:
    """Read ``<bos>`` and the prefixes without their last tokens; return those, (N,), and the state before them."""
    whole = [torch.tensor([BOS, *ids], device=stepper.device) for ids in prefixes]
    return torch.stack([ids[-1] for ids in whole]), stepper.read([ids[:-1] for ids in whole])
