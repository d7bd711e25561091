"""Right modules in the styles that people write: the doctor must find nothing in them.

``RIGHT`` maps a style to (task, how to build it, adaptor or None). V = 30 ids, C = 3 classes; padding is id 0.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from functools import partial

import torch
from torch import nn
from torch.nn.functional import one_hot, pad, relu, softmax
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import lstm_readout_broken_modules as modules
from lstm_readout_broken_modules import CLASSES, EMBEDDING, HIDDEN, VOCABULARY, Reader, at_the_end, real


class EnforceSorted(Reader):
    """Sorted by hand, packed with enforce_sorted, put back."""

    def forward(self, token_ids, lengths):
        lengths, order = lengths.sort(descending=True)
        packed = pack_padded_sequence(self.embedding(token_ids[order]), lengths.tolist(), batch_first=True)
        h_n = self.rnn(packed)[1][0]
        return self.head(h_n[-1, order.argsort()])


class TimeFirst(Reader):
    def __init__(self):
        super().__init__(batch_first=False)

    def forward(self, token_ids, lengths):
        packed = pack_padded_sequence(self.embedding(token_ids.T), lengths.cpu(), enforce_sorted=False)
        return self.head(self.rnn(packed)[1][0][-1])


class Gathered(Reader):
    """gather at length - 1, time first and not packed."""

    def __init__(self):
        super().__init__(batch_first=False)

    def forward(self, token_ids, lengths):
        output, _ = self.rnn(self.embedding(token_ids.T))
        index = (lengths.long() - 1).view(1, -1, 1).expand(1, -1, HIDDEN)
        return self.head(output.gather(0, index).squeeze(0))


class Masked(Reader):
    """Outputs behind the end are set to zero, and the last real one is summed out."""

    def forward(self, token_ids, lengths):
        output, _ = self.rnn(self.embedding(token_ids))
        last = one_hot(lengths.long() - 1, token_ids.shape[1]).unsqueeze(-1)
        return self.head((output * last).sum(1))


class Cells(nn.Module):
    """A loop over LSTMCell in which a row that has ended keeps its state."""

    def __init__(self, layers=1):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        sizes = [EMBEDDING] + [HIDDEN] * layers
        self.cells = nn.ModuleList(nn.LSTMCell(size, HIDDEN) for size in sizes[:-1])
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, token_ids, lengths):
        states = [tuple(torch.zeros(2, len(token_ids), HIDDEN)) for _ in self.cells]
        for step in range(token_ids.shape[1]):
            x, alive = self.embedding(token_ids[:, step]), (step < lengths).unsqueeze(1)
            for layer, cell in enumerate(self.cells):
                h, c = cell(x, states[layer])
                states[layer] = (torch.where(alive, h, states[layer][0]), torch.where(alive, c, states[layer][1]))
                x = states[layer][0]
        return self.head(states[-1][0])


class GRUCells(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.cell = nn.GRUCell(EMBEDDING, HIDDEN)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, token_ids, lengths):
        h, seen = torch.zeros(len(token_ids), HIDDEN), []
        for x in self.embedding(token_ids).unbind(1):
            h = self.cell(x, h)
            seen.append(h)
        return self.head(at_the_end(torch.stack(seen, 1), lengths.long()))


class BothEndsOfOutput(Reader):
    """The forward half at the last step, the backward half at the first."""

    def __init__(self):
        super().__init__(bidirectional=True)

    def forward(self, token_ids, lengths):
        output = self.outputs(token_ids, lengths)
        ends = at_the_end(output, lengths.long())[:, :HIDDEN], output[:, 0, HIDDEN:]
        return self.head(torch.cat(ends, 1))


class TwoOneWayLayers(nn.Module):
    """Two directions by hand: the backward one reads each row flipped up to its own length."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.forwards, self.backwards = (nn.LSTM(EMBEDDING, HIDDEN, batch_first=True) for _ in range(2))
        self.head = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, token_ids, lengths):
        flipped = torch.zeros_like(token_ids)
        for row, length in enumerate(lengths.tolist()):
            flipped[row, :length] = token_ids[row, :length].flip(0)
        ends = []
        for layer, ids in ((self.forwards, token_ids), (self.backwards, flipped)):
            ends.append(at_the_end(layer(self.embedding(ids))[0], lengths.long()))
        return self.head(torch.cat(ends, 1))


