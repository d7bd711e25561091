"""A trained model at work: a checkpoint goes in, something that takes strings comes out.

No Lightning, no Hydra and no data are needed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Self

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import with_int8
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.tokenizer import TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged, pack


class Pipeline:
    """A model in eval mode and the vocabulary that it was trained with.

    Args:
        model: the plain ``nn.Module``.
        vocabulary: its tokenizers and labels.
    """

    task: ClassVar[str]
    model_type: ClassVar[Callable[..., nn.Module]]

    def __init__(self, model: nn.Module, vocabulary: Vocabulary) -> None:
        self.model = model.eval()
        self.vocabulary = vocabulary

    @classmethod
    def load(cls, path: str | Path | Checkpoint, device: str | torch.device = "cpu", *, int8: bool = False) -> Self:
        """Rebuild the model from a checkpoint file.

        Args:
            path: the file, or the checkpoint that was read from it.
            device: where the model works.
            int8: quantise the weights that every step of writing reads; on the CPU, and not for a classifier.

        Raises:
            UserError: the file is missing, broken, not one of this project's, or of another task, or int8 cannot be.
        """
        return cls(*cls.read(path, device, int8=int8))

    @classmethod
    def read(
        cls, path: str | Path | Checkpoint, device: str | torch.device = "cpu", *, int8: bool = False
    ) -> tuple[nn.Module, Vocabulary]:
        """Return the parts of what ``load`` makes: the model and its vocabulary."""
        checkpoint = read_checkpoint(path, cls.task)
        model = cls.model_type(**checkpoint.model)
        model.load_state_dict(checkpoint.weights)
        model = model.to(device)
        return with_int8(model) if int8 else model, checkpoint.vocabulary

    @property
    def device(self) -> torch.device:
        """Where the model works."""
        return next(self.model.parameters()).device

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one line of output for each text, as the command line prints it."""
        raise NotImplementedError


def listed(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return the checkpoints of an ensemble; raise ``UserError`` for one in place of a list of them."""
    if isinstance(paths, str | Path):
        raise UserError(f"ensemble: wanted a list of checkpoints, got '{paths}'. Set ensemble=[{paths}].")
    return paths


def check_texts(texts: Sequence[str]) -> None:
    """Raise ``UserError`` for one string in place of a list of strings."""
    if isinstance(texts, str):
        raise UserError("wanted a list of strings, got one string. Put it in brackets: model([text]).")


def packed_batches(
    tokenizer: TextTokenizer, texts: Sequence[str], device: torch.device
) -> Iterator[tuple[np.ndarray, PackedSequence]]:
    """Yield the texts packed, similar lengths together: (positions in ``texts``, token ids)."""
    for rows, column in encoded_batches(tokenizer, texts):
        yield rows, pack(column, rows).to(device)  # pyright: ignore[reportArgumentType, reportCallIssue]


def encoded_batches(
    tokenizer: TextTokenizer, texts: Sequence[str], batch_size: int = 64
) -> Iterator[tuple[np.ndarray, Ragged]]:
    """Yield the texts' positions in batches of similar lengths, each with the ids of all texts."""
    column, _ = tokenizer.encode(list(texts))
    order = np.argsort(column.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size], column
