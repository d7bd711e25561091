"""Sources in, translations out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from typing_extensions import Self, TypedDict, Unpack

from lstm_readout.decoding import check_beam, stepper_of, translate
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.pipelines.base import Pipeline, check_texts, packed_batches
from lstm_readout.tokenizer import Vocabulary


class Beam(TypedDict, total=False):
    """How a ``Translator`` searches; see its arguments."""

    beam_size: int
    length_penalty: float


class Translator(Pipeline):
    """A trained translator: ``Translator.load(path, beam_size=5)(["Ein Hund rennt."])``.

    Args:
        model, vocabulary: see ``Pipeline``.
        beam_size: hypotheses that are kept for each text; 1 takes the most probable token at every step (greedy).
        length_penalty: above 0, a beam prefers longer translations; see ``beam_search``.
    """

    task = "translate"
    model_type = Seq2Seq

    def __init__(
        self, model: nn.Module, vocabulary: Vocabulary, *, beam_size: int = 1, length_penalty: float = 0.0
    ) -> None:
        super().__init__(model, vocabulary)
        check_beam(beam_size, length_penalty)
        assert isinstance(model, Seq2Seq)
        self.stepper = stepper_of(model.decoder)
        self.beam_size, self.length_penalty = beam_size, length_penalty

    @classmethod
    def load(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, path: str | Path, device: str | torch.device = "cpu", *, int8: bool = False, **options: Unpack[Beam]
    ) -> Self:
        """Rebuild the model from a checkpoint file: see ``Pipeline.load``; ``options`` are those of the class."""
        plain = super().load(path, device, int8=int8)
        return cls(plain.model, plain.vocabulary, **options)

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> list[str]:
        """Translate each text; at most ``max_length`` tokens, or twice the source's and 20 more."""
        check_texts(texts)
        model, tokenizers, results = self.model, self.vocabulary.tokenizers, {}
        assert isinstance(model, Seq2Seq)
        for rows, source_ids in packed_batches(tokenizers["source"], texts, self.device):
            beam = (self.beam_size, self.length_penalty)
            written = translate(model, source_ids, max_length, *beam, stepper=self.stepper)
            for row, ids in zip(rows.tolist(), written, strict=True):
                results[row] = tokenizers["target"].decode(ids)
        return [results[row] for row in range(len(texts))]

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one translation a text."""
        for translation in self(texts):
            yield translation.replace("\n", " ")
