"""Sources go in, translations come out; or given translations go in, and their scores come out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Self, TypedDict, Unpack

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import (
    Ensemble,
    Int8LanguageModel,
    check_beam,
    forced_scores,
    length_limits,
    stepper_of,
    translate,
    translations,
)
from lstm_readout.inference.pipeline import Pipeline, packed_batches
from lstm_readout.inference.texts import as_texts
from lstm_readout.models.attentive_decoder import AttentiveDecoder
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.decoder_state import with_memory
from lstm_readout.nn.packed import to_device
from lstm_readout.tokenizer import BOS, EOS, Vocabulary
from lstm_readout.tokenizer.ragged import Ragged, pack


class _Search(TypedDict, total=False):
    """How a ``Translator`` searches; see its arguments. None: as the test split of the run was decoded."""

    beam_size: int | None
    length_penalty: float | None
    n_best: int | None


class Translation(NamedTuple):
    """One translation of a text, with its score."""

    text: str  # detokenised
    log_probability: float  # in nats: of all tokens and <eos>, unless the text was cut
    tokens: int  # that the log probability counts, <eos> included


class AttentionMap(NamedTuple):
    """Where a translator looked while it generated a translation."""

    source: list[str]  # S tokens
    target: list[str]  # T tokens, <eos> last
    weights: list[list[float]]  # (T, S); each row sums to 1


class Translator(Pipeline[Seq2Seq | Ensemble]):
    """A trained translator: ``Translator.load(path, beam_size=5)(["Ein Hund rennt."])``.

    Args:
        model: a ``Seq2Seq``, or several as an ``Ensemble``.
        vocabulary: see ``Pipeline``.
        beam_size: hypotheses that are kept per text; 1 takes the most probable token at every step (greedy).
        length_penalty: above 0, a beam prefers longer translations; see ``beam_search``.
        n_best: the number of translations per text that ``lines`` yields, with their scores; None: the best, as text.

    Raises:
        UserError: for settings out of range, or ``n_best`` above ``beam_size``.
    """

    task = "translate"
    model_type = Seq2Seq

    def __init__(
        self,
        model: Seq2Seq | Ensemble,
        vocabulary: Vocabulary,
        *,
        beam_size: int = 1,
        length_penalty: float = 0.0,
        n_best: int | None = None,
    ) -> None:
        super().__init__(model, vocabulary)
        check_beam(beam_size, length_penalty)
        if n_best is not None and not 1 <= n_best <= beam_size:
            raise UserError(
                f"n_best: wanted 1 to beam_size={beam_size} (a beam finds no more), got {n_best}. "
                f"Set beam_size={max(n_best, 2)}, or n_best=null."
            )
        self.translator = model
        self.stepper = stepper_of(model.decoder)
        self.beam_size, self.length_penalty, self.n_best = beam_size, length_penalty, n_best

    @classmethod
    def load(
        cls,
        path: str | Path | Checkpoint,
        device: str | torch.device = "cpu",
        *,
        int8: bool = False,
        ensemble: Sequence[str | Path] = (),
        **options: Unpack[_Search],
    ) -> Self:
        """Rebuild the model from a checkpoint file.

        Args:
            path, device, int8: see ``Pipeline.load``.
            ensemble: further checkpoints, which decode as one with the first; see ``Ensemble``.
            options: those of the class. Without ``beam_size`` and ``length_penalty`` it decodes as the first
                checkpoint's run decoded its test split, in float32; where the checkpoint says nothing, greedily.

        Raises:
            UserError: as ``Pipeline.load`` and ``with_others``.
        """
        if int8 and ensemble:
            raise UserError("int8=true: an ensemble works in float. Set int8=false, or ensemble=[].")
        checkpoint = read_checkpoint(path, cls.task)
        model, vocabulary = cls.read(checkpoint, device, int8=int8)
        if ensemble:
            model = with_others(model, vocabulary, ensemble).to(device)
        search = search_of(checkpoint)
        search |= {key: value for key, value in options.items() if value is not None}
        return cls(model, vocabulary, **search)

    def __call__(self, texts: Sequence[str], max_length: int | None = None) -> list[str]:
        """Translate each text, up to ``max_length`` tokens; None: twice those of the source plus 20."""
        texts = as_texts(texts)
        tokenizers, results = self.vocabulary.tokenizers, {}
        for rows, source_ids in packed_batches(tokenizers["source"], texts, self.device):
            beam = (self.beam_size, self.length_penalty)
            translated = translate(self.translator, source_ids, max_length, *beam, stepper=self.stepper)
            for row, ids in zip(rows.tolist(), translated, strict=True):
                results[row] = tokenizers["target"].decode(ids)
        return [results[row] for row in range(len(texts))]

    def best(self, texts: Sequence[str], number: int, max_length: int | None = None) -> list[list[Translation]]:
        """Return up to ``number`` translations of each text, the best first; ``number`` is at most ``beam_size``."""
        texts = as_texts(texts)
        tokenizers, results = self.vocabulary.tokenizers, {}
        for rows, source_ids in packed_batches(tokenizers["source"], texts, self.device):
            beam = (self.beam_size, max_length, self.length_penalty)
            found = translations(self.translator, source_ids, *beam, stepper=self.stepper)
            limits = length_limits(source_ids, max_length)
            for row, hypotheses, limit in zip(rows.tolist(), found, limits, strict=True):
                results[row] = [
                    Translation(tokenizers["target"].decode(ids), score, min(len(ids) + 1, limit))
                    for ids, score in hypotheses[:number]
                ]
        return [results[row] for row in range(len(texts))]

    @torch.inference_mode()
    def score(self, texts: Sequence[str], targets: Sequence[str]) -> list[Translation]:
        """Return the log probability of a given translation of each text.

        Raises:
            UserError: for lists of different length, or int8, which is for single steps only.
        """
        texts, targets = as_texts(texts), as_texts(targets)
        if len(texts) != len(targets):
            raise UserError(f"target: wanted one for each of {len(texts)} texts, got {len(targets)}.")
        if isinstance(self.translator.decoder, Int8LanguageModel):
            raise UserError("int8=true: a given translation is scored in float. Set int8=false.")
        column, cut = self.vocabulary.tokenizers["target"].encode(list(targets))
        if cut:
            raise UserError("target: longer than the max_length of its tokenizer. Score a shorter one.")
        results: dict[int, Translation] = {}
        for rows, source_ids in packed_batches(self.vocabulary.tokenizers["source"], texts, self.device):
            forced = [column.row(row)[:-1].tolist() for row in rows]  # without <eos>
            scores = forced_scores(self.translator.decoder, self.translator.encode(source_ids), forced)
            for row, ids, score in zip(rows.tolist(), forced, scores.tolist(), strict=True):
                results[row] = Translation(targets[int(row)], score, len(ids) + 1)
        return [results[row] for row in range(len(texts))]

    @torch.inference_mode()
    def attention(self, text: str, target: str | None = None) -> AttentionMap:
        """Return where the decoder looked while it generated ``target``, or its own translation if none is given.

        Raises:
            UserError: the model has no attention, or is an ensemble.
        """
        model, tokenizers = self.translator, self.vocabulary.tokenizers
        if isinstance(model, Ensemble):
            raise UserError("attention_map: each model of an ensemble has its own attention. Leave ensemble out.")
        decoder = model.decoder.model if isinstance(model.decoder, Int8LanguageModel) else model.decoder
        if not isinstance(decoder, AttentiveDecoder):
            raise UserError(
                "attention_map: this translator was trained with model.attention=none: its decoder reads the state "
                "alone. Train one with model.attention=general (or dot, additive)."
            )
        ((_, source_ids),) = packed_batches(tokenizers["source"], [text], self.device)
        if target is None:
            (ids,) = translate(model, source_ids, None, self.beam_size, self.length_penalty, stepper=self.stepper)
        else:
            ids = tokenizers["target"].encode([target])[0].values[:-1].tolist()
        inputs = to_device(_inputs([*ids, EOS]), self.device)
        weights = decoder.weights(inputs, with_memory(model.encode(source_ids)))[0]  # (T, S)
        if model.encoder.reverse:
            weights = weights.flip(-1)
        names = [tokenizers[role].tokens for role in ("source", "target")]
        return AttentionMap(
            [names[0][token_id] for token_id in source_ids.data.tolist()],
            [names[1][token_id] for token_id in (*ids, EOS)],
            weights.tolist(),
        )

    def lines(self, texts: Sequence[str]) -> Iterator[str]:
        """Yield one translation per text; with ``n_best`` one JSON object per text, with that many translations."""
        for result in self.results(texts):
            if self.n_best is None:
                yield result["translation"].replace("\r", " ").replace("\n", " ")
            else:
                yield json.dumps(result, ensure_ascii=False)

    def results(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the translation of each text; with ``n_best`` that many, with their scores."""
        if self.n_best is None:
            yield from ({"translation": translation} for translation in self(texts))
        else:
            for translations in self.best(texts, self.n_best):
                yield {"translations": [as_values(one) for one in translations]}


