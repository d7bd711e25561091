"""Generate text: the task reads ``output`` at every step."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from lstm_readout.data.batches import GenerateBatch
from lstm_readout.data.corpus import Role
from lstm_readout.data.module import TextDataModule, data_of
from lstm_readout.errors import UserError
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.head import check_label_smoothing
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.tasks.base import Stage, Task, text_of
from lstm_readout.tasks.counts import fill_bias
from lstm_readout.tasks.means import SplitMeans
from lstm_readout.tasks.metrics.adaptation import Adaptation
from lstm_readout.tasks.metrics.adaptation_settings import settings_of
from lstm_readout.tasks.metrics.adaptive_ngrams import AdaptiveNgrams
from lstm_readout.tasks.metrics.baselines import timed, unigram_loss
from lstm_readout.tasks.metrics.dynamic_evaluation import DynamicEvaluation
from lstm_readout.tasks.metrics.kneser_ney import kneser_ney_loss
from lstm_readout.tasks.metrics.neural_cache import NeuralCache
from lstm_readout.tasks.metrics.perplexity import at_work, fresh_loss, gives_back, units, unk_share
from lstm_readout.tasks.metrics.predictions import ScoredRows
from lstm_readout.tokenizer import Vocabulary

log = logging.getLogger(__name__)


class GenerateTask(Task):
    """Train a ``LanguageModel`` with cross-entropy on the next token; measure perplexity.

    Batches of a continuous stream start from the detached ``(h_n, c_n)`` of the previous batch: the state continues,
    the gradient ends at the window (truncated backpropagation through time). Each split carries its own state.

    Args:
        label_smoothing: share of the target probability spread over the vocabulary, in training.
        activation_regularization, temporal_activation_regularization: weights of two penalties on ``output``; see
            ``LanguageModel.loss``.
        drop_state: share of the rows of a stream that start a training window from a zero state, so that the model also
            does well without a past (Melis et al. 2018, "On the State of the Art of Evaluation in Neural Language
            Models": ``drop_state_probability`` in its code).
        fresh_state_every: N; if given, the final metrics include the loss with the state reset to zeros every N tokens:
            see ``fresh_loss``.
        dynamic_evaluation, neural_cache, adaptive_ngrams: the arguments of ``DynamicEvaluation``, ``NeuralCache`` and
            ``AdaptiveNgrams``: with an ``lr``, a ``share`` or an ``order`` the final metrics include the loss of a
            model that adapts to the text it has been scored on, see ``Adaptation``.
        arguments: see ``Task``.

    Raises:
        UserError: label smoothing with an adaptive softmax, or a setting is out of range; when training starts:
            ``drop_state`` without a stream.
    """

    name = "generate"
    roles: ClassVar[Mapping[str, Role]] = {"text": "text"}
    batch_type = GenerateBatch
    model_type = LanguageModel
    embeddings: ClassVar[Mapping[str, str]] = {"text": "encoder.embedding"}

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        activation_regularization: float = 0.0,
        temporal_activation_regularization: float = 0.0,
        drop_state: float = 0.0,
        fresh_state_every: int | None = None,
        dynamic_evaluation: Mapping[str, Any] | None = None,
        neural_cache: Mapping[str, Any] | None = None,
        adaptive_ngrams: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        check_label_smoothing(self.model.head, label_smoothing)
        self.penalties = {
            "activation": activation_regularization,
            "temporal_activation": temporal_activation_regularization,
        }
        self.label_smoothing = label_smoothing
        if not 0 <= drop_state <= 1:
            raise UserError(f"task.drop_state: wanted a share of the rows, 0 to 1, got {drop_state}.")
        self.drop_state = drop_state
        if fresh_state_every is not None and fresh_state_every < 1:
            raise UserError(f"task.fresh_state_every: wanted 1 token or more, or null, got {fresh_state_every}.")
        self.fresh_state_every = fresh_state_every
        self.adaptation = Adaptation(
            settings_of(DynamicEvaluation, "task.dynamic_evaluation", dynamic_evaluation),
            settings_of(NeuralCache, "task.neural_cache", neural_cache),
            settings_of(AdaptiveNgrams, "task.adaptive_ngrams", adaptive_ngrams),
        )
        self.measures = SplitMeans()
        self.carried: dict[str, LSTMState] = {}  # stage -> state after its last batch

    @classmethod
    def sizes(cls, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the vocabulary size."""
        return {"vocab_size": len(vocabulary.tokenizers["text"])}

    @classmethod
    def init_from_counts(cls, model: LanguageModel, data: TextDataModule) -> None:
        """Let the softmax start from the frequencies of the tokens."""
        fill_bias(model.head, text_of(data.columns["train"]))

    def loss(self, batch: GenerateBatch, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean loss per predicted token."""
        options = {"label_smoothing": self.label_smoothing, **self.penalties} if stage == "train" else {}
        state = self.carried[stage].rows(slice(int(batch.inputs.batch_sizes[0]))) if batch.continues else None
        if state is not None and stage == "train" and self.drop_state:
            state = state.scaled((torch.rand(state.h.shape[1], device=state.h.device) >= self.drop_state).to(state.h))
        loss, state = self.model.loss(batch.inputs, batch.targets, state, scored=batch.scored, **options)
        self.carried[stage] = state.detach()
        return loss, len(batch.targets)

    def measure(self, batch: GenerateBatch, stage: Stage) -> None:
        """Add the loss of every predicted token."""
        loss, predictions = self.loss(batch, stage)
        self.measures.add(stage, loss, predictions)

    def measured(self, stage: Stage) -> dict[str, float]:
        """Return the mean over all tokens of the split, and its exponential."""
        loss = self.measures.take(stage)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700)), "bits_per_token": loss / math.log(2)}

    def describe_readout(self, batch: GenerateBatch) -> str:
        """Name ``output`` at every step."""
        output = self.model.encoder(batch.inputs).output.data
        return f"this task reads output at every step: (tokens of the batch, hidden) = {tuple(output.shape)}"

    def setup(self, stage: str) -> None:
        """Refuse options that an int8 model, or rows that carry no state, cannot support."""
        data = data_of(self.trainer)  # loaders of the user's own are trusted
        if stage == "fit" and self.drop_state and data is not None and not data.carry_state:
            raise UserError(
                f"task.drop_state={self.drop_state:g}: only a continuous stream carries states that can be dropped. "
                "Set data.carry_state=true, or task.drop_state=0."
            )
        self.adaptation.check(self.model)

    def split_metrics(self, data: TextDataModule, split: str, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Return units comparable between tokenizers, caveats on them, and losses under other protocols."""
        column, texts = text_of(data.columns[split]), data.texts[split]["text"][:]
        rows = ScoredRows.of(column, data.carry_state)
        more: dict[str, Any] = {"unk_share": unk_share(rows)}
        cut = data.encoded.report["splits"][split]["roles"]["text"]["truncated"]
        if cut:
            log.warning("%s: tokenizer.max_length truncated %d text(s), so this split has no bits per byte", split, cut)
        else:
            more |= units(rows, texts, metrics["bits_per_token"])
            if not gives_back(self.vocabulary.tokenizers["text"], column, texts):
                more["bits_per_byte_note"] = (
                    "not comparable between tokenizers: decoding these tokens does not restore the text "
                    f"({more['unk_share']:.2%} of them are <unk>)"
                )
                log.warning("%s: bits_per_byte is %s", split, more["bits_per_byte_note"])
        device = self.device if self._trainer is None else self._trainer.strategy.root_device
        with at_work(self.model, device):
            if self.fresh_state_every is not None:
                loss = fresh_loss(self.model, rows, self.fresh_state_every, device)
                more[f"loss_fresh_{self.fresh_state_every}"] = loss
            if self.adaptation.parts:
                train = data.columns.get("train")
                known = None if train is None else ScoredRows.of(text_of(train), data.carry_state)
                more |= self.adaptation.losses(self.model, rows, known, device)
        return more

    def baselines(self, data: TextDataModule, *, full: bool = False) -> dict[str, Any]:
        """Return the perplexity of token frequencies, and of smoothed n-grams: of the same tokens as the model's."""
        rows = {split: ScoredRows.of(text_of(columns), data.carry_state) for split, columns in data.columns.items()}
        size, validation = self.model.arguments["vocab_size"], rows.get("validation")
        if "test" in rows:
            held_out = rows["test"]
        elif validation is not None:
            held_out, validation = validation, None  # what is scored chooses no order
        else:
            return {}
        loss = unigram_loss(rows["train"], held_out, size)
        unigram = {"unigram_loss": loss, "unigram_perplexity": math.exp(min(loss, 700))}
        count = partial(kneser_ney_loss, rows["train"], validation, held_out, size, full=full)
        return unigram | timed("kneser_ney", count)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the carried training state, so that a run stopped inside an epoch resumes exactly."""
        super().on_save_checkpoint(checkpoint)
        if "train" in self.carried:
            checkpoint["carried"] = list(self.carried["train"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the carried state."""
        if "carried" in checkpoint:
            h, c = checkpoint["carried"]
            self.carried["train"] = LSTMState(h.to(self.device), None if c is None else c.to(self.device))
