"""Tied embeddings and the adaptive softmax, in a language model and in a translator's decoder."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_sequence
from torch.testing import assert_close

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding import beam_search, greedy
from lstm_readout.models import LanguageModel, Seq2Seq
from lstm_readout.nn.head import AdaptiveHead
from lstm_readout.nn.lstm import LSTMState

V, H = 30, 16
ADAPTIVE: dict[str, Any] = {"softmax": "adaptive", "cutoffs": [4, 11]}
ROWS = [torch.randint(V, (length,)) for length in (3, 6, 1)]


def build(**arguments: Any) -> LanguageModel:
    return LanguageModel(vocab_size=V, **{"embedding_size": H, "hidden_size": H, **arguments}).double()


def translator(**arguments: Any) -> Seq2Seq:
    arguments = {"embedding_size": H, "hidden_size": H, **arguments}
    return Seq2Seq(source_vocab_size=9, target_vocab_size=V, **arguments).double()


def packed() -> Any:
    return pack_sequence(ROWS, enforce_sorted=False)


TARGETS = torch.randint(V, (10,))


@pytest.mark.parametrize("arguments", [{}, {"tied_embeddings": True}, ADAPTIVE], ids=str)
def test_the_loss_is_that_of_the_scores_and_so_are_its_gradients(arguments):
    model = build(**arguments)
    model.eval()
    loss, _ = model.loss(packed(), TARGETS)
    logits = model(packed()).logits.data
    assert logits.shape == (10, V)
    assert model.head.out_features == V
    whole = cross_entropy(logits, TARGETS)
    assert_close(loss, whole)
    parameters = list(model.parameters())
    assert_close(torch.autograd.grad(loss, parameters), torch.autograd.grad(whole, parameters))


@pytest.mark.parametrize("arguments", [{"tied_embeddings": True}, ADAPTIVE], ids=str)
def test_a_translators_decoder_has_the_head_and_its_encoder_does_not(arguments):
    model = translator(**arguments)
    sources = pack_sequence([torch.randint(9, (4,)) for _ in ROWS])
    loss = model.loss(sources, packed(), TARGETS)
    assert_close(loss, cross_entropy(model(sources, packed()).logits.data, TARGETS))
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert (
        (model.decoder.head.weight is model.decoder.encoder.embedding.weight)
        if "tied_embeddings" in arguments
        else True
    )
    again = translator(**{k: v for k, v in model.arguments.items() if not k.endswith("vocab_size")})
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(sources, packed()).logits.data, model(sources, packed()).logits.data)


# Tied


def test_one_matrix_is_both_and_is_updated_once(tmp_path):
    model = build(tied_embeddings=True)
    parameters = list(model.parameters())
    matrix = model.encoder.embedding.weight
    assert sum(p is matrix for p in parameters) == 1
    assert len(list(build().parameters())) == len(parameters) + 1
    before = matrix.detach().clone()
    model.loss(packed(), TARGETS)[0].backward()
    torch.optim.SGD(parameters, lr=0.1).step()
    assert_close(matrix.detach(), before - 0.1 * matrix.grad)

    torch.save(model.state_dict(), tmp_path / "weights.pt")
    again = LanguageModel(**model.arguments).double()
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    for tied in (model, again, copy.deepcopy(model), again.float()):
        assert tied.head.weight is tied.encoder.embedding.weight
    assert_close(again.encoder.embedding.weight, matrix.float())


def test_the_gradient_of_a_tied_matrix_is_the_sum_of_its_two_uses():
    tied, apart = build(tied_embeddings=True), build()
    apart.load_state_dict(tied.state_dict())
    for model in (tied, apart):
        model.loss(packed(), TARGETS)[0].backward()
    assert_close(tied.head.weight.grad, apart.head.weight.grad + apart.encoder.embedding.weight.grad)


def test_a_frozen_tied_matrix_stays_and_the_rest_learns():
    model = build(tied_embeddings=True)
    model.encoder.embedding.weight.requires_grad_(False)
    model.loss(packed(), TARGETS)[0].backward()
    assert model.head.weight.grad is None
    assert model.head.bias.grad.any()


def test_a_projection_of_the_lstm_fits_a_narrow_embedding():
    model = build(embedding_size=5, proj_size=5, tied_embeddings=True)
    assert model.head.weight.shape == (V, 5)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"embedding_size": 5}, r"embedding_size is 5 .* gives 16 .*embedding_size=16, or model\.proj_size=5"),
        ({"embedding_size": 20}, r"embedding_size is 20 .* gives 16 .*embedding_size=16, or model\.hidden_size=20"),
        ({"proj_size": 3}, r"embedding_size is 16 .* gives 3 .*embedding_size=3"),
    ],
)
def test_widths_that_differ_are_refused_with_what_to_set(sizes, told):
    for make in (build, translator):
        with pytest.raises(UserError, match=rf"tied_embeddings=true: .*{told}"):
            make(tied_embeddings=True, **sizes)


# Adaptive


def test_scores_are_log_probabilities_and_those_of_torchs_own_module():
    head = AdaptiveHead(H, V, [4, 11]).double()
    vectors = torch.randn(2, 5, H, dtype=torch.float64)
    scores = head(vectors)
    assert scores.shape == (2, 5, V)
    assert_close(scores.exp().sum(-1), torch.ones(2, 5, dtype=torch.float64))
    flat, targets = vectors.flatten(0, 1), torch.arange(10) * 3
    assert_close(head.softmax(flat, targets).output, scores.flatten(0, 1).gather(1, targets[:, None])[:, 0])


def test_the_first_clusters_follow_from_the_size():
    head = AdaptiveHead(64, 8000)
    assert head.softmax.cutoffs == [500, 2000, 8000]
    assert [part[0].out_features for part in head.softmax.tail] == [16, 4]


@pytest.mark.parametrize("number", [0, 1, 7, 40])
@pytest.mark.parametrize("cutoffs", [[4], [4, 11]])
def test_the_adaptive_loss_is_that_of_torchs_module(number, cutoffs):
    head = AdaptiveHead(H, V, cutoffs).double()
    vectors = torch.randn(number, H, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(V, (number,))
    ours, theirs = head.loss(vectors, targets), head.softmax(vectors, targets).loss
    assert_close(ours, theirs, equal_nan=True)
    if number:
        parameters = [vectors, *head.parameters()]
        given = {"allow_unused": True, "materialize_grads": True}
        assert_close(*(torch.autograd.grad(loss, parameters, **given) for loss in (ours, theirs)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_autocast_an_adaptive_head_takes_what_the_lstm_gives(dtype):
    head = AdaptiveHead(H, V, [4, 11])
    vectors, targets = torch.randn(12, H).to(dtype), torch.arange(12) * 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, scores = head.loss(vectors, targets), head(vectors)
    loss.backward()
    assert_close(loss.float(), cross_entropy(scores.float(), targets), rtol=0.02, atol=0.02)


def test_searches_write_the_same_with_any_head():
    """A beam of one is greedy, and its score that of the model: the scores are a distribution."""
    model = build(**ADAPTIVE).eval()
    state = LSTMState(torch.randn(1, 4, H).double(), torch.randn(1, 4, H).double())
    greedy_texts = greedy(model, state, 5)
    for text, found in zip(greedy_texts, beam_search(model, state, 1, 5), strict=True):
        assert found[0].token_ids == text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"softmax": "adaptive"}, r"softmax=adaptive: wanted 1,000 tokens or more.* has 30.*softmax=full"),
        ({**ADAPTIVE, "cutoffs": []}, r"cutoffs=\[\]: wanted increasing ids"),
        ({**ADAPTIVE, "cutoffs": [0, 4]}, r"cutoffs=\[0, 4\]: wanted increasing ids"),
        ({**ADAPTIVE, "cutoffs": [4, 30]}, r"cutoffs=\[4, 30\]: .* less than the vocabulary's 30"),
        ({**ADAPTIVE, "cutoffs": [9, 4]}, r"cutoffs=\[9, 4\]: wanted increasing ids"),
        ({**ADAPTIVE, "cutoffs": [4, 4]}, r"cutoffs=\[4, 4\]: wanted increasing ids"),
        ({**ADAPTIVE, "cutoffs": [4, 9, 12]}, r"cutoffs=\[4, 9, 12\]: .* leaves none of 16"),
        ({"cutoffs": [4]}, r"cutoffs=\[4\] is for model\.softmax=adaptive"),
        ({**ADAPTIVE, "tied_embeddings": True}, r"tied_embeddings=true needs model\.softmax=full"),
        ({"softmax": "hierarchical"}, r"there is no 'hierarchical'. .*adaptive, full"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(arguments, told):
    with pytest.raises(UserError, match=told):
        build(**arguments)


def test_label_smoothing_needs_a_full_softmax():
    model = build(**ADAPTIVE)
    with pytest.raises(UserError, match=r"task\.label_smoothing=0\.1 needs a full softmax.*softmax=full"):
        model.loss(packed(), TARGETS, label_smoothing=0.1)


def test_another_head_in_its_place_is_called():
    model = build()
    plain, _ = model.loss(packed(), TARGETS)
    model.head = nn.Sequential(model.head, nn.LogSoftmax(-1))
    assert_close(model.loss(packed(), TARGETS)[0], plain)
