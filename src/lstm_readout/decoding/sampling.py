"""Tokens drawn by chance: the beginning of a text goes in, its continuation comes out token by token.

Shapes: V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lstm_readout.errors import UserError
from lstm_readout.models.generate import LanguageModel
from lstm_readout.tokenizer import BOS, EOS, UNK


@torch.inference_mode()
def sample(
    model: LanguageModel,
    token_ids: list[int],
    *,
    max_length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Yield tokens that go on from ``token_ids``, drawn from the model's softmax, until ``<eos>``.

    Args:
        model: the language model, in eval mode.
        token_ids: the text so far, without ``<bos>``.
        max_length: most tokens to draw.
        temperature: divides the logits: below 1 safer, above 1 wilder; 0 takes the most probable token.
        top_k: draw from the k most probable tokens only.
        top_p: draw from the smallest set of tokens that holds this probability (Holtzman et al. 2020, "The Curious
            Case of Neural Text Degeneration").
        generator: the source of chance, on the model's device.

    Raises:
        UserError: for a temperature, top_k or top_p out of range.
    """
    check_sampling(temperature, top_k, top_p)
    device = model.head.weight.device
    text = torch.tensor([BOS, *token_ids], device=device)
    time = 1 if model.encoder.lstm.rnn.batch_first else 0
    logits, state = model(text.unsqueeze(1 - time))
    next_logits = logits.flatten(0, 1)[-1]  # (V,): output at the last step of the one row
    for _ in range(max_length):
        token_id = draw(next_logits, temperature, top_k, top_p, generator)
        if token_id == EOS:
            return
        yield token_id
        logits, state = model.step(torch.tensor([token_id], device=device), state)
        next_logits = logits[0]


def draw(
    logits: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator | None,
) -> int:
    """Draw one token from logits (V,); never ``<unk>`` or ``<bos>``, which no text holds."""
    logits = logits.float().clone()
    logits[[UNK, BOS]] = -torch.inf
    if temperature < 1e-9:  # 0, or so near that the division would overflow
        return int(logits.argmax())
    logits = logits / temperature
    if top_k is not None and top_k < len(logits):
        logits[logits < logits.topk(top_k).values[-1]] = -torch.inf
    if top_p is not None:
        probabilities, order = logits.softmax(-1).sort(descending=True)
        outside = probabilities.cumsum(-1) - probabilities >= top_p  # what stands before it holds top_p already
        outside[0] = False
        logits[order[outside]] = -torch.inf
    return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ``UserError`` for a setting of ``sample`` that is out of range."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature: wanted 0 or more, got {temperature}.")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k: wanted 1 or more, or null for no limit, got {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p: wanted more than 0 and at most 1, or null for no limit, got {top_p}.")