class StackOfLayers(Reader):
    """Two nn.LSTMs with layer norm and a residual between them."""

    def __init__(self):
        super().__init__()
        self.norm, self.second = nn.LayerNorm(HIDDEN), nn.LSTM(HIDDEN, HIDDEN, batch_first=True)

    def forward(self, token_ids, lengths):
        first = self.norm(self.rnn(self.embedding(token_ids))[0])
        return self.head(at_the_end(first + self.second(first)[0], lengths.long()))


class ConvolutionBefore(Reader):
    """Convolution of masked vectors: padding is zero, like the convolution's own."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(EMBEDDING, EMBEDDING, 3, padding=1)

    def packed(self, token_ids, lengths):
        x = self.embedding(token_ids) * real(token_ids, lengths)
        x = relu(self.convolution(x.transpose(1, 2))).transpose(1, 2)
        return pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class ConvolutionalReader(nn.Module):
    """No recurrent layer: a maximum over the real steps of a convolution."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.convolution = nn.Conv1d(EMBEDDING, 24, 3, padding=1)
        self.head = nn.Linear(24, CLASSES)

    def forward(self, token_ids, lengths):
        mask = real(token_ids, lengths)
        x = self.convolution((self.embedding(token_ids) * mask).transpose(1, 2)).transpose(1, 2)
        return self.head(x.masked_fill(~mask, -1e9).amax(1))


class DotAttention(Reader):
    """The last state asks, every real step of both directions answers; -1e9 masks."""

    def __init__(self):
        super().__init__(bidirectional=True)

    def forward(self, token_ids, lengths):
        packed, (h_n, _) = self.rnn(self.packed(token_ids, lengths))
        output, _ = pad_packed_sequence(packed, batch_first=True, total_length=token_ids.shape[1])
        query = torch.cat((h_n[-2], h_n[-1]), 1)
        scores = (output @ query.unsqueeze(2)).squeeze(2)
        weights = softmax(scores.masked_fill(~real(token_ids, lengths).squeeze(2), -1e9), dim=1)
        return self.head((weights.unsqueeze(1) @ output).squeeze(1))


class SelfAttention(Reader):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(HIDDEN, 2, batch_first=True)

    def forward(self, token_ids, lengths):
        output, mask = self.outputs(token_ids, lengths), real(token_ids, lengths)
        mixed, _ = self.attention(output, output, output, key_padding_mask=~mask.squeeze(2))
        return self.head((mixed * mask).sum(1) / mask.sum(1))


class WithPositions(Reader):
    """Positions have an embedding too."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Embedding(64, EMBEDDING)

    def packed(self, token_ids, lengths):
        x = self.embedding(token_ids) + self.positions(torch.arange(token_ids.shape[1]))
        return pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)

    def forward(self, token_ids, lengths):
        return self.head(self.states(token_ids, lengths)[-1])


class OneHot(nn.Module):
    """No embedding: one-hot vectors."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(VOCABULARY, HIDDEN, batch_first=True), nn.Linear(HIDDEN, CLASSES)

    def forward(self, token_ids, lengths):
        return self.head(at_the_end(self.rnn(one_hot(token_ids.long(), VOCABULARY).float())[0], lengths.long()))


class StateAndCell(Reader):
    """h_n and c_n side by side."""

    def __init__(self):
        super().__init__(width=2 * HIDDEN)

    def forward(self, token_ids, lengths):
        _, (h_n, c_n) = self.rnn(self.packed(token_ids, lengths))
        return self.head(torch.cat((h_n[-1], c_n[-1]), 1))


class LearnedFirstState(Reader):
    def __init__(self):
        super().__init__()
        self.h_0, self.c_0 = (nn.Parameter(torch.randn(1, 1, HIDDEN)) for _ in range(2))

    def forward(self, token_ids, lengths):
        first = tuple(part.expand(-1, len(token_ids), -1).contiguous() for part in (self.h_0, self.c_0))
        return self.head(self.rnn(self.packed(token_ids, lengths), first)[1][0][-1])


class HighestScore(modules.LastState):
    """A layer norm, a hidden layer with ReLU, a linear head."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(
            nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
        )


class RunningMean(Reader):
    """A running statistic of one's own, in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(HIDDEN))

    def forward(self, token_ids, lengths):
        features = self.states(token_ids, lengths)[-1]
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * features.detach().mean(0)
        return self.head(features - self.mean)


