"""Modules as people write them: each broken one has one classic mistake, and a twin in which it is mended.

All are called as ``module(token_ids, lengths)``; V = 30 ids, C = 3 classes.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn.functional import dropout, log_softmax, softmax
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

VOCABULARY, CLASSES, EMBEDDING, HIDDEN = 30, 3, 8, 12


class Reader(nn.Module):
    """What all have: an embedding, a recurrent layer, a head."""

    def __init__(self, cell=nn.LSTM, *, outputs=CLASSES, width=None, batch_first=True, **options):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.rnn = cell(EMBEDDING, HIDDEN, batch_first=batch_first, **options)
        size = options.get("proj_size") or HIDDEN
        self.head = nn.Linear(width or size * (2 if options.get("bidirectional") else 1), outputs)

    def states(self, token_ids, lengths):
        """Return (layers * directions, batch, hidden) after the last real token."""
        _, last = self.rnn(self.packed(token_ids, lengths))
        return last[0] if isinstance(last, tuple) else last

    def outputs(self, token_ids, lengths):
        """Return (batch, steps, features), zeros behind the ends."""
        output, _ = self.rnn(self.packed(token_ids, lengths))
        return pad_packed_sequence(output, batch_first=True, total_length=token_ids.shape[1])[0]

    def packed(self, token_ids, lengths):
        return pack_padded_sequence(self.embedding(token_ids), lengths.cpu(), batch_first=True, enforce_sorted=False)


def at_the_end(output, lengths):
    return output[torch.arange(len(output)), lengths - 1]


def real(token_ids, lengths):
    return (torch.arange(token_ids.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1)


# Correct ones


class LastState(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class BothHalves(Reader):
    def forward(self, token_ids, lengths):
        h_n = self.states(token_ids, lengths)
        return self.head(torch.cat((h_n[-2], h_n[-1]), dim=-1))


class AllStates(Reader):
    def forward(self, token_ids, lengths):
        h_n = self.states(token_ids, lengths)
        return self.head(h_n.transpose(0, 1).reshape(len(token_ids), -1))


class OutputAtTheEnd(Reader):
    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.rnn(self.embedding(token_ids))[0], lengths))


class MeanOfOutput(Reader):
    def forward(self, token_ids, lengths):
        mask = real(token_ids, lengths)
        return self.head((self.outputs(token_ids, lengths) * mask).sum(1) / mask.sum(1))


class MaxOfOutput(Reader):
    def forward(self, token_ids, lengths):
        output = self.outputs(token_ids, lengths).masked_fill(~real(token_ids, lengths), -torch.inf)
        return self.head(output.amax(1))


class Attention(Reader):
    def __init__(self, **options):
        super().__init__(**options)
        self.query = nn.Linear(self.head.in_features, 1, bias=False)

    def forward(self, token_ids, lengths):
        output = self.outputs(token_ids, lengths)
        scores = self.query(output).masked_fill(~real(token_ids, lengths), -torch.inf)
        return self.head((softmax(scores, dim=1) * output).sum(1))


class NormOfFeatures(Reader):
    """A batch norm: its running statistics change in train mode, as they should."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(HIDDEN)

    def forward(self, token_ids, lengths):
        return self.head(self.norm(self.states(token_ids, lengths)[-1]))


class Dropping(Reader):
    def __init__(self):
        super().__init__(num_layers=2, dropout=0.2)
        self.dropout = nn.Dropout(0.1)

    def forward(self, token_ids, lengths):
        return self.head(self.dropout(self.states(token_ids, lengths)[-1]))


class ZeroHead(Reader):
    """A head that starts at zero: nothing moves its logits before it has learned."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class SortedAndBack(Reader):
    def forward(self, token_ids, lengths):
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(self.embedding(token_ids[order]), lengths[order].cpu(), batch_first=True)
        return self.head(self.rnn(packed)[1][0][-1][order.argsort()])


class Features(nn.Module):
    """No recurrent layer at all."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(VOCABULARY, EMBEDDING, mode="sum")
        self.head = nn.Linear(EMBEDDING, CLASSES)

    def forward(self, token_ids, lengths):
        weights = real(token_ids, lengths).squeeze(-1).float()
        return self.head(self.embedding(token_ids, per_sample_weights=weights))


class LanguageModel(Reader):
    def __init__(self, **options):
        super().__init__(outputs=VOCABULARY, **options)

    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths))


class UnpackedLanguageModel(Reader):
    """Padding stands behind the text, where one direction never looks."""

    def __init__(self, **options):
        super().__init__(outputs=VOCABULARY, **options)

    def forward(self, token_ids, lengths):
        return self.head(self.rnn(self.embedding(token_ids))[0])


