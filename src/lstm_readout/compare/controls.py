"""Mistakes and controls that exist only to lose a comparison: ``configs/variants`` names these models and tasks.

Shapes: B rows, T steps, E embedding size, O hidden size, D directions.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from lstm_readout.data.batches import GenerateBatch
from lstm_readout.models.classify import Classifier
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.lstm import LSTM, LSTMOutput
from lstm_readout.nn.packed import with_data
from lstm_readout.tasks.base import Stage
from lstm_readout.tasks.generate import GenerateTask


class PaddedClassifier(Classifier):
    """The classic mistake: pads rows to the longest, reads the padding, and takes ``output[:, -1]``.

    A padding vector is zero, as ``nn.Embedding(padding_idx=...)`` makes it.
    """

    def __init__(self, **arguments: Any) -> None:
        arguments["batch_first"] = False
        super().__init__(**arguments)

    def forward(self, token_ids: Tensor | PackedSequence, perturbation: Tensor | None = None) -> Tensor:
        """Return logits (B, C) of whole documents and the padding after them.

        Raises:
            TypeError: the documents are not packed.
        """
        if not isinstance(token_ids, PackedSequence):
            raise TypeError(f"token_ids: wanted a PackedSequence, got {type(token_ids).__name__}.")
        vectors = self.encoder.embed(token_ids.data, perturbation)  # (tokens, E)
        vectors, _ = pad_packed_sequence(with_data(token_ids, vectors))
        vectors = self.encoder.input_dropout(vectors)  # (T, B, E)
        output, _ = self.encoder.lstm.rnn(vectors)  # (T, B, D * O)
        return self.head(output[-1])


class StartFrom(Seq2Seq):
    """A translator whose decoder starts from only a part of the encoder's state.

    Args:
        start: ``h``: h_n, and zeros for c_n. ``c``: the reverse. ``zeros``: nothing. ``top``: the top layer's state in
            place of every layer's.
        arguments: see ``Seq2Seq``.
    """

    def __init__(self, *, start: Literal["h", "c", "zeros", "top"], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.start = start
        self.encoder.lstm.register_forward_hook(self._keep_a_part)

    def _keep_a_part(self, lstm: LSTM, _: Any, result: LSTMOutput) -> LSTMOutput:
        """Return the part of the state that is passed on."""
        output, h, c = result
        if self.start == "top":
            return LSTMOutput(output, self._top(h), None if c is None else self._top(c))
        h = h if self.start == "h" else torch.zeros_like(h)
        return LSTMOutput(output, h, c if c is None or self.start == "c" else torch.zeros_like(c))

    def _top(self, part: Tensor) -> Tensor:
        """Return the top layer of (L * D, B, size) in the place of every layer."""
        directions = self.bridge.directions
        return part[-directions:].repeat(len(part) // directions, 1, 1)


class LastStepTask(GenerateTask):
    """A language model that is trained only on the last step of each window, and measured at every step."""

    def loss(self, batch: GenerateBatch, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean over the rows' last steps in training, over all tokens otherwise."""
        if stage != "train":
            return super().loss(batch, stage)
        rows = int(batch.inputs.batch_sizes[0])
        state = self.carried[stage].rows(slice(rows)) if batch.continues else None
        lstm = self.model.encoder(batch.inputs, state)
        self.carried[stage] = lstm.state.detach()
        alive = int(batch.inputs.batch_sizes[-1])  # the rows that reach the window's end
        logits = self.model.head(self.model.dropout(lstm.output.data[-alive:]))
        return cross_entropy(logits, batch.targets[-alive:], label_smoothing=self.label_smoothing), alive


class ResetTask(GenerateTask):
    """A language model that starts every window from a zero state, in training and when measured."""

    def loss(self, batch: GenerateBatch, stage: Stage) -> tuple[Tensor, int]:
        """Return the mean over tokens; the state is never carried."""
        return super().loss(batch._replace(continues=False), stage)