class Bag(nn.Module):
    """EmbeddingBag over the flat real tokens, with offsets."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(VOCABULARY, EMBEDDING)
        self.head = nn.Linear(EMBEDDING, CLASSES)

    def forward(self, token_ids, lengths):
        flat = token_ids[real(token_ids, lengths).squeeze(2)]
        offsets = torch.cat((torch.zeros(1, dtype=torch.long), lengths.long().cumsum(0)[:-1]))
        return self.head(self.embedding(flat, offsets))


class Binary(modules.LastState):
    def __init__(self, *, squeezed):
        super().__init__(outputs=1)
        self.squeezed = squeezed

    def forward(self, token_ids, lengths):
        logits = super().forward(token_ids, lengths)
        return logits.squeeze(-1) if self.squeezed else logits


class Returns(modules.LastState):
    """What else stands beside the logits."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, token_ids, lengths):
        return self.wrap(super().forward(token_ids, lengths))


class Output(OrderedDict):
    """An output object with attributes, as transformers has."""

    def __getattr__(self, name):
        return self[name]


class Scripted(nn.Module):
    """What TorchScript compiles."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.rnn = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True, bidirectional=True, num_layers=2, dropout=0.1)
        self.head = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, token_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.embedding(token_ids), lengths, batch_first=True, enforce_sorted=False)
        h_n = self.rnn(packed)[1][0]
        return self.head(torch.cat((h_n[-2], h_n[-1]), 1))


class Traced(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(VOCABULARY, EMBEDDING), nn.GRU(EMBEDDING, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, token_ids, lengths):
        output, _ = self.rnn(self.embedding(token_ids))
        return self.head(output.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, HIDDEN)).squeeze(1))


class WithMask(modules.MeanOfOutput):
    """Takes a mask in place of lengths, by keyword."""

    def forward(self, *, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask.sum(1))


class Tagger(Reader):
    """Sequence labelling: both directions at every step."""

    def __init__(self):
        super().__init__(bidirectional=True)

    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths))


class CarriesItsState(Reader):
    """A language model that takes a state and returns the last one: carried on purpose, by the caller."""

    def __init__(self):
        super().__init__(outputs=VOCABULARY, num_layers=2)

    def forward(self, token_ids, state=None):
        output, state = self.rnn(self.embedding(token_ids), state)
        return self.head(output), state


class Stateful(Reader):
    """Keeps its state from call to call until reset() is called."""

    def __init__(self):
        super().__init__(outputs=VOCABULARY)
        self.reset()

    def reset(self):
        self.state = None

    def forward(self, token_ids):
        output, state = self.rnn(self.embedding(token_ids), self.state)
        self.state = tuple(part.detach() for part in state)
        return self.head(output)


def from_the_start(module, token_ids, lengths):
    module.reset()
    return module(token_ids)


class TiedLanguageModel(Reader):
    def __init__(self):
        super().__init__(outputs=VOCABULARY, proj_size=EMBEDDING)
        self.head.weight = self.embedding.weight

    def forward(self, token_ids, lengths):
        return self.head(self.outputs(token_ids, lengths))


class CausalConvolution(nn.Module):
    """A language model that reads the last three tokens, as it says."""

    def __init__(self):
        super().__init__()
        self.embedding, self.convolution = nn.Embedding(VOCABULARY, EMBEDDING), nn.Conv1d(EMBEDDING, HIDDEN, 3)
        self.head = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, token_ids, lengths):
        return self.head(self.convolution(pad(self.embedding(token_ids).transpose(1, 2), (2, 0))).transpose(1, 2))


class TwoWayTranslator(modules.TranslatorOfBothHalves):
    """A bridge of its own for h and for c, teacher forcing."""

    def __init__(self):
        super().__init__()
        self.second = nn.Linear(2 * HIDDEN, HIDDEN)

    def read(self, source_ids, source_lengths):
        h, c = modules.Translator.read(self, source_ids, source_lengths)
        bridged = (
            torch.tanh(layer(torch.cat((part[-2], part[-1]), 1)))
            for layer, part in ((self.bridge, h), (self.second, c))
        )
        return tuple(part.unsqueeze(0) for part in bridged)


class AttendingTranslator(modules.Translator):
    """An LSTMCell, step by step, with attention over the source."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(EMBEDDING + HIDDEN, HIDDEN)
        self.decoder.rnn = nn.Identity()
        self.decoder.head = nn.Linear(2 * HIDDEN, VOCABULARY)

    def forward(self, source_ids, source_lengths, target_ids, target_lengths):
        packed, (h_n, c_n) = self.encoder.rnn(self.encoder.packed(source_ids, source_lengths))
        memory, _ = pad_packed_sequence(packed, batch_first=True, total_length=source_ids.shape[1])
        state, context, logits = (h_n[-1], c_n[-1]), torch.zeros(len(source_ids), HIDDEN), []
        for x in self.decoder.embedding(target_ids).unbind(1):
            state = self.cell(torch.cat((x, context), 1), state)
            scores = (memory @ state[0].unsqueeze(2)).masked_fill(~real(source_ids, source_lengths), -1e9)
            context = (softmax(scores, 1) * memory).sum(1)
            logits.append(self.decoder.head(torch.cat((state[0], context), 1)))
        return torch.stack(logits, 1)


