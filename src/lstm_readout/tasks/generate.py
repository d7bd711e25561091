"""Generate text: the task reads ``output`` at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torchmetrics import MeanMetric

from lstm_readout.baselines import unigram_loss
from lstm_readout.data.batches import GenerateBatch
from lstm_readout.data.corpus import Role
from lstm_readout.data.module import TextDataModule
from lstm_readout.lstm import LSTMState
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.head import check_label_smoothing
from lstm_readout.ragged import Ragged
from lstm_readout.tasks.base import Stage, Task
from lstm_readout.tokenizer import Vocabulary


class GenerateTask(Task):
    """Train a ``LanguageModel`` with cross-entropy on the next token; measure perplexity.

    Batches of a continuous stream start from the ``(h_n, c_n)`` of the batch before, detached: the numbers go on, the
    gradient ends at the window (truncated backpropagation through time). Each split has a carried state of its own.

    Args:
        label_smoothing: share of the target probability spread over the vocabulary, in training.
        arguments: see ``Task``.

    Raises:
        UserError: for label smoothing with an adaptive softmax.
    """

    name = "generate"
    roles: ClassVar[Mapping[str, Role]] = {"text": "text"}
    batch_type = GenerateBatch
    model_type = LanguageModel
    embeddings: ClassVar[Mapping[str, str]] = {"text": "encoder.embedding"}

    def __init__(self, *, label_smoothing: float = 0.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        check_label_smoothing(self.model.head, label_smoothing)
        self.label_smoothing = label_smoothing
        self.measures = nn.ModuleDict({"val": MeanMetric(), "test": MeanMetric()})
        self.carried: dict[str, LSTMState] = {}  # stage -> state after its last batch

    @classmethod
    def sizes(cls, vocabulary: Vocabulary) -> dict[str, int]:
        """Return the vocabulary size."""
        return {"vocab_size": len(vocabulary.tokenizers["text"])}

    def loss(self, batch: GenerateBatch, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean over predicted tokens."""
        smoothing = self.label_smoothing if stage == "train" else 0.0
        state = self.carried[stage].rows(slice(int(batch.inputs.batch_sizes[0]))) if batch.continues else None
        loss, state = self.model.loss(
            batch.inputs, batch.targets, state, label_smoothing=smoothing, scored=batch.scored
        )
        self.carried[stage] = state.detach()
        return loss, len(batch.targets)

    def measure(self, batch: GenerateBatch, stage: Stage) -> None:
        """Add the loss of every predicted token."""
        loss, predictions = self.loss(batch, stage)
        self.measures[stage].update(loss, weight=predictions)  # pyright: ignore[reportCallIssue]

    def measured(self, stage: Stage) -> dict[str, float]:
        """Return the mean over all tokens of the split, and its exponential."""
        metric: MeanMetric = self.measures[stage]  # pyright: ignore[reportAssignmentType]
        loss = float(metric.compute())
        metric.reset()
        return {"loss": loss, "perplexity": math.exp(min(loss, 700)), "bits_per_token": loss / math.log(2)}

    def answer(self, batch: GenerateBatch) -> str:
        """Name ``output`` at every step."""
        output = self.model.encoder(batch.inputs).output.data
        return f"this task reads output at every step: (tokens of the batch, hidden) = {tuple(output.shape)}"

    def split_metrics(self, data: TextDataModule, split: str, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Return bits per character, which compares tokenizations."""
        column = data.columns[split]["text"]
        assert isinstance(column, Ragged)
        tokens = len(column.values) - data.stream  # a stream has no <eos> at its end
        characters = sum(len(text) for text in data.texts[split]["text"])
        return {"bits_per_character": metrics["bits_per_token"] * tokens / max(characters, 1)}

    def baselines(self, data: TextDataModule) -> dict[str, float]:
        """Return the perplexity of token frequencies."""
        train, held_out = data.columns["train"], data.columns.get("test", data.columns.get("validation"))
        if held_out is None:
            return {}
        loss = unigram_loss(train["text"], held_out["text"], self.model.arguments["vocab_size"])
        return {"unigram_loss": loss, "unigram_perplexity": math.exp(loss)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the carried training state, so that a run stopped inside an epoch goes on where it was."""
        super().on_save_checkpoint(checkpoint)
        if "train" in self.carried:
            checkpoint["carried"] = list(self.carried["train"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the carried state up again."""
        if "carried" in checkpoint:
            h, c = checkpoint["carried"]
            self.carried["train"] = LSTMState(h.to(self.device), None if c is None else c.to(self.device))
