"""Each check finds its own mistake and nothing else; in the mended twin none finds anything."""

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

import lstm_readout_broken_modules as modules
from lstm_readout import doctor
from lstm_readout_broken_modules import HIDDEN, VOCABULARY

CLASSIFY = {
    "output[:, -1] of padded rows": ("padding", modules.LastStepOfPadding, modules.LastState),
    "output[:, -1] of packed and padded rows": ("padding", modules.LastStepOfPadded, modules.OutputAtTheEnd),
    "a mean over padding": ("padding", modules.MeanOverPadding, modules.MeanOfOutput),
    "output at the end of two directions": (
        "directions",
        lambda: modules.LastStepOfBoth(bidirectional=True),
        lambda: modules.BothHalves(bidirectional=True),
    ),
    "the same, of two GRU layers": (
        "directions",
        lambda: modules.LastStepOfBoth(nn.GRU, bidirectional=True, num_layers=2),
        lambda: modules.BothHalves(nn.GRU, bidirectional=True, num_layers=2),
    ),
    "output[:, 0] of two directions": (
        "directions",
        lambda: modules.FirstStepOfBoth(bidirectional=True),
        lambda: modules.MeanOfOutput(bidirectional=True),
    ),
    "h_n[-1] of two directions": (
        "directions",
        modules.BackwardHalf,
        lambda: modules.BothHalves(nn.RNN, bidirectional=True),
    ),
    "h_n[-2] of two directions": (
        "directions",
        lambda: modules.ForwardHalf(num_layers=3),
        lambda: modules.BothHalves(bidirectional=True, num_layers=3),
    ),
    "h_n.view of two directions": (
        "h_n_view",
        lambda: modules.ViewedStates(bidirectional=True),
        lambda: modules.AllStates(bidirectional=True),
    ),
    "h_n.view of two layers": (
        "h_n_view",
        lambda: modules.ViewedStates(num_layers=2, width=2 * HIDDEN),
        lambda: modules.AllStates(num_layers=2, width=2 * HIDDEN),
    ),
    "h_n.view of three layers in two directions": (
        "h_n_view",
        lambda: modules.ViewedStates(num_layers=3, bidirectional=True, width=6 * HIDDEN),
        lambda: modules.AllStates(num_layers=3, bidirectional=True, width=6 * HIDDEN),
    ),
    "no batch_first": ("batch_first", modules.StepsForBatch, modules.OutputAtTheEnd),
    "no batch_first in two directions": (
        "batch_first",
        lambda: modules.StepsForBatch(bidirectional=True),
        lambda: modules.MaxOfOutput(bidirectional=True),
    ),
    "view in place of transpose": ("rows", modules.ViewedSteps, modules.OutputAtTheEnd),
    "a mean over the batch": ("rows", modules.NormOverBatch, modules.NormOfFeatures),
    "a mean over the batch of six states": (
        "rows",
        lambda: modules.NormOverBatchOfMany(num_layers=3, bidirectional=True, width=6 * HIDDEN),
        lambda: modules.AllStates(num_layers=3, bidirectional=True, width=6 * HIDDEN),
    ),
    "self.hidden goes on": ("state", modules.KeepsItsState, modules.OutputAtTheEnd),
    "a buffer goes on": ("state", modules.KeepsItsStateInABuffer, modules.OutputAtTheEnd),
    "softmax before the loss": ("softmax", modules.SoftmaxBeforeLoss, modules.LastState),
    "F.dropout in eval mode": ("random", modules.DropsWhileEvaluating, modules.Dropping),
    "nn.Dropout made in forward": ("random", modules.DropsAnew, modules.Dropping),
    "torch.randn as h_0": ("random", modules.RandomFirstState, modules.LastState),
    "h_n[0] of two layers": (
        "layers",
        lambda: modules.FirstLayer(num_layers=2),
        lambda: modules.LastState(num_layers=2),
    ),
    "h_n[:2] of two layers in two directions": (
        "layers",
        lambda: modules.FirstLayerOfBoth(num_layers=2, bidirectional=True),
        lambda: modules.Attention(num_layers=2, bidirectional=True),
    ),
    "sorted, not put back": ("order", modules.SortedOnly, modules.SortedAndBack),
    "enforce_sorted": ("order", modules.WantsSorted, modules.LastState),
    "h_0 of one batch size": ("batch_size", modules.StateOfOneBatchSize, modules.LastState),
    "squeeze of a batch of one": ("batch_size", modules.Squeezed, modules.LastState),
    "output[:, 0]": ("ends", modules.FirstStep, modules.LastState),
    "steps in place of rows": ("logits", lambda: modules.LanguageModel(), modules.Features),
}
GENERATE = {
    "two directions": ("future", modules.TwoWayLanguageModel, modules.LanguageModel),
    "a graph that goes on": ("detached", modules.CarriesItsGraph, modules.CarriesInTraining),
    "no batch_first": (
        "batch_first",
        lambda: modules.StepsForBatchEverywhere(outputs=VOCABULARY),
        modules.UnpackedLanguageModel,
    ),
    "no memory": ("steps", modules.ForgetfulLanguageModel, lambda: modules.LanguageModel(num_layers=2)),
    "time first": ("logits", modules.TimeFirst, modules.ShortenedLanguageModel),
}
WARNED = {
    "dropout of one layer": ("dropout", modules.DropoutOfOneLayer, modules.Dropping),
    "dropout left out": ("dropout", modules.DropoutLeftOut, modules.Dropping),
    "an embedding without gradient": ("gradients", modules.CutEmbedding, modules.LastState),
    "a large head": ("start_loss", modules.LargeHead, modules.ZeroHead),
    "log_softmax": ("softmax", modules.LogSoftmax, modules.LastState),
    "padding by its id": ("padding", modules.FindsPaddingById, modules.LastState),
}
TRANSLATE = {
    "padding": ("source_padding", modules.TranslatorOfPadding, modules.Translator),
    "one half": ("source_directions", modules.TranslatorOfBackwardHalf, modules.TranslatorOfBothHalves),
    "view": ("source_h_n_view", modules.TranslatorOfViewedStates, modules.TranslatorOfBothHalves),
    "future": ("future", modules.TranslatorThatSeesTheTarget, modules.Translator),
}