class GreedyInside(AttendingTranslator):
    """Teacher forcing in train mode; in eval mode it reads what it has written."""

    def forward(self, source_ids, source_lengths, target_ids, target_lengths):
        if self.training:
            return super().forward(source_ids, source_lengths, target_ids, target_lengths)
        written = target_ids[:, :1]
        with torch.no_grad():
            for _ in range(target_ids.shape[1] - 1):
                logits = super().forward(source_ids, source_lengths, written, target_lengths)
                written = torch.cat((written, logits[:, -1:].argmax(-1)), 1)
        return super().forward(source_ids, source_lengths, written, target_lengths)


def with_old(norm, module, name="weight"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in use
        module.rnn = norm(module.rnn, "weight_hh_l0")
        module.head = norm(module.head, name)
    return module


def parametrized(norm, module):
    module.rnn, module.head = norm(module.rnn, "weight_hh_l0"), norm(module.head)
    return module


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def embedded_by(parametrization, module):
    parametrize.register_parametrization(module.embedding, "weight", parametrization)
    return module


def compiled_by_eager(module):
    return torch.compile(module, backend="eager")


def scripted(module=Scripted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in use
        return torch.jit.script(module())


def traced():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(Traced().eval(), (torch.randint(1, VOCABULARY, (4, 6)), torch.tensor([6, 5, 3, 2])))


def a_function():
    embedding, rnn, head = nn.Embedding(VOCABULARY, EMBEDDING), nn.LSTM(EMBEDDING, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def classify(token_ids, lengths):
        packed = pack_padded_sequence(embedding(token_ids.T), lengths.cpu(), enforce_sorted=False)
        return head(rnn(packed)[1][0][-1])

    return classify


def a_partial():
    def classify(module, token_ids, lengths, *, scale):
        return module(token_ids, lengths) * scale

    return partial(classify, modules.Dropping(), scale=2.0)


class Holder:
    """An object with a method, not an nn.Module."""

    def __init__(self):
        self.module = modules.LastState(num_layers=2, dropout=0.3)

    def __call__(self, token_ids, lengths):
        return self.module(token_ids, lengths)


def frozen():
    module = modules.LastState()
    return module.requires_grad_(False).eval()


def keywords(module, token_ids, lengths):
    return module(input_ids=token_ids, attention_mask=torch.arange(token_ids.shape[1]) < lengths[:, None])


def only_logits(module, token_ids, lengths):
    return module(token_ids)[0]


def on_the_left(module, token_ids, lengths):
    rows = [torch.cat((row[n:], row[:n])) for row, n in zip(token_ids, lengths.tolist(), strict=True)]
    return module(torch.stack(rows), lengths)


class PadsOnTheLeft(Reader):
    """Reads rows whose padding stands first: output[:, -1] is the last token, and padding is kept out of the state."""

    def forward(self, token_ids, lengths):
        h, c = torch.zeros(2, 1, len(token_ids), HIDDEN)
        first = token_ids.shape[1] - lengths
        for step in range(token_ids.shape[1]):
            _, (h_n, c_n) = self.rnn(self.embedding(token_ids[:, step : step + 1]), (h, c))
            begun = (step >= first).view(1, -1, 1)
            h, c = torch.where(begun, h_n, h), torch.where(begun, c_n, c)
        return self.head(h[-1])


RIGHT = {
    "packed, enforce_sorted=False": ("classify", modules.LastState, None),
    "packed, sorted by hand": ("classify", EnforceSorted, None),
    "packed, time first": ("classify", TimeFirst, None),
    "indexed at length - 1": ("classify", modules.OutputAtTheEnd, None),
    "gathered, time first": ("classify", Gathered, None),
    "masked and summed": ("classify", Masked, None),
    "LSTMCell loop": ("classify", Cells, None),
    "two LSTMCells": ("classify", lambda: Cells(2), None),
    "GRUCell loop": ("classify", GRUCells, None),
    "GRU": ("classify", lambda: modules.LastState(nn.GRU), None),
    "RNN": ("classify", lambda: modules.LastState(nn.RNN, num_layers=2), None),
    "both halves of h_n": ("classify", lambda: modules.BothHalves(bidirectional=True, num_layers=2), None),
    "both ends of output": ("classify", BothEndsOfOutput, None),
    "two one-way layers": ("classify", TwoOneWayLayers, None),
    "three layers": ("classify", lambda: modules.LastState(num_layers=3, dropout=0.2), None),
    "a stack of layers": ("classify", StackOfLayers, None),
    "proj_size": ("classify", lambda: modules.LastState(proj_size=5), None),
    "masked attention": ("classify", lambda: modules.Attention(bidirectional=True), None),
    "dot attention": ("classify", DotAttention, None),
    "self-attention": ("classify", SelfAttention, None),
    "masked mean": ("classify", lambda: modules.MeanOfOutput(bidirectional=True), None),
    "masked maximum": ("classify", modules.MaxOfOutput, None),
    "convolution before": ("classify", ConvolutionBefore, None),
    "convolution alone": ("classify", ConvolutionalReader, None),
    "positions": ("classify", WithPositions, None),
    "one-hot": ("classify", OneHot, None),
    "h_n and c_n": ("classify", StateAndCell, None),
    "a learned first state": ("classify", LearnedFirstState, None),
    "norm and hidden layer": ("classify", HighestScore, None),
    "batch norm": ("classify", modules.NormOfFeatures, None),
    "a running mean": ("classify", RunningMean, None),
    "dropout": ("classify", modules.Dropping, None),
    "old weight norm": ("classify", lambda: with_old(nn.utils.weight_norm, modules.LastState()), None),
    "old spectral norm": ("classify", lambda: with_old(nn.utils.spectral_norm, modules.LastState()), None),
    "weight norm": ("classify", lambda: parametrized(parametrizations.weight_norm, modules.LastState()), None),
    "spectral norm": ("classify", lambda: parametrized(parametrizations.spectral_norm, modules.LastState()), None),
    "a parametrized embedding": ("classify", lambda: embedded_by(Doubled(), modules.LastState()), None),
    "a bag with weights": ("classify", modules.Features, None),
    "a bag with offsets": ("classify", Bag, None),
    "TorchScript, compiled": ("classify", scripted, None),
    "TorchScript, traced": ("classify", traced, None),
    "torch.compile": ("classify", lambda: compiled_by_eager(modules.Dropping()), None),
    "a function": ("classify", a_function, None),
    "functools.partial": ("classify", a_partial, None),
    "a callable object": ("classify", Holder, None),
    "binary (B,)": ("classify", lambda: Binary(squeezed=True), None),
    "binary (B, 1)": ("classify", lambda: Binary(squeezed=False), None),
    "a dict": ("classify", lambda: Returns(lambda logits: {"logits": logits, "loss": None}), None),
    "a tuple": ("classify", lambda: Returns(lambda logits: (logits, torch.ones(2))), None),
    "a tuple with a loss": ("classify", lambda: Returns(lambda logits: (torch.tensor(1.0), logits)), None),
    "an output object": ("classify", lambda: Returns(lambda logits: Output(loss=None, logits=logits)), None),
    "a mask by keyword": ("classify", lambda: WithMask(bidirectional=True), keywords),
    "padding on the left": ("classify", PadsOnTheLeft, on_the_left),
    "sequence labelling": ("tag", Tagger, None),
    "language model": ("generate", lambda: modules.LanguageModel(num_layers=2, dropout=0.2), None),
    "language model, not packed": ("generate", modules.UnpackedLanguageModel, None),
    "language model, tied": ("generate", TiedLanguageModel, None),
    "language model, state returned": ("generate", CarriesItsState, only_logits),
    "language model, state kept and reset": ("generate", Stateful, from_the_start),
    "language model, state kept in training": ("generate", modules.CarriesInTraining, None),
    "causal convolution": ("generate", CausalConvolution, None),
    "translator": ("translate", modules.Translator, None),
    "translator with bridges": ("translate", TwoWayTranslator, None),
    "translator with attention": ("translate", AttendingTranslator, None),
    "translator that writes in eval mode": ("translate", GreedyInside, None),
}
MEANT = {  # right for one loss or for one purpose: warned of, never failed
    "log_softmax for nll_loss": ("softmax", modules.LogSoftmax),
    "sigmoid for BCELoss": ("activation", lambda: Returns(torch.sigmoid)),
    "frozen": ("gradients", frozen),
}
