"""Ways to score a text other than one long pass: a language model and the rows to predict go in, mean losses come out.

Each scores every token once, in nats per token, and leaves the model unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lstm_readout.data.batches import GenerateBatch, moved
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import UNK, TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged, pack

BATCH_TOKENS = 2**14
DECODED_TOKENS = 2**16  # tokens checked for whether decoding restores the text


def fresh_loss(model: Any, rows: ScoredRows, every: int, device: torch.device) -> float:
    """Return the mean loss with the state reset to zeros every ``every`` tokens, as if the text started there.

    Transformers with a context of ``every`` tokens are scored this way, in adjacent windows: on average they see half
    of it. The first input of a window is the token before it.

    Args:
        model: has ``LanguageModel.loss``.
        rows: what to predict.
        every: tokens per window; the last window of each row may be shorter.
        device: where the model is.
    """
    total = 0.0
    with torch.no_grad():
        for batch in _windows(rows.cut(every)):
            loss, _ = model.loss(moved(batch.inputs, device), batch.targets.to(device))
            total += float(loss) * len(batch.targets)
    return total / len(rows.targets)


def units(rows: ScoredRows, texts: Sequence[str], bits_per_token: float) -> dict[str, float]:
    """Return the loss in units that are comparable between tokenizers.

    All bits of the split, including those of each ``<eos>``, are divided by the UTF-8 bytes, or the code points, of the
    original texts; an ``<eos>`` counts as 0 of them.

    Args:
        rows: what was predicted.
        texts: the texts of the split, none of them truncated.
        bits_per_token: the mean.
    """
    bits = bits_per_token * len(rows.targets)
    return {
        "bits_per_byte": bits / max(sum(len(text.encode()) for text in texts), 1),
        "bits_per_character": bits / max(sum(map(len, texts)), 1),
    }


def unk_share(rows: ScoredRows) -> float:
    """Return the share of ``<unk>`` among the predicted tokens: it is cheap to predict, whatever word it replaces."""
    return float(np.mean(rows.targets == UNK))


def gives_back(tokenizer: TextTokenizer, column: Ragged, texts: Iterable[str]) -> bool:
    """Return whether decoding restores the texts exactly, judged by the first ``DECODED_TOKENS`` tokens."""
    left = DECODED_TOKENS
    for row, text in enumerate(texts):
        ids = column.row(row)[:-1]  # without <eos>
        decoded = tokenizer.decode(ids[:left].tolist())
        if len(ids) > left:
            decoded = tokenizer.without_half_character(decoded)
            return text.endswith(decoded) if tokenizer.reverse else text.startswith(decoded)
        if decoded != text:
            return False
        left -= len(ids)
    return True


@contextmanager
def at_work(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Put the model on a device and in eval mode; restore both on exit."""
    modes = {module: module.training for module in model.modules()}
    before = next(model.parameters()).device
    model.to(device).eval()
    try:
        yield
    finally:
        model.to(before)
        for module, mode in modes.items():
            module.training = mode


def _windows(rows: ScoredRows) -> Iterator[GenerateBatch]:
    inputs, targets = Ragged(rows.inputs, rows.offsets), Ragged(rows.targets, rows.offsets)
    order = np.argsort(-inputs.lengths, kind="stable")
    tokens = np.cumsum(inputs.lengths[order])
    borders = np.searchsorted(tokens, np.arange(BATCH_TOKENS, tokens[-1], BATCH_TOKENS)) + 1
    for chosen in np.split(order, borders):
        if len(chosen):
            yield GenerateBatch(pack(inputs, chosen), pack(targets, chosen).data)
