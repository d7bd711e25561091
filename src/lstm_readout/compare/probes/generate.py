"""What a carried state is worth: a language model's checkpoint goes in, its loss by length of history comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lstm_readout.compare.held_out import held_out, stream_statistics
from lstm_readout.data.module import TextDataModule
from lstm_readout.data.windows import WARM_UP, StreamDataset, join_stream
from lstm_readout.models.generate import LanguageModel
from lstm_readout.tasks import GenerateTask

_HISTORY = 512  # tokens
_STARTS = 400  # places of the held-out stream
_WIDTHS, _WINDOWS = (1, 8, 32), (16, 64, 256)


@torch.inference_mode()
def worth_of_history(path: Path, data: TextDataModule, rows: int) -> dict[str, Any]:
    """Measure a language model by the number of tokens that its state has read, and audit its perplexity."""
    task = GenerateTask.load_from_checkpoint(path).eval()
    stream = join_stream(data.columns[held_out(data)]["text"])
    losses = _losses_by_step(task, stream)
    ends = [2**power for power in range(20) if 2**power <= len(losses)]
    points = [float(losses[end // 2 : end].mean()) for end in ends]
    names = [str(end) if end <= 2 else f"{end // 2 + 1} to {end}" for end in ends]
    worth = [[name, f"{point:.4f}", f"{point - points[-1]:+.4f}"] for name, point in zip(names, points, strict=True)]
    curve = {
        "x": ends,
        "lines": {"loss": points},
        "xlabel": "tokens read since the state was zero",
        "ylabel": "loss of the next token (nats)",
        "title": "what the carried state is worth",
        "log": True,
    }
    audit = _audit(task, stream)
    cells = {**audit["perplexity"], f"{_WIDTHS[-1]} x {_WINDOWS[1]}, no warm-up": audit["cold"]}
    middle = float(np.median(list(audit["perplexity"].values())))
    checked = [[name, f"{value:.6f}", f"{value / middle - 1:+.1e}"] for name, value in cells.items()]
    heads = ["width x window", "perplexity", "relative to the median"]
    return {
        "tables": {
            "Loss by length of history": (["tokens of history", "loss (nats)", "minus the longest"], worth),
            "Perplexity by batch width and window": (heads, checked),
        },
        "curves": {"history": curve},
        "audit": audit,
    }


def _losses_by_step(task: GenerateTask, stream: np.ndarray) -> np.ndarray:
    """Return the mean loss at each step after a zero state, over random places of the stream: (T,)."""
    model: LanguageModel = task.model
    length = min(_HISTORY, (len(stream) - 1) // 2)
    places = len(stream) - 1 - length
    starts = np.random.default_rng(0).integers(0, places, size=min(_STARTS, places))
    index = np.arange(length)[:, None] + starts  # (T, B)
    token_ids, targets = (torch.from_numpy(stream[index + shift].astype(np.int64)) for shift in (0, 1))
    batch_first = model.encoder.lstm.rnn.batch_first
    if batch_first:
        token_ids, targets = token_ids.T, targets.T
    logits: Any = model(token_ids).logits  # a tensor, as the ids are
    losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    return losses.mean(0 if batch_first else 1).double().numpy()


def _audit(task: GenerateTask, stream: np.ndarray) -> dict[str, Any]:
    """Return the perplexity at several batch widths and windows, which must not change it, and their spread."""
    perplexity = {
        f"{width} x {window}": _perplexity(task, StreamDataset(stream, columns=width, window=window, warm_up=WARM_UP))
        for width in _WIDTHS
        for window in _WINDOWS
    }
    middle = float(np.median(list(perplexity.values())))
    spread = max(abs(value / middle - 1) for value in perplexity.values())
    cold = _perplexity(task, StreamDataset(stream, columns=_WIDTHS[-1], window=_WINDOWS[1]))
    return {"perplexity": perplexity, "cold": cold, "spread": spread, "holds": spread < 1e-4}


def _perplexity(task: GenerateTask, stream: StreamDataset) -> float:
    nats, tokens = stream_statistics(task, stream).sum(0)
    return float(np.exp(nats / tokens))