class ShortenedLanguageModel(Reader):
    """pad_packed_sequence without total_length: as many steps as the longest row."""

    def __init__(self):
        super().__init__(outputs=VOCABULARY)

    def forward(self, token_ids, lengths):
        output, _ = self.rnn(self.packed(token_ids, lengths))
        return self.head(pad_packed_sequence(output, batch_first=True)[0])


class CarriesInTraining(Reader):
    """Truncated backpropagation through time: the state goes on from step to step, its graph does not."""

    detached = True

    def __init__(self):
        super().__init__(outputs=VOCABULARY)
        self.carried = None

    def forward(self, token_ids, lengths):
        if not self.training:
            return self.head(self.rnn(self.embedding(token_ids))[0])
        output, carried = self.rnn(self.embedding(token_ids), self.carried)
        self.carried = tuple(part.detach() for part in carried) if self.detached else carried
        return self.head(output)


# Broken ones


class LastStepOfPadding(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.rnn(self.embedding(token_ids))[0][:, -1])


class LastStepOfPadded(Reader):
    """Packed, then padded: the last step of a short row is zero."""

    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths)[:, -1])


class MeanOverPadding(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.rnn(self.embedding(token_ids))[0].mean(1))


class LastStepOfBoth(Reader):
    """output[:, -1] of two directions, with the lengths minded: the backward half has read one token."""

    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.outputs(token_ids, lengths), lengths))


class FirstStepOfBoth(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths)[:, 0])


class BackwardHalf(Reader):
    def __init__(self, **options):
        super().__init__(width=HIDDEN, bidirectional=True, **options)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class ForwardHalf(BackwardHalf):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-2])


class ViewedStates(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths).view(len(token_ids), -1))


class StepsForBatch(Reader):
    """An LSTM that takes (steps, batch, features) is given (batch, steps, features)."""

    def __init__(self, cell=nn.LSTM, **options):
        super().__init__(cell, batch_first=False, **options)

    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.rnn(self.embedding(token_ids))[0], lengths))


class StepsForBatchEverywhere(StepsForBatch):
    def forward(self, token_ids, lengths):
        return self.head(self.rnn(self.embedding(token_ids))[0])


class ViewedSteps(Reader):
    """.view in place of transpose: the rows' tokens are dealt out anew."""

    def __init__(self):
        super().__init__(batch_first=False)

    def forward(self, token_ids, lengths):
        batch, steps = token_ids.shape
        output, _ = self.rnn(self.embedding(token_ids).view(steps, batch, -1))
        return self.head(at_the_end(output.transpose(0, 1), lengths))


class NormOverBatch(Reader):
    def forward(self, token_ids, lengths):
        features = self.states(token_ids, lengths)[-1]
        return self.head(features - features.mean(0))


class NormOverBatchOfMany(Reader):
    """The same of three layers and two directions, where .view would mix all rows as well."""

    def forward(self, token_ids, lengths):
        features = self.states(token_ids, lengths).transpose(0, 1).reshape(len(token_ids), -1)
        return self.head(features - features.mean(0))


class KeepsItsState(Reader):
    def __init__(self):
        super().__init__()
        self.hidden = None

    def forward(self, token_ids, lengths):
        output, hidden = self.rnn(self.embedding(token_ids), self.hidden)
        self.hidden = tuple(part.detach() for part in hidden)
        return self.head(at_the_end(output, lengths))


class KeepsItsStateInABuffer(Reader):
    def __init__(self):
        super().__init__()
        self.register_buffer("hidden", torch.zeros(1, 1, HIDDEN))

    def forward(self, token_ids, lengths):
        first = self.hidden.expand(1, len(token_ids), HIDDEN).contiguous()
        output, (h_n, _) = self.rnn(self.embedding(token_ids), (first, torch.zeros_like(first)))
        self.hidden.copy_(h_n.detach()[:, :1])
        return self.head(at_the_end(output, lengths))


class CarriesItsGraph(CarriesInTraining):
    detached = False


class TwoWayLanguageModel(LanguageModel):
    def __init__(self):
        super().__init__(bidirectional=True)


class ForgetfulLanguageModel(Reader):
    """Each token is a row of its own: nothing passes from step to step."""

    def __init__(self):
        super().__init__(outputs=VOCABULARY)

    def forward(self, token_ids, lengths):
        output, _ = self.rnn(self.embedding(token_ids).flatten(0, 1).unsqueeze(1))
        return self.head(output).view(*token_ids.shape, -1)


class SoftmaxBeforeLoss(Reader):
    def forward(self, token_ids, lengths):
        return softmax(self.head(self.states(token_ids, lengths)[-1]), dim=-1)


class LogSoftmax(Reader):
    def forward(self, token_ids, lengths):
        return log_softmax(self.head(self.states(token_ids, lengths)[-1]), dim=-1)


