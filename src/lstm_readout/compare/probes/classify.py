"""How much of a text a classifier needs: a checkpoint goes in, accuracy against the fraction read comes out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import unpack_sequence

from lstm_readout.compare.held_out import held_out_rows
from lstm_readout.data.batches import ClassifyBatch
from lstm_readout.data.module import TextDataModule
from lstm_readout.models.classify import Classifier
from lstm_readout.tasks import ClassifyTask
from lstm_readout.tokenizer.ragged import Ragged, pack

FRACTIONS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@torch.inference_mode()
def accuracy_of_prefixes(path: Path, data: TextDataModule, rows: int) -> dict[str, Any]:
    """Apply the trained classifier to every prefix of the held-out texts."""
    model: Classifier = ClassifyTask.load_from_checkpoint(path).eval().model
    lengths: list[int] = []
    correct: list[Tensor] = []
    for batch in held_out_rows(data, rows):
        texts = [text.tolist() for text in unpack_sequence(batch.token_ids)]
        lengths += [len(text) for text in texts]
        correct.append(_correct(model, texts, batch))
    lines = _by_length(torch.cat(correct).double().numpy(), np.array(lengths))
    heads = ["", *(f"{fraction:.0%}" for fraction in FRACTIONS[1::2])]
    table = [[name, *(f"{value:.3f}" for value in values[1::2])] for name, values in lines.items()]
    curve = {
        "x": FRACTIONS,
        "lines": lines,
        "xlabel": "fraction of the text read",
        "ylabel": "accuracy",
        "title": "when did it know?",
    }
    return {"tables": {"Accuracy against fraction read": (heads, table)}, "curves": {"prefixes": curve}}


def _correct(model: Classifier, texts: list[list[int]], batch: ClassifyBatch) -> Tensor:
    """Return whether each text is classified correctly from each fraction of it: (B, fractions)."""
    columns = []
    for fraction in FRACTIONS:
        prefixes = Ragged.from_lists([text[: max(1, round(fraction * len(text)))] for text in texts])
        columns.append(model(pack(prefixes, np.arange(len(texts)))).argmax(-1) == batch.labels)
    return torch.stack(columns, dim=1)


def _by_length(correct: np.ndarray, lengths: np.ndarray) -> dict[str, list[float]]:
    """Return the accuracy at each fraction, of all texts and of each quarter by length.

    Args:
        correct: (R, fractions).
        lengths: (R,) tokens.
    """
    borders = np.unique(np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1]).astype(int))
    lines = {"all texts": correct.mean(0).tolist()}
    for low, high in pairwise(borders):
        inside = (lengths >= low) & ((lengths < high) | (high == borders[-1]))
        if inside.any() and len(borders) > 2:
            lines[f"{low} to {high if high == borders[-1] else high - 1} tokens"] = correct[inside].mean(0).tolist()
    return lines