def search_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return ``beam_size`` and ``length_penalty`` of the run's test split; nothing for a run that did not save them."""
    saved = checkpoint.config.get("task", {})
    return {key: saved[key] for key in ("beam_size", "length_penalty") if key in saved}


def as_values(translation: Translation) -> dict[str, str | float]:
    """Return a scored translation as plain values, with its log probability per token."""
    text, total, tokens = translation
    rounded = {"log_probability": round(total, 6), "tokens": tokens, "per_token": round(total / tokens, 6)}
    return {"text": text, **rounded}


def with_others(model: nn.Module, vocabulary: Vocabulary, paths: Sequence[str | Path]) -> Ensemble:
    """Return a translator and those of further checkpoints as one ensemble.

    Args:
        model: the first, a ``Seq2Seq``.
        vocabulary: its own; each other must have the same.
        paths: the other checkpoints.

    Raises:
        UserError: a model is not a translator, or its vocabulary differs.
    """
    return Ensemble(Translator.members(model, vocabulary, paths, Seq2Seq)).eval()


def _inputs(token_ids: list[int]) -> PackedSequence:
    """Return what the decoder reads to generate these ids: ``<bos>`` and all but the last."""
    column = Ragged.from_lists([token_ids])
    return pack(column, torch.arange(1).numpy(), first=BOS)