class DropsWhileEvaluating(Reader):
    def forward(self, token_ids, lengths):
        return self.head(dropout(self.states(token_ids, lengths)[-1], 0.3))


class DropsAnew(Reader):
    """A module made in forward is in train mode."""

    def forward(self, token_ids, lengths):
        return self.head(nn.Dropout(0.3)(self.states(token_ids, lengths)[-1]))


class RandomFirstState(Reader):
    def forward(self, token_ids, lengths):
        first = torch.randn(2, 1, len(token_ids), HIDDEN).unbind()
        return self.head(self.rnn(self.packed(token_ids, lengths), first)[1][0][-1])


class DropoutOfOneLayer(Reader):
    def __init__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns as well, once
            super().__init__(dropout=0.3)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class DropoutLeftOut(Reader):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.3)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class FirstLayer(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[0])


class FirstLayerOfBoth(Reader):
    def forward(self, token_ids, lengths):
        h_n = self.states(token_ids, lengths)
        return self.head(torch.cat((h_n[0], h_n[1]), dim=-1))


class SortedOnly(Reader):
    def forward(self, token_ids, lengths):
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(self.embedding(token_ids[order]), lengths[order].cpu(), batch_first=True)
        return self.head(self.rnn(packed)[1][0][-1])


class WantsSorted(Reader):
    def forward(self, token_ids, lengths):
        packed = pack_padded_sequence(self.embedding(token_ids), lengths.cpu(), batch_first=True)
        return self.head(self.rnn(packed)[1][0][-1])


class StateOfOneBatchSize(Reader):
    def __init__(self, batch=7):
        super().__init__()
        self.first = tuple(torch.zeros(2, 1, batch, HIDDEN).unbind())

    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.rnn(self.embedding(token_ids), self.first)[0], lengths))


class Squeezed(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths).squeeze())


class FirstStep(Reader):
    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths)[:, 0])


class TimeFirst(Reader):
    def __init__(self):
        super().__init__(outputs=VOCABULARY)

    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths)).transpose(0, 1)


class CutEmbedding(Reader):
    def forward(self, token_ids, lengths):
        with torch.no_grad():
            packed = self.packed(token_ids, lengths)
        return self.head(self.rnn(packed)[1][0][-1])


class LargeHead(Reader):
    def __init__(self):
        super().__init__()
        nn.init.normal_(self.head.weight, std=30.0)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class FindsPaddingById(Reader):
    """Its own mask in place of the lengths: right, as long as no text holds id 0."""

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, (token_ids != 0).sum(1).clamp(min=1))[-1])


# Translators: module(source_ids, source_lengths, target_ids, target_lengths)


class Translator(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.encoder, self.decoder = Reader(**options), LanguageModel()
        self.encoder.head = nn.Identity()

    def read(self, source_ids, source_lengths):
        return self.encoder.rnn(self.encoder.packed(source_ids, source_lengths))[1]

    def forward(self, source_ids, source_lengths, target_ids, target_lengths):
        state = self.read(source_ids, source_lengths)
        return self.decoder.head(self.decoder.rnn(self.decoder.embedding(target_ids), state)[0])


class TranslatorOfBothHalves(Translator):
    def __init__(self):
        super().__init__(bidirectional=True)
        self.bridge = nn.Linear(2 * HIDDEN, HIDDEN)

    def read(self, source_ids, source_lengths):
        state = super().read(source_ids, source_lengths)
        return tuple(self.bridge(torch.cat((part[-2], part[-1]), dim=-1)).unsqueeze(0) for part in state)


class TranslatorOfPadding(Translator):
    def read(self, source_ids, source_lengths):
        return self.encoder.rnn(self.encoder.embedding(source_ids))[1]


class TranslatorOfBackwardHalf(Translator):
    def __init__(self):
        super().__init__(bidirectional=True)

    def read(self, source_ids, source_lengths):
        return tuple(part[-1:].contiguous() for part in super().read(source_ids, source_lengths))


class TranslatorOfViewedStates(TranslatorOfBothHalves):
    def read(self, source_ids, source_lengths):
        state = Translator.read(self, source_ids, source_lengths)
        return tuple(self.bridge(part.view(len(source_ids), -1)).unsqueeze(0) for part in state)


class TranslatorThatSeesTheTarget(Translator):
    def __init__(self):
        super().__init__()
        self.decoder = TwoWayLanguageModel()

    def forward(self, source_ids, source_lengths, target_ids, target_lengths):
        state = tuple(part.repeat(2, 1, 1) for part in self.read(source_ids, source_lengths))
        packed = self.decoder.packed(target_ids, target_lengths)
        output = pad_packed_sequence(self.decoder.rnn(packed, state)[0], batch_first=True)[0]
        return self.decoder.head(output)
