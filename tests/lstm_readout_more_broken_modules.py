"""More mistakes, one in each module: ``BROKEN`` maps a mistake to (task, check that finds it, how to build the module).

A check whose name ends with ``?`` warns, because the same module is right for another loss or purpose.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import pad, softmax

import lstm_readout_broken_modules as modules
from lstm_readout_broken_modules import CLASSES, EMBEDDING, HIDDEN, VOCABULARY, Reader, at_the_end, real
from lstm_readout_right_modules import AttendingTranslator, Cells, Scripted, scripted


class Cut(nn.Module):
    """Passes a part of each row on: ``places(step, length)`` says which steps."""

    def __init__(self, places, module=None):
        super().__init__()
        self.places, self.module = places, module or modules.LastState()

    def forward(self, token_ids, lengths):
        rows = []
        for row, length in zip(token_ids, lengths.tolist(), strict=True):
            kept = [step for step in range(length) if self.places(step, length)] or [length - 1]
            rows.append(row[kept])
        return self.module(nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows]))


def first(number):
    return lambda step, _: step < number


def last(number):
    return lambda step, length: step >= length - number


class FirstOutputs(Reader):
    """A mean over the first eight steps of two directions: every token is read, most of the forward half is not."""

    def __init__(self):
        super().__init__(bidirectional=True)

    def forward(self, token_ids, lengths):
        mask = real(token_ids, lengths.clamp(max=8))
        return self.head((self.outputs(token_ids, lengths) * mask).sum(1) / mask.sum(1))


class MiddleOutput(Reader):
    def __init__(self):
        super().__init__(bidirectional=True)

    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.outputs(token_ids, lengths), lengths // 2 + 1))


class OneBeforeTheEnd(Reader):
    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.outputs(token_ids, lengths), (lengths - 1).clamp(min=1)))


class AttentionBy(modules.Attention):
    """Attention masked by lengths that are changed first."""

    def __init__(self, change, *, packed=True, **options):
        super().__init__(**options)
        self.change, self.is_packed = change, packed

    def forward(self, token_ids, lengths):
        output = self.outputs(token_ids, lengths) if self.is_packed else self.rnn(self.embedding(token_ids))[0]
        scores = self.query(output).masked_fill(~real(token_ids, self.change(lengths)), -torch.inf)
        return self.head((softmax(scores, dim=1) * output).sum(1))


class AttentionOverTheBatch(modules.Attention):
    def forward(self, token_ids, lengths):
        output = self.outputs(token_ids, lengths)
        scores = self.query(output).masked_fill(~real(token_ids, lengths), -1e9)
        return self.head((softmax(scores, dim=0) * output).sum(1))


class MaskAfterSoftmax(modules.Attention):
    """Zeros after the softmax: the weights of padding are missing from the sum."""

    def forward(self, token_ids, lengths):
        output = self.outputs(token_ids, lengths)
        return self.head((softmax(self.query(output), dim=1) * real(token_ids, lengths) * output).sum(1))


class MaximumOverPadding(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.rnn(self.embedding(token_ids))[0].amax(1))


class MeanOverAllSteps(Reader):
    """The sum over real steps, divided by all of them."""

    def forward(self, token_ids, lengths):
        return self.head((self.outputs(token_ids, lengths) * real(token_ids, lengths)).mean(1))


class PaddingByTheWrongId(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, (token_ids != VOCABULARY).sum(1))[-1])


class SomeoneElsesLength(Reader):
    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.rnn(self.embedding(token_ids))[0], lengths.roll(1)))


class LeakyConvolution(Reader):
    """A bias before the convolution: padding is not zero."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(EMBEDDING, EMBEDDING, 3, padding=1)

    def packed(self, token_ids, lengths):
        x = self.convolution(self.embedding(token_ids).transpose(1, 2)).transpose(1, 2)
        return nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class EndlessCells(Cells):
    """A loop over LSTMCell that goes on through the padding."""

    def forward(self, token_ids, lengths):
        return super().forward(token_ids, torch.full_like(lengths, token_ids.shape[1]))


