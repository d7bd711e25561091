"""A trained model at work: a checkpoint goes in, an object that takes strings comes out.

Neither Lightning nor Hydra nor data is needed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Self

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import with_int8
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.models.rebuild import rebuild
from lstm_readout.nn.packed import to_device
from lstm_readout.tokenizer import TextTokenizer, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged, pack

Model = TypeVar("Model", bound=nn.Module)
Member = TypeVar("Member", bound=nn.Module)


class Pipeline(Generic[Model]):
    """A model in eval mode and the vocabulary that it was trained with.

    Args:
        model: the plain ``nn.Module``.
        vocabulary: its tokenizers and labels.
    """

    task: ClassVar[str]
    model_type: ClassVar[Callable[..., nn.Module]]

    def __init__(self, model: Model, vocabulary: Vocabulary) -> None:
        self.model = model.eval()
        self.vocabulary = vocabulary

    @classmethod
    def load(cls, path: str | Path | Checkpoint, device: str | torch.device = "cpu", *, int8: bool = False) -> Self:
        """Rebuild the model from a checkpoint file.

        Args:
            path: the file, or the checkpoint that was read from it.
            device: the model's device.
            int8: quantise the weights that every step of generation reads; on the CPU, and not for a classifier.

        Raises:
            UserError: the file is missing, broken, from another program or another task, or int8 is not possible.
        """
        return cls(*cls.read(path, device, int8=int8))

    @classmethod
    def read(
        cls, path: str | Path | Checkpoint, device: str | torch.device = "cpu", *, int8: bool = False
    ) -> tuple[Model, Vocabulary]:
        """Return the parts that ``load`` joins: the model and its vocabulary."""
        checkpoint = read_checkpoint(path, cls.task)
        model: Any = rebuild(checkpoint, cls.model_type)
        model = model.to(device)
        if int8:
            model = with_int8(model)
        return model, checkpoint.vocabulary

    @classmethod
    def members(
        cls, model: nn.Module, vocabulary: Vocabulary, paths: Sequence[str | Path], kind: type[Member]
    ) -> list[Member]:
        """Return a model and those of further checkpoints, the members of an ensemble.

        Raises:
            UserError: as ``load``, a model is not of this kind, or its vocabulary differs from the first.
        """
        models, wanted = [], vocabulary.to_dict()["tokenizers"]
        others = ((path, *cls.read(path)) for path in listed(paths))
        for path, one, its_vocabulary in chain([("", model, vocabulary)], others):
            if not isinstance(one, kind):
                raise UserError(f"ensemble: a {type(one).__name__} cannot be combined with others. Leave it out.")
            tokenizers = its_vocabulary.to_dict()["tokenizers"]
            for role in wanted:
                if tokenizers.get(role) != wanted[role]:
                    raise UserError(
                        f"ensemble: '{path}' has a different {role} vocabulary from the first checkpoint, so their "
                        "probabilities are for different tokens. Train all on the same data with the same tokenizer."
                    )
            models.append(one)
        return models

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return next(self.model.parameters()).device

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one line of output per text, as the command line prints it."""
        raise NotImplementedError

    def results(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the result of each text as plain values, column -> value, for a table; by default its line."""
        yield from ({"output": line} for line in self.lines(texts))


def listed(paths: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return the checkpoints of an ensemble; raise ``UserError`` for one path in place of a list."""
    if isinstance(paths, str | Path):
        raise UserError(f"ensemble: wanted a list of checkpoints, got '{paths}'. Set ensemble=[{paths}].")
    return paths


def packed_batches(
    tokenizer: TextTokenizer, texts: Sequence[str], device: torch.device
) -> Iterator[tuple[np.ndarray, PackedSequence]]:
    """Yield packed batches of texts of similar lengths: (positions in ``texts``, token ids)."""
    for rows, column in encoded_batches(tokenizer, texts):
        yield rows, to_device(pack(column, rows), device)


def encoded_batches(
    tokenizer: TextTokenizer, texts: Sequence[str], batch_size: int = 64
) -> Iterator[tuple[np.ndarray, Ragged]]:
    """Yield the positions of texts in batches of similar lengths, each with the ids of all texts."""
    column, _ = tokenizer.encode(list(texts))
    order = np.argsort(column.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size], column
