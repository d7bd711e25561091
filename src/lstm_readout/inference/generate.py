"""The beginning of a text in, its continuation out; or its end in, and what stands before it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from typing_extensions import Self, TypedDict, Unpack

from lstm_readout.inference.decoding import Int8LanguageModel, check_sampling, sample, sample_texts, stepper_of
from lstm_readout.inference.pipeline import Pipeline, check_texts, encoded_batches
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.models.generate import LanguageModel
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


class Sampling(TypedDict, total=False):
    """How a ``TextGenerator`` draws; see its arguments."""

    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


class Drawing(TypedDict):
    """How ``sample`` draws; see its arguments."""

    max_length: int
    temperature: float
    top_k: int | None
    top_p: float | None


class TextGenerator(Pipeline):
    """A trained language model that writes on: ``TextGenerator.load(path, temperature=0.8)(["ROMEO:"])``.

    One that was trained with ``tokenizer.reverse=true`` is given the end of a text, and writes what stands before it.

    Args:
        model, vocabulary: see ``Pipeline``.
        max_tokens: most tokens to write.
        temperature: below 1 safer, above 1 wilder; 0 always takes the most probable token.
        top_k: draw from the k most probable tokens only.
        top_p: draw from the smallest set of tokens that holds this probability.
        seed: the same seed writes the same text.
    """

    task = "generate"
    model_type = LanguageModel

    def __init__(
        self,
        model: nn.Module,
        vocabulary: Vocabulary,
        *,
        max_tokens: int = 200,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(model, vocabulary)
        check_sampling(temperature, top_k, top_p)
        assert isinstance(model, (LanguageModel, Int8LanguageModel))
        self.stepper = stepper_of(model)
        self.max_tokens, self.temperature, self.top_k, self.top_p, self.seed = (
            max_tokens,
            temperature,
            top_k,
            top_p,
            seed,
        )

    @classmethod
    def load(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        path: str | Path | Checkpoint,
        device: str | torch.device = "cpu",
        *,
        int8: bool = False,
        **options: Unpack[Sampling],
    ) -> Self:
        """Rebuild the model from a checkpoint file: see ``Pipeline.load``; ``options`` are those of the class."""
        return cls(*cls.read(path, device, int8=int8), **options)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Continue each text; the results hold the continuation alone."""
        check_texts(texts)
        tokenizer, results = self.tokenizer, {}
        for rows, column in encoded_batches(tokenizer, texts):
            given = [column.row(row)[:-1].tolist() for row in rows]  # without <eos>
            chance = [torch.Generator(self.device).manual_seed(self.seed) for _ in given]
            written = sample_texts(self.stepper, given, **self._drawing(), generators=chance)
            for row, before, after in zip(rows.tolist(), given, written, strict=True):
                continuation = self._new(tokenizer.decode([*before, *after]), tokenizer.decode(before))
                results[row] = tokenizer.without_half_character(continuation)
        return [results[row] for row in range(len(texts))]

    def stream(self, text: str) -> Iterator[str]:
        """Yield the continuation piece by piece, as it is written: behind the last, or before it with ``reverse``."""
        tokenizer = self.tokenizer
        column, _ = tokenizer.encode([text])
        given = column.values[:-1].tolist()  # without <eos>
        generator = torch.Generator(self.device).manual_seed(self.seed)
        # Not all of the text each time: what stands before the last piece that was told moves no spaces behind it
        before, new, told = list(given), [], tokenizer.decode(given)
        for token_id in sample(self.stepper, given, **self._drawing(), generator=generator):
            new.append(token_id)
            now = tokenizer.decode([*before, *new])
            if tokenizer.without_half_character(now) != now or len(now) == len(told):
                continue
            yield self._new(now, told)
            before, new = [*before, *new] if tokenizer.joins_far else new, []
            told = tokenizer.decode(before)

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield each text with its continuation."""
        for text, continuation in zip(texts, self(texts), strict=True):
            yield continuation + text if self.tokenizer.reverse else text + continuation

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer of its texts."""
        return self.vocabulary.tokenizers["text"]

    def _new(self, now: str, told: str) -> str:
        """Return what ``now`` has beyond ``told``."""
        return now[: len(now) - len(told)] if self.tokenizer.reverse else now[len(told) :]

    def _drawing(self) -> Drawing:
        return {
            "max_length": self.max_tokens,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
        }
