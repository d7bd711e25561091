"""The same models in plain PyTorch: one of ours goes in, a module of ``nn.LSTM`` calls with its weights comes out.

What is compared is how rows are laid out and how the loss is computed, so each layer is a copy of the model's own.
Rows are padded; a source and a document are packed before the LSTM, because their last state is read. On a GPU every
LSTM is one call of cuDNN. Dropout is ``nn.Dropout``; what plain PyTorch lacks (weight drop, dropped words, adversarial
examples) is missing here.

Shapes: B rows, S and T steps of source and target, H hidden_size, O width of an output.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lstm_readout.nn.state_readout import StateReadout
from lstm_readout.tasks import ClassifyTask, GenerateTask, TranslateTask
from lstm_readout.tasks.base import Task

_IGNORED = -100  # a target that does not count, as in cross_entropy


def plain_model(task: Task) -> PlainClassifier | PlainLanguageModel | PlainTranslator:
    """Return the plain model of a task, with copies of its weights."""
    kinds = {ClassifyTask: PlainClassifier, GenerateTask: PlainLanguageModel, TranslateTask: PlainTranslator}
    plain = kinds[type(task)](copy.deepcopy(task.model), getattr(task, "label_smoothing", 0.0))
    for module in plain.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()  # a copy's weights are apart, and cuDNN would join them at every call
    return plain


class _Reader(nn.Module):
    """An embedding, dropout and an ``nn.LSTM``."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.embedding, self.rnn = encoder.embedding, encoder.lstm.rnn
        self.dropout = nn.Dropout(encoder.input_dropout.p)

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Read padded rows: (T, B) -> output (T, B, O) and the state after the last step."""
        return self.rnn(self.dropout(self.embedding(ids)), state)

    def read_whole(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
        """Read rows to their own last token: (T, B), (B,) -> padded output (T, B, O), and the state there."""
        vectors = self.dropout(self.embedding(ids))
        output, state = self.rnn(pack_padded_sequence(vectors, lengths, enforce_sorted=False))
        return pad_packed_sequence(output)[0], state


class PlainClassifier(nn.Module):
    """Reads ``h_n[-1]``, or both halves of two directions."""

    def __init__(self, model: Any, label_smoothing: float) -> None:
        super().__init__()
        self.reader, self.head = _Reader(model.encoder), model.head
        self.label_smoothing = label_smoothing

    def prepare(self, batch: Any) -> Any:
        """Return ids (T, B), lengths (B,) and labels (B,)."""
        return (*pad_packed_sequence(batch.token_ids), batch.labels)

    def loss(self, prepared: Any) -> Tensor:
        """Return the mean over documents."""
        ids, lengths, labels = prepared
        h_n = self.reader.read_whole(ids, lengths)[1][0]
        read = torch.cat((h_n[-2], h_n[-1]), dim=-1) if self.reader.rnn.bidirectional else h_n[-1]
        scores = linear(self.head.dropout(read), self.head.weight, self.head.bias)
        return cross_entropy(scores, labels, label_smoothing=self.label_smoothing * self.training)


class PlainLanguageModel(nn.Module):
    """Reads ``output`` at every step; the state is carried from window to window."""

    def __init__(self, model: Any, label_smoothing: float) -> None:
        super().__init__()
        self.reader, self.head, self.dropout = _Reader(model.encoder), model.head, nn.Dropout(model.dropout.p)
        self.label_smoothing = label_smoothing
        self.state: Any = None

    def prepare(self, batch: Any) -> Any:
        """Return ids and targets (T, B), and whether the rows continue."""
        ids, _ = pad_packed_sequence(PackedSequence(batch.inputs.data, batch.inputs.batch_sizes))
        return ids, _padded_targets(batch.inputs, batch.targets), batch.continues

    def loss(self, prepared: Any) -> Tensor:
        """Return the mean over tokens."""
        ids, targets, continues = prepared
        output, (h, c) = self.reader(ids, self.state if continues else None)
        self.state = (h.detach(), c.detach())
        return _token_loss(self, self.dropout(output), targets)


class PlainTranslator(nn.Module):
    """Starts the decoder from the encoder's state; with attention it also reads the encoder's ``output``."""

    def __init__(self, model: Any, label_smoothing: float) -> None:
        super().__init__()
        self.source, self.target, self.head = _Reader(model.encoder), _Reader(model.decoder.encoder), model.decoder.head
        self.dropout, self.reverse = nn.Dropout(model.decoder.dropout.p), model.encoder.reverse
        self.bridge_h, self.bridge_c, self.directions = model.bridge.h, model.bridge.c, model.bridge.directions
        self.memory = model.decoder.attention if model.looks_back else None
        self.label_smoothing = label_smoothing

    def prepare(self, batch: Any) -> Any:
        """Return sources (S, B), their lengths (B,), what is real of them (B, S), inputs and targets (T, B)."""
        sources, lengths = pad_packed_sequence(batch.source)
        real = torch.arange(len(sources))[None] < lengths[:, None]
        if self.reverse:
            rows = [row[:length].flip(0) for row, length in zip(sources.T, lengths.tolist(), strict=True)]
            sources = nn.utils.rnn.pad_sequence(rows)
        inputs, _ = pad_packed_sequence(batch.target_inputs)
        return sources, lengths, real.to(sources.device), inputs, _padded_targets(batch.target_inputs, batch.targets)

    def loss(self, prepared: Any) -> Tensor:
        """Return the mean over target tokens."""
        sources, lengths, real, inputs, targets = prepared
        memory, state = self.source.read_whole(sources, lengths)
        first = self._first_state(*state)
        output, _ = self.target(inputs, first)
        if isinstance(self.memory, StateReadout):
            output = self._read_state(output, first)
        elif self.memory is not None:
            output = self._attend(output, memory, real)
        return _token_loss(self, self.dropout(output), targets)

    def _first_state(self, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Map (L * D, B, H) to the decoder's."""
        if not self.bridge_h:
            return h, c
        h, c = (torch.cat(part.unflatten(0, (-1, self.directions)).unbind(1), dim=-1) for part in (h, c))
        mapped = torch.stack([torch.tanh(layer(one)) for layer, one in zip(self.bridge_h, h, strict=True)])
        return mapped, torch.stack([layer(one) for layer, one in zip(self.bridge_c, c, strict=True)])

    def _attend(self, output: Tensor, memory: Tensor, real: Tensor) -> Tensor:
        """Join (T, B, O) with what "general" attention reads from (S, B, M)."""
        attention: Any = self.memory
        queries, values = output.transpose(0, 1), memory.transpose(0, 1)
        scores = torch.bmm(queries, attention.key(values).transpose(1, 2))  # (B, T, S)
        weights = scores.masked_fill(~real[:, None], -torch.inf).softmax(-1)
        read = torch.cat((torch.bmm(weights, values), queries), dim=-1)
        return torch.tanh(attention.combine(read)).transpose(0, 1)

    def _read_state(self, output: Tensor, first: tuple[Tensor, Tensor]) -> Tensor:
        """Join (T, B, O) with the first state."""
        readout: Any = self.memory
        summary = readout.dropout(torch.cat(first, dim=-1).transpose(0, 1).flatten(1))
        return torch.tanh(readout.query(output) + readout.state(summary))


def _token_loss(model: PlainLanguageModel | PlainTranslator, read: Tensor, targets: Tensor) -> Tensor:
    scores = model.head(read).flatten(0, 1)
    smoothing = model.label_smoothing * model.training
    return cross_entropy(scores, targets.flatten(), ignore_index=_IGNORED, label_smoothing=smoothing)


def _padded_targets(inputs: PackedSequence, targets: Tensor) -> Tensor:
    packed = PackedSequence(targets, inputs.batch_sizes, inputs.sorted_indices, inputs.unsorted_indices)
    return pad_packed_sequence(packed, padding_value=_IGNORED)[0]