class FirstOfTwoCells(Cells):
    def __init__(self):
        super().__init__(2)

    def forward(self, token_ids, lengths):
        seen = []
        hook = self.cells[0].register_forward_hook(lambda *given: seen.append(given[2][0]))
        super().forward(token_ids, lengths)
        hook.remove()
        return self.head(at_the_end(torch.stack(seen, 1), lengths))


class CellState(Reader):
    def forward(self, token_ids, lengths):
        _, (_, c_n) = self.rnn(self.packed(token_ids, lengths))
        return self.head(c_n.transpose(0, 1).flatten(1))


class CellStateOfCells(Cells):
    """Unpacks the states of an LSTMCell the wrong way round, at the end."""

    def forward(self, token_ids, lengths):
        h = c = torch.zeros(len(token_ids), HIDDEN)
        seen = []
        for x in self.embedding(token_ids).unbind(1):
            h, c = self.cells[0](x, (h, c))
            seen.append(c)
        return self.head(at_the_end(torch.stack(seen, 1), lengths))


class SwappedInTheLoop(Cells):
    """c, h = cell(x, (h, c))."""

    def forward(self, token_ids, lengths):
        h = c = torch.zeros(len(token_ids), HIDDEN)
        seen = []
        for x in self.embedding(token_ids).unbind(1):
            c, h = self.cells[0](x, (h, c))
            seen.append(h)
        return self.head(at_the_end(torch.stack(seen, 1), lengths))


class LosesTheCellState(Cells):
    """h is carried from step to step, c starts anew."""

    def forward(self, token_ids, lengths):
        h, seen = torch.zeros(len(token_ids), HIDDEN), []
        for x in self.embedding(token_ids).unbind(1):
            h, _ = self.cells[0](x, (h, torch.zeros_like(h)))
            seen.append(h)
        return self.head(at_the_end(torch.stack(seen, 1), lengths))


class ForgetsEverySixteen(Reader):
    """The state starts anew every 16 steps."""

    def __init__(self, outputs=VOCABULARY):
        super().__init__(outputs=outputs)

    def forward(self, token_ids, lengths):
        parts = [self.rnn(self.embedding(part))[0] for part in token_ids.split(16, dim=1)]
        return self.head(torch.cat(parts, 1))


class Shifted(Reader):
    """The logits of step t have read the tokens before t, and not t itself."""

    def __init__(self, outputs=VOCABULARY):
        super().__init__(outputs=outputs)

    def forward(self, token_ids, lengths):
        return self.head(self.rnn(pad(self.embedding(token_ids), (0, 0, 1, -1)))[0])


class Peeking(Reader):
    """A convolution that is not causal, before the recurrent layer."""

    def __init__(self):
        super().__init__(outputs=VOCABULARY)
        self.convolution = nn.Conv1d(EMBEDDING, EMBEDDING, 3, padding=1)

    def forward(self, token_ids, lengths):
        x = self.embedding(token_ids) * real(token_ids, lengths)
        return self.head(self.rnn(self.convolution(x.transpose(1, 2)).transpose(1, 2))[0])


class ActivationAfter(modules.LastState):
    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def forward(self, token_ids, lengths):
        return self.function(super().forward(token_ids, lengths))


class ActivationAtEveryStep(modules.LanguageModel):
    def forward(self, token_ids, lengths):
        return torch.tanh(super().forward(token_ids, lengths))


class AddedHalves(modules.BackwardHalf):
    def forward(self, token_ids, lengths):
        h_n = self.states(token_ids, lengths)
        return self.head(h_n[-2] + h_n[-1])


class TwoWayOfThreeReadAtOneStep(Reader):
    def __init__(self):
        super().__init__(bidirectional=True, num_layers=3)

    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.outputs(token_ids, lengths), lengths))


class StateOfAnotherRow(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1].roll(1, 0))


