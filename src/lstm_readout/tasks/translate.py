"""Translate sentences: the task reads the encoder's ``(h_n, c_n)``, which becomes the decoder's first state.

With ``model.feed_state`` the softmax reads it at every step; with ``model.attention`` the task also reads ``output``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor
from torch.distributed import all_gather_object, get_world_size, is_available, is_initialized

from lstm_readout.data.batches import TranslateBatch
from lstm_readout.data.corpus import Role
from lstm_readout.data.module import TextDataModule
from lstm_readout.inference.decoding import check_beam, translate
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.head import check_label_smoothing
from lstm_readout.tasks.base import Stage, Task, text_of
from lstm_readout.tasks.counts import fill_bias
from lstm_readout.tasks.means import SplitMeans
from lstm_readout.tasks.metrics.baselines import bleu_of, timed
from lstm_readout.tasks.metrics.torchtext_bleu import require_bleu, torchtext_bleu
from lstm_readout.tokenizer import Vocabulary


class TranslateTask(Task):
    """Train a ``Seq2Seq`` with teacher forcing; measure BLEU and chrF of translations.

    Validation, after every epoch, decodes greedily; the test split is decoded with the beam.

    Args:
        label_smoothing: share of the target probability spread over the vocabulary, in training.
        beam_size, length_penalty: how the test split is decoded; see ``beam_search``.
        torchtext_bleu: also measure torchtext's BLEU of the test split (see ``docs/do/torchtext.md``).
        arguments: see ``Task``.

    Raises:
        UserError: label smoothing with an adaptive softmax, beam_size or length_penalty out of range, or torchtext is
            missing.
    """

    name = "translate"
    judged_by = "bleu"
    roles: ClassVar[Mapping[str, Role]] = {"source": "text", "target": "text"}
    batch_type = TranslateBatch
    model_type = Seq2Seq
    embeddings: ClassVar[Mapping[str, str]] = {"source": "encoder.embedding", "target": "decoder.encoder.embedding"}

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        beam_size: int = 1,
        length_penalty: float = 0.0,
        torchtext_bleu: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        check_label_smoothing(self.model.decoder.head, label_smoothing)
        check_beam(beam_size, length_penalty)
        if torchtext_bleu:
            require_bleu()
        self.torchtext_bleu = torchtext_bleu
        self.label_smoothing = label_smoothing
        self.beam_size, self.length_penalty = beam_size, length_penalty
        self.measures = SplitMeans()
        self.pairs: list[tuple[str, str]] = []  # (translation, reference) of the split being measured

    @classmethod
    def sizes(cls, vocabulary: Vocabulary) -> dict[str, int]:
        """Return both vocabulary sizes."""
        tokenizers = vocabulary.tokenizers
        return {
            "source_vocab_size": len(tokenizers["source"]),
            "target_vocab_size": len(tokenizers["target"]),
        }

    @classmethod
    def init_from_counts(cls, model: Seq2Seq, data: TextDataModule) -> None:
        """Let the softmax start from the frequencies of the target's tokens."""
        fill_bias(model.decoder.head, text_of(data.columns["train"], "target"))

    def loss(self, batch: TranslateBatch, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean loss per target token."""
        smoothing = self.label_smoothing if stage == "train" else 0.0
        loss = self.model.loss(batch.source, batch.target_inputs, batch.targets, label_smoothing=smoothing)
        return loss, len(batch.targets)

    def measure(self, batch: TranslateBatch, stage: Stage) -> None:
        """Add the loss of every target token, and translate."""
        loss, predictions = self.loss(batch, stage)
        self.measures.add(stage, loss, predictions)
        tokenizer = self.vocabulary.tokenizers["target"]
        beam = {"beam_size": self.beam_size, "length_penalty": self.length_penalty} if stage == "test" else {}
        translations = [tokenizer.decode(ids) for ids in translate(self.model, batch.source, **beam)]
        self.pairs.extend(zip(translations, batch.references, strict=True))

    def measured(self, stage: Stage) -> dict[str, float]:
        """Return loss and perplexity over target tokens, and corpus BLEU and chrF (sacreBLEU's defaults).

        ``bleu_lowercase`` is for comparison with papers that report lower-cased BLEU.
        """
        loss = self.measures.take(stage)
        translations, references = zip(*_of_all_processes(self.pairs), strict=True)
        self.pairs = []
        with_torchtext = self.torchtext_bleu and stage == "test"
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700)),
            "bleu": bleu_of(translations, references),
            "bleu_lowercase": BLEU(lowercase=True).corpus_score(translations, [references]).score,
            "chrf": CHRF().corpus_score(translations, [references]).score,
            **({"torchtext_bleu": torchtext_bleu(translations, references)} if with_torchtext else {}),
        }

    def describe_readout(self, batch: TranslateBatch) -> str:
        """Name ``(h_n, c_n)``, and with attention ``output``."""
        state = self.model.encoder.read(batch.source).state
        shapes = " and ".join(str(tuple(part.shape)) for part in state if part is not None)
        name = "h_n" if state.c is None else "(h_n, c_n)"
        bridge = "through a linear bridge" if self.model.bridge.h else "unchanged"
        message = f"this task reads the encoder's {name}, {bridge}: (layers * directions, batch, hidden) = {shapes}"
        if self.model.attends:
            steps, width = len(batch.source.batch_sizes), self.model.encoder.lstm.output_size
            output = f"(batch, time, directions * hidden) = {(len(batch.references), steps, width)}"
            attention = self.model.arguments["attention"]
            return f"{message}, and with {attention} attention its output at every real step: {output}"
        return f"{message}, and the softmax reads it again at every step" if self.model.looks_back else message

    def split_metrics(self, data: TextDataModule, split: str, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Return sacreBLEU's signatures, without which a BLEU cannot be compared (Post 2018)."""
        scorers = {"bleu": BLEU(), "bleu_lowercase": BLEU(lowercase=True), "chrf": CHRF()}
        for scorer in scorers.values():
            scorer.corpus_score(["a"], [["a"]])
        return {f"{name}_signature": str(scorer.get_signature()) for name, scorer in scorers.items()}

    def baselines(self, data: TextDataModule, *, full: bool = False) -> dict[str, Any]:
        """Return the BLEU of the untranslated source, and of the translation of the nearest training source."""
        # Here: scikit-learn would make every command start later
        from lstm_readout.tasks.metrics.nearest_source import Pairs, nearest_source_bleu

        split = "test" if "test" in data.texts else "validation"
        if split not in data.texts:
            return {}
        train, held_out = (
            Pairs(data.texts[name]["source"][:], data.texts[name]["target"][:]) for name in ("train", split)
        )
        copied = {"copy_source_bleu": bleu_of(held_out.sources, held_out.targets)}
        return copied | timed("nearest_source", partial(nearest_source_bleu, train, held_out, full=full))


def _of_all_processes(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if not (is_available() and is_initialized()):
        return pairs
    gathered: list[Any] = [None] * get_world_size()
    all_gather_object(gathered, pairs)
    return [pair for part in gathered for pair in part]
