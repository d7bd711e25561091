"""The beginning of a text in, its continuation out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from typing_extensions import Self, TypedDict, Unpack

from lstm_readout.decoding import check_sampling, sample
from lstm_readout.models.generate import LanguageModel
from lstm_readout.pipelines.base import Pipeline, check_texts
from lstm_readout.tokenizer import Vocabulary


class Sampling(TypedDict, total=False):
    """How a ``TextGenerator`` draws; see its arguments."""

    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


class TextGenerator(Pipeline):
    """A trained language model that writes on: ``TextGenerator.load(path, temperature=0.8)(["ROMEO:"])``.

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
        self.max_tokens, self.temperature, self.top_k, self.top_p, self.seed = (
            max_tokens,
            temperature,
            top_k,
            top_p,
            seed,
        )

    @classmethod
    def load(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, path: str | Path, device: str | torch.device = "cpu", **options: Unpack[Sampling]
    ) -> Self:
        """Rebuild the model from a checkpoint file; ``options`` are those of the class."""
        plain = super().load(path, device)
        return cls(plain.model, plain.vocabulary, **options)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Continue each text; the results hold the continuation alone."""
        check_texts(texts)
        return ["".join(self.stream(text)) for text in texts]

    def stream(self, text: str) -> Iterator[str]:
        """Yield the continuation piece by piece, as it is written."""
        tokenizer, model = self.vocabulary.tokenizers["text"], self.model
        assert isinstance(model, LanguageModel)
        column, _ = tokenizer.encode([text])
        given = column.values[:-1].tolist()  # without <eos>
        generator = torch.Generator(self.device).manual_seed(self.seed)
        written, told = list(given), tokenizer.decode(given)
        for token_id in sample(
            model,
            given,
            max_length=self.max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            generator=generator,
        ):
            written.append(token_id)
            now = tokenizer.decode(written)
            if now.endswith("\ufffd"):  # half a character so far
                continue
            yield now[len(told) :]
            told = now

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield each text with its continuation."""
        for text in texts:
            yield text + "".join(self.stream(text))
