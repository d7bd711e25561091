"""One pass over a text: a language model and the rows to predict go in, the log probability of every token comes out.

Each row is read from start to end, from a zero state. A ``Learner`` may change the weights, and a ``Cache`` the
probabilities, by the tokens that have been scored before.

Shapes: N tokens, n tokens of a window, O width of ``output``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.nn.head import target_log_probabilities
from lstm_readout.nn.packed import as_packed
from lstm_readout.tasks.metrics.dynamic_evaluation import GradientSquares, Learner
from lstm_readout.tasks.metrics.neural_cache import Cache
from lstm_readout.tasks.metrics.predictions import ScoredRows

_WINDOW = 512  # tokens at a time where nothing is learned


class Scores(NamedTuple):
    """Log probabilities of every token, in nats."""

    model: np.ndarray  # (N,) of the model alone
    cached: np.ndarray  # (N,) with the cache; the same without one


def score(
    model: LanguageModel,
    learner: Learner | GradientSquares | None,
    cache: Cache | None,
    *,
    rows: ScoredRows,
    device: torch.device,
) -> Scores:
    """Score each token of the rows, and only then let the learner and the cache see it.

    Args:
        model: in eval mode, on the device; its weights are restored at the end.
        learner: made for this model; None: nothing learns.
        cache: None: no cache.
        rows: what to predict.
        device: where the model is.
    """
    plain, cached = np.empty(len(rows.targets)), np.empty(len(rows.targets))
    window = learner.window if learner else _WINDOW
    # cuDNN has a backward pass only in training mode; without cuDNN there is one in evaluation mode as well
    with torch.set_grad_enabled(learner is not None), torch.backends.cudnn.flags(enabled=learner is None):
        try:
            for begin, end in zip(rows.offsets[:-1].tolist(), rows.offsets[1:].tolist(), strict=True):
                state: DecoderState | None = None
                for start in range(begin, end, window):
                    part = slice(start, min(start + window, end))
                    targets = _ids(rows.targets[part], device)
                    output, state = _read(model, _ids(rows.inputs[part], device), state)
                    now = target_log_probabilities(model.head, output, targets, model.arguments["vocab_size"])
                    plain[part] = cached[part] = now.detach().cpu()
                    if cache:
                        cached[part] = cache.mix(now.detach(), output.detach(), targets).cpu()
                    if learner and part.stop < end:
                        learner.learn(-now.mean())
                _forget(learner, cache)
        finally:
            _forget(learner, cache)
    return Scores(plain, cached)


def _read(model: LanguageModel, token_ids: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
    """Return ``output`` (n, O) after each token of one row, and the state after the last."""
    lstm = model.read(PackedSequence(token_ids, torch.ones(len(token_ids), dtype=torch.int64)), state)
    return as_packed(lstm.output).data, lstm.state.detach()


def _ids(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(device)


def _forget(*followers: Learner | GradientSquares | Cache | None) -> None:
    for follower in followers:
        if follower:
            follower.forget()