def batch(lengths=(25, 3, 9, 14, 7, 20, 1)):
    lengths = torch.tensor(lengths)
    token_ids = torch.randint(1, VOCABULARY, (len(lengths), int(lengths.max())))
    return token_ids.masked_fill(torch.arange(token_ids.shape[1]) >= lengths[:, None], 0), lengths


def read(module, task="classify"):
    return doctor.check(module, *batch(), task=task, untrained=True)


@pytest.mark.parametrize("case", sorted(CLASSIFY))
def test_a_check_finds_its_mistake_in_a_classifier_and_nothing_else(case):
    name, broken, mended = CLASSIFY[case]
    report = read(broken())
    assert (report.failed, report.warned) == ([name], []), str(report)
    report = read(mended())
    assert (report.failed, report.warned) == ([], []), str(report)


@pytest.mark.parametrize("case", sorted(GENERATE))
def test_a_check_finds_its_mistake_in_a_language_model_and_nothing_else(case):
    name, broken, mended = GENERATE[case]
    report = read(broken(), "generate")
    assert (report.failed, report.warned) == ([name], []), str(report)
    report = read(mended(), "generate")
    assert (report.failed, report.warned) == ([], []), str(report)


@pytest.mark.parametrize("case", sorted(WARNED))
def test_a_check_warns_of_what_may_be_meant(case):
    name, broken, mended = WARNED[case]
    report = read(broken())
    assert (report.failed, report.warned) == ([], [name]), str(report)
    report = read(mended())
    assert (report.failed, report.warned) == ([], []), str(report)


@pytest.mark.parametrize("case", sorted(TRANSLATE))
def test_a_check_finds_its_mistake_in_a_translator_and_nothing_else(case):
    name, broken, mended = TRANSLATE[case]
    pairs = (*batch(), *batch((4, 8, 6, 12, 11, 9, 2)))
    report = doctor.check_translator(broken(), *pairs)
    assert (report.failed, report.warned) == ([name], []), str(report)
    report = doctor.check_translator(mended(), *pairs)
    assert (report.failed, report.warned) == ([], []), str(report)


def test_two_mistakes_are_two_failures():
    report = read(modules.LastStepOfPadding(bidirectional=True))
    assert report.failed == ["padding", "directions"]


@settings(max_examples=6, phases=[Phase.explicit, Phase.generate])
@given(
    lengths=st.lists(st.integers(1, 30), min_size=2, max_size=9).filter(lambda lengths: len(set(lengths)) > 1),
    cell=st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]),
    layers=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_rows_of_any_lengths_tell_right_from_wrong(lengths, cell, layers, seed):
    torch.manual_seed(seed)
    rows = batch(lengths)
    options = {"bidirectional": True, "num_layers": layers}
    assert doctor.check(modules.BothHalves(cell, **options), *rows).failed == []
    assert doctor.check(modules.LastStepOfBoth(cell, **options), *rows).failed == ["directions"]
    assert "padding" in doctor.check(modules.LastStepOfPadding(cell, **options), *rows).failed
    assert doctor.check(modules.ViewedStates(cell, **options, width=2 * layers * HIDDEN), *rows).failed == ["h_n_view"]
    assert doctor.check(modules.LanguageModel(cell=cell), *rows, task="generate").failed == []
    assert doctor.check(modules.StepsForBatch(cell), *rows).failed == ["batch_first"]
