"""Ways to score a text other than one long pass: a language model and the rows to predict go in, mean losses come out.

Each scores every token once, in nats per token, and leaves the model unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.data.batches import GenerateBatch, moved
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import UNK, TextTokenizer
from lstm_readout.tokenizer.ragged import Ragged, pack

BATCH_TOKENS = 2**14
DECODED_TOKENS = 2**16  # tokens checked for whether decoding restores the text


@dataclass(frozen=True)
class DynamicEvaluation:
    """How the weights adapt to the text being scored.

    Krause et al. 2018, "Dynamic Evaluation of Neural Sequence Models", with plain gradient descent: after a window is
    scored, ``w += decay * (trained - w) - lr * gradient``.

    Args:
        lr: step size; None: no dynamic evaluation.
        window: tokens per step. They are scored before the model learns from them.
        decay: share of the way back to the trained weights at each step.

    Raises:
        UserError: a value is out of range.
    """

    lr: float | None = None
    window: int = 20
    decay: float = 0.0

    def __post_init__(self) -> None:
        where = "task.dynamic_evaluation"
        if self.lr is not None and not (_is_number(self.lr) and 0 <= self.lr < math.inf):
            raise UserError(f"{where}.lr: wanted a number, 0 or more, or null for none, got {self.lr}.")
        if type(self.window) is not int or self.window < 1:
            raise UserError(f"{where}.window: wanted a whole number of tokens, 1 or more, got {self.window}.")
        if not (_is_number(self.decay) and 0 <= self.decay <= 1):
            raise UserError(f"{where}.decay: wanted a share between 0 and 1, got {self.decay}.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> DynamicEvaluation:
        """Build the settings from a mapping of the configuration; refuse unknown names."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(f"task.dynamic_evaluation: there is no '{name}'. {did_you_mean(name, known)}")
        return cls(**values)


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


def dynamic_loss(model: LanguageModel, rows: ScoredRows, how: DynamicEvaluation, device: torch.device) -> float:
    """Return the mean loss when the weights learn from each window after it is scored.

    Each row is read from start to end, starting from the trained weights and a zero state, so the order of documents
    does not matter.
    """
    adapted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trained = [parameter.detach().clone() for parameter in adapted]
    total = 0.0
    try:
        # cuDNN has a backward pass only in training mode; without cuDNN there is one in evaluation mode as well
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            for begin, end in zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True):
                _copy(adapted, trained)
                state: DecoderState | None = None
                for start in range(begin, end, how.window):
                    part = slice(start, min(start + how.window, end))
                    inputs, targets = _ids(rows.inputs[part], device), _ids(rows.targets[part], device)
                    one_row = PackedSequence(inputs, torch.ones(len(inputs), dtype=torch.int64))
                    loss, state = model.loss(one_row, targets, state)
                    total += float(loss.detach()) * len(targets)
                    state = state.detach()
                    if part.stop < end:
                        gradients = torch.autograd.grad(loss, adapted, allow_unused=True)
                        _follow(adapted, trained, gradients, how.lr or 0.0, how.decay)
    finally:
        _copy(adapted, trained)
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


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _ids(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


@torch.no_grad()
def _follow(
    adapted: list[torch.nn.Parameter],
    trained: list[Tensor],
    gradients: tuple[Tensor | None, ...],
    lr: float,
    decay: float,
) -> None:
    for parameter, origin, gradient in zip(adapted, trained, gradients, strict=True):
        parameter.lerp_(origin, decay)
        if gradient is not None:
            parameter.add_(gradient, alpha=-lr)


@torch.no_grad()
def _copy(adapted: list[torch.nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(adapted, values, strict=True):
        parameter.copy_(value)
