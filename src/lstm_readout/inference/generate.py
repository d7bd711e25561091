"""The prefix of a text goes in, its continuation comes out; with a reversed tokenizer, its end and what precedes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import Self, TypedDict, Unpack

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import (
    Int8LanguageModel,
    LanguageModelEnsemble,
    check_sampling,
    sample,
    sample_texts,
    stepper_of,
)
from lstm_readout.inference.pipeline import Pipeline, encoded_batches
from lstm_readout.inference.texts import as_texts
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.models.generate import LanguageModel
from lstm_readout.tokenizer import TextTokenizer, Vocabulary


class Sampling(TypedDict, total=False):
    """How a ``TextGenerator`` samples; see its arguments."""

    max_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int


class _SampleOptions(TypedDict):
    """The options of ``sample``."""

    max_length: int
    temperature: float
    top_k: int | None
    top_p: float | None


class TextGenerator(Pipeline[LanguageModel | Int8LanguageModel | LanguageModelEnsemble]):
    """A trained language model that continues texts: ``TextGenerator.load(path, temperature=0.8)(["ROMEO:"])``.

    A model trained with ``tokenizer.reverse=true`` takes the end of a text and generates what precedes it.

    Args:
        model: a ``LanguageModel``, or several as a ``LanguageModelEnsemble``.
        vocabulary: see ``Pipeline``.
        max_tokens: the limit on tokens to generate.
        temperature: below 1 safer, above 1 wilder; 0 always takes the most probable token.
        top_k: draw from the k most probable tokens only.
        top_p: draw from the smallest set of tokens with at least this probability.
        seed: of the random generator of each text; the same seed gives the same text.
    """

    task = "generate"
    model_type = LanguageModel

    def __init__(
        self,
        model: LanguageModel | Int8LanguageModel | LanguageModelEnsemble,
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
        self.stepper = stepper_of(model)
        self.max_tokens, self.temperature = max_tokens, temperature
        self.top_k, self.top_p, self.seed = top_k, top_p, seed

    @classmethod
    def load(
        cls,
        path: str | Path | Checkpoint,
        device: str | torch.device = "cpu",
        *,
        int8: bool = False,
        ensemble: Sequence[str | Path] = (),
        **options: Unpack[Sampling],
    ) -> Self:
        """Rebuild the model from a checkpoint file.

        Args:
            path, device, int8: see ``Pipeline.load``.
            ensemble: further checkpoints; their probabilities are averaged with those of the first at every step.
            options: those of the class.

        Raises:
            UserError: as ``Pipeline.load`` and ``with_other_language_models``.
        """
        if int8 and ensemble:
            raise UserError("int8=true: an ensemble works in float. Set int8=false, or ensemble=[].")
        model, vocabulary = cls.read(path, device, int8=int8)
        if ensemble:
            model = with_other_language_models(model, vocabulary, ensemble).to(device)
        return cls(model, vocabulary, **options)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Continue each text; the results are the continuations alone."""
        texts = as_texts(texts)
        tokenizer, results = self.tokenizer, {}
        for rows, column in encoded_batches(tokenizer, texts):
            prefixes = [column.row(row)[:-1].tolist() for row in rows]  # without <eos>
            generators = [torch.Generator(self.device).manual_seed(self.seed) for _ in prefixes]
            sampled = sample_texts(self.stepper, prefixes, **self._options(), generators=generators)
            for row, before, after in zip(rows.tolist(), prefixes, sampled, strict=True):
                continuation = self._new(tokenizer.decode([*before, *after]), tokenizer.decode(before))
                results[row] = tokenizer.without_half_character(continuation)
        return [results[row] for row in range(len(texts))]

    def stream(self, text: str) -> Iterator[str]:
        """Yield the continuation piece by piece as it is generated; with ``reverse`` each piece precedes the last."""
        tokenizer = self.tokenizer
        column, _ = tokenizer.encode([text])
        prefix = column.values[:-1].tolist()  # without <eos>
        generator = torch.Generator(self.device).manual_seed(self.seed)
        # Not the whole text is decoded each time: tokens before the last yielded piece do not affect spaces after it
        before, new, yielded = list(prefix), [], tokenizer.decode(prefix)
        for token_id in sample(self.stepper, prefix, **self._options(), generator=generator):
            new.append(token_id)
            now = tokenizer.decode([*before, *new])
            if tokenizer.without_half_character(now) != now or len(now) == len(yielded):
                continue
            yield self._new(now, yielded)
            before, new = [*before, *new] if tokenizer.joins_far else new, []
            yielded = tokenizer.decode(before)

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield each text with its continuation on one line: a line break in either is written as ``\\n``."""
        texts = as_texts(texts)
        for text, continuation in zip(texts, self(texts), strict=True):
            whole = continuation + text if self.tokenizer.reverse else text + continuation
            yield whole.replace("\r", "\\r").replace("\n", "\\n")

    def results(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the continuation of each text, as it is."""
        yield from ({"continuation": continuation} for continuation in self(texts))

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer of its texts."""
        return self.vocabulary.tokenizers["text"]

    def _new(self, now: str, before: str) -> str:
        """Return what ``now`` adds to ``before``."""
        return now[: len(now) - len(before)] if self.tokenizer.reverse else now[len(before) :]

    def _options(self) -> _SampleOptions:
        return {
            "max_length": self.max_tokens,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
        }


def with_other_language_models(
    model: nn.Module, vocabulary: Vocabulary, paths: Sequence[str | Path]
) -> LanguageModelEnsemble:
    """Return a language model and those of further checkpoints as one ensemble.

    Args:
        model: the first.
        vocabulary: its own; each other must have the same.
        paths: the other checkpoints.

    Raises:
        UserError: a model is not a language model, or its vocabulary differs.
    """
    return LanguageModelEnsemble(TextGenerator.members(model, vocabulary, paths, LanguageModel)).eval()