class ScriptedAtTheLastStep(Scripted):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True), nn.Linear(HIDDEN, CLASSES)

    def forward(self, token_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embedding(token_ids))[0][:, -1])


class KeepsTheFirstStateOfTraining(Reader):
    """A state that training leaves behind is read in evaluation."""

    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, token_ids, lengths):
        _, (h_n, _) = self.rnn(self.packed(token_ids, lengths))
        if self.training:
            self.last = h_n.detach().mean(1, keepdim=True)
        return self.head(h_n[-1] if self.last is None else h_n[-1] + self.last[-1])


class SwappedTranslator(modules.Translator):
    def read(self, source_ids, source_lengths):
        h_n, c_n = super().read(source_ids, source_lengths)
        return c_n, h_n


class SwappedBridges(modules.TranslatorOfBothHalves):
    def read(self, source_ids, source_lengths):
        return super().read(source_ids, source_lengths)[::-1]


class TranslatorOfTheFirstTokens(modules.Translator):
    def read(self, source_ids, source_lengths):
        return super().read(source_ids[:, :6], source_lengths.clamp(max=6))


class TranslatorOfTheFirstLayer(modules.Translator):
    def __init__(self):
        super().__init__(num_layers=2)

    def read(self, source_ids, source_lengths):
        return tuple(part[:1].contiguous() for part in super().read(source_ids, source_lengths))


class TranslatorWithoutSource(modules.Translator):
    def read(self, source_ids, source_lengths):
        return tuple(torch.zeros_like(part) for part in super().read(source_ids, source_lengths))


class AttentionToSourcePadding(AttendingTranslator):
    def forward(self, source_ids, source_lengths, *target):
        return super().forward(source_ids, torch.full_like(source_lengths, int(source_lengths.max())), *target)


def attention(change, **options):
    return lambda: AttentionBy(change, **options)


def after(function, **options):
    return lambda: ActivationAfter(function, **options)


CUTS = {
    **{f"first {k} tokens": ("classify", "ends", lambda k=k: Cut(first(k))) for k in (1, 2, 4, 5, 8, 12, 20)},
    **{f"last {k} tokens": ("classify", "ends", lambda k=k: Cut(last(k))) for k in (1, 3, 5, 8, 12, 20)},
    "tokens 3 to 9": ("classify", "ends", lambda: Cut(lambda step, length: 3 <= step < 10 or length < 12)),
    "every second token": ("classify", "ends", lambda: Cut(lambda step, length: step % 2 == 0)),
    "all but the last token": ("classify", "ends", lambda: Cut(lambda step, length: step < length - 1)),
    "all but the first token": ("classify", "ends", lambda: Cut(lambda step, length: step > 0)),
    "first 6 tokens, max": ("classify", "ends", lambda: Cut(first(6), modules.MaxOfOutput())),
    "last 6 tokens, both ways": ("classify", "ends", lambda: Cut(last(6), modules.BothHalves(bidirectional=True))),
}
BROKEN = {
    **CUTS,
    "the first outputs of two directions": ("classify", "halves", FirstOutputs),
    "an output in the middle": ("classify", "halves", MiddleOutput),
    "the output before the last": ("classify", "ends", OneBeforeTheEnd),
    "attention, one step short": ("classify", "ends", attention(lambda lengths: (lengths - 1).clamp(min=1))),
    "attention, one step short, both ways": (
        "classify",
        "halves",
        attention(lambda lengths: (lengths - 1).clamp(min=1), bidirectional=True),
    ),
    "attention, one step too far": ("classify", "padding", attention(lambda lengths: lengths + 1)),
    "attention to the batch's longest": (
        "classify",
        "padding",
        attention(lambda lengths: torch.full_like(lengths, int(lengths.max()))),
    ),
    "attention to the batch's longest, not packed": (
        "classify",
        "padding",
        attention(lambda lengths: torch.full_like(lengths, int(lengths.max())), packed=False),
    ),
    "attention by the next row's length": ("classify", "padding", attention(lambda lengths: lengths.roll(1))),
    "attention by the order reversed": ("classify", "padding", attention(lambda lengths: lengths.flip(0))),
    "attention over the batch": ("classify", "rows", AttentionOverTheBatch),
    "a mask after the softmax": ("classify", "padding", MaskAfterSoftmax),
    "a maximum over padding": ("classify", "padding", MaximumOverPadding),
    "a mean over all steps": ("classify", "padding", MeanOverAllSteps),
    "padding by the wrong id": ("classify", "padding", PaddingByTheWrongId),
    "another row's length": ("classify", "padding", SomeoneElsesLength),
    "a convolution over padding": ("classify", "padding", LeakyConvolution),
    "cells that read padding": ("classify", "padding", EndlessCells),
    "the first of two cells": ("classify", "gradients?", FirstOfTwoCells),
    "c_n": ("classify", "c_n?", CellState),
    "c_n of two layers": ("classify", "c_n?", lambda: CellState(num_layers=2, width=2 * HIDDEN)),
    "c_n of both halves": ("classify", "c_n?", lambda: CellState(bidirectional=True)),
    "c of an LSTMCell": ("classify", "c_n?", CellStateOfCells),
    "h and c swapped in the loop": ("classify", "c_n", SwappedInTheLoop),
    "c not carried": ("classify", "c_n?", LosesTheCellState),
    "halves added": ("classify", "halves?", AddedHalves),
    "three layers, two directions, one step": ("classify", "directions", TwoWayOfThreeReadAtOneStep),
    "another row's state": ("classify", "order", StateOfAnotherRow),
    "TorchScript, output[:, -1]": ("classify", "padding", lambda: scripted(ScriptedAtTheLastStep)),
    "TorchScript, cut": ("classify", "ends", lambda: Cut(first(5), scripted())),
    "a state left by training": ("classify", "state", KeepsTheFirstStateOfTraining),
    "sigmoid": ("classify", "activation?", after(torch.sigmoid)),
    "tanh": ("classify", "activation?", after(torch.tanh)),
    "relu": ("classify", "activation?", after(torch.relu)),
    "relu module": ("classify", "activation?", after(nn.ReLU())),
    "leaky relu": ("classify", "activation?", after(functional.leaky_relu)),
    "elu": ("classify", "activation?", after(functional.elu)),
    "softplus": ("classify", "activation?", after(functional.softplus)),
    "exp": ("classify", "activation?", after(torch.exp)),
    "a sigmoid written out": ("classify", "activation?", after(lambda x: 1 / (1 + torch.exp(-x)))),
    "a scaled sigmoid": ("classify", "activation?", after(lambda x: 5 * torch.sigmoid(x))),
    "a square": ("classify", "activation?", after(torch.square)),
    "sigmoid of one score": ("classify", "activation?", after(lambda x: x.sigmoid().squeeze(1), outputs=1)),
    "tanh at every step": ("generate", "activation?", ActivationAtEveryStep),
    "a state that starts anew": ("generate", "steps", ForgetsEverySixteen),
    "logits one step late": ("generate", "steps", Shifted),
    "a convolution that sees the next token": ("generate", "future", Peeking),
    "a tag of the word before": ("tag", "steps", lambda: Shifted(CLASSES)),
    "a tagger that starts anew": ("tag", "steps", lambda: ForgetsEverySixteen(CLASSES)),
    "h and c swapped": ("translate", "c_n", SwappedTranslator),
    "h and c swapped after bridges": ("translate", "c_n", SwappedBridges),
    "a source cut to six tokens": ("translate", "source_ends", TranslatorOfTheFirstTokens),
    "the first layer as the message": ("translate", "layers", TranslatorOfTheFirstLayer),
    "no message": ("translate", "source_ends", TranslatorWithoutSource),
    "attention to the source's padding": ("translate", "source_padding", AttentionToSourcePadding),
}
