"""Against ``torch.nn.functional.cross_entropy`` of ``linear``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from lstm_readout.nn.cross_entropy import linear_cross_entropy


@pytest.fixture(scope="module", autouse=True)
def _as_for_many_classes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstm_readout.nn.cross_entropy.FEW_CLASSES", 0)
        yield


@pytest.fixture
def blocks_of(monkeypatch):
    """Return a setter of how many logits a block has at most."""
    return lambda most: monkeypatch.setattr("lstm_readout.nn.cross_entropy.MOST_LOGITS", most)


def inputs(number: int, features: int, classes: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    shapes = (number, features), (classes, features), (classes,)
    return *(torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in shapes), torch.randint(
        classes, (number,)
    )


def reference(vectors: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, **options: Any) -> Tensor:
    return cross_entropy(linear(vectors, weight, bias), targets, **options)


@given(
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(1, 99),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from(["mean", "sum"]),
    st.sampled_from([0.01, 1.0, 30.0]),
)
def test_loss_and_gradients_are_those_of_the_whole(number, features, classes, most, smoothing, reduction, spread):
    given, options = inputs(number, features, classes), {"label_smoothing": smoothing, "reduction": reduction}
    with torch.no_grad():
        given[1].mul_(spread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstm_readout.nn.cross_entropy.MOST_LOGITS", most)
        ours = linear_cross_entropy(*given, **options)
        without_graph = linear_cross_entropy(*(x.detach() for x in given), **options)
    whole = reference(*given, **options)
    assert_close(ours, whole)
    assert_close(without_graph, whole.detach())
    # twice as much, as where gradients of several batches are added up
    assert_close(torch.autograd.grad(2 * ours, given[:3]), torch.autograd.grad(2 * whole, given[:3]))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradcheck_also_through_a_retained_graph(blocks_of, smoothing):
    blocks_of(15)
    *given, targets = inputs(5, 3, 7)
    assert torch.autograd.gradcheck(lambda *x: linear_cross_entropy(*x, targets, label_smoothing=smoothing), given)
    loss = linear_cross_entropy(*given, targets, label_smoothing=smoothing)
    first, *again = (torch.autograd.grad(loss, given, retain_graph=True) for _ in range(3))
    assert all(torch.equal(x, y) for other in again for x, y in zip(first, other, strict=True))


def test_a_gradient_changed_in_place_does_not_change_the_next_one():
    *given, targets = inputs(5, 3, 7)
    loss = linear_cross_entropy(*given, targets)
    loss.backward(retain_graph=True)
    expected = [x.grad.clone() for x in given]
    for x in given:
        x.grad.zero_()
    loss.backward()
    assert_close([x.grad for x in given], expected)


@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1)])
def test_what_is_frozen_gets_no_gradient(wanted):
    *given, targets = inputs(5, 3, 7)
    for x, want in zip(given, wanted, strict=True):
        x.requires_grad_(bool(want))
    linear_cross_entropy(*given, targets).backward()
    ours = [x.grad for x in given]
    for x in given:
        x.grad = None
    reference(*given, targets).backward()
    assert_close([g for g in ours if g is not None], [x.grad for x in given if x.grad is not None])
    assert [g is not None for g in ours] == list(map(bool, wanted))


def test_in_float32_it_is_as_near_to_float64_as_cross_entropy():
    *given, targets = inputs(300, 64, 1003, torch.float32)
    given[0].data *= 3
    losses = [f(*given, targets) for f in (linear_cross_entropy, reference)]
    exact = reference(*(x.double() for x in given), targets).detach()
    for loss in losses:
        assert_close(loss.detach().double(), exact, rtol=1e-6, atol=0)
    ours, theirs = (torch.autograd.grad(loss, given) for loss in losses)
    double = [x.detach().double().requires_grad_() for x in given]
    for a, b, c in zip(ours, theirs, torch.autograd.grad(reference(*double, targets), double), strict=True):
        assert float((a - c).abs().max()) <= 2 * float((b - c).abs().max()) + 1e-7 * float(c.abs().max())


def test_sure_predictions_and_far_scores_stay_finite():
    vectors = torch.eye(3).requires_grad_()
    weight = torch.tensor([[500.0, -500, 0], [-500, 500, 0], [0, 0, -1e30]])
    for targets in (torch.tensor([0, 1, 0]), torch.tensor([1, 0, 2])):
        given = vectors, weight, torch.zeros(3), targets
        ours, whole = linear_cross_entropy(*given), reference(*given)
        assert_close(ours, whole)
        assert_close(torch.autograd.grad(ours, vectors), torch.autograd.grad(whole, vectors))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_products_are_narrow_and_the_softmax_is_not(blocks_of, dtype):
    blocks_of(200)
    *given, targets = inputs(40, 16, 21, torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        losses = [f(*given, targets, label_smoothing=0.1) for f in (linear_cross_entropy, reference)]
    assert losses[0].dtype == torch.float32
    assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)  # the same rounded logits
    ours, theirs = (torch.autograd.grad(loss, given) for loss in losses)
    assert {x.dtype for x in ours} == {torch.float32}
    assert_close(ours, theirs, rtol=0.02, atol=2e-3)
    *wide, _ = (x.detach().double().requires_grad_() for x in (*given, targets.double()))
    exact = torch.autograd.grad(reference(*wide, targets, label_smoothing=0.1), wide)
    for a, b, c in zip(ours, theirs, exact, strict=True):
        assert float((a - c).norm()) <= 1.05 * float((b - c).norm())


def test_half_the_gradient_of_a_scaled_loss_survives_in_float16():
    """A loss scaled by 2^16, as against underflow, must not overflow where it meets the gradient of a mean."""
    *given, targets = inputs(40, 16, 21, torch.float32)
    with torch.autocast("cpu", dtype=torch.float16):
        loss = linear_cross_entropy(*given, targets)
    scaled, plain = (torch.autograd.grad(s * loss, given, retain_graph=True) for s in (2.0**16, 1.0))
    assert_close([x / 2**16 for x in scaled], list(plain))


def test_a_model_in_bfloat16_is_trained_in_it():
    *given, targets = inputs(40, 16, 21, torch.bfloat16)
    ours, whole = linear_cross_entropy(*given, targets), reference(*given, targets)
    assert_close(ours, whole.float(), rtol=0.01, atol=0.01)
    gradients = [torch.autograd.grad(loss, given) for loss in (ours, whole)]
    assert_close(*gradients, rtol=0.05, atol=5e-3)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_rows_at_all(reduction):
    given = inputs(0, 3, 7)
    losses = [f(*given, reduction=reduction) for f in (linear_cross_entropy, reference)]
    assert_close(*losses, equal_nan=True)
    ours = torch.autograd.grad(losses[0], given[:3])
    assert not any(x.any() for x in ours)


class Largest(TorchDispatchMode):
    """Note the most numbers that any result holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, Tensor):
                self.numbers = max(self.numbers, x.untyped_storage().nbytes() // x.element_size())
        return result


@pytest.mark.parametrize("graph", [True, False])
def test_no_more_logits_than_allowed_exist(blocks_of, graph):
    blocks_of(2**12)
    number, features, classes = 1000, 4, 100
    *given, targets = inputs(number, features, classes)
    with Largest() as largest, torch.set_grad_enabled(graph):
        loss = linear_cross_entropy(*given, targets, label_smoothing=0.1)
        if graph:
            loss.backward()
    assert number * features <= largest.numbers <= 2**12 * 104 / 100  # rows are filled up to a whole line
    with Largest() as largest:
        reference(*given, targets)
    assert largest.numbers == number * classes


def test_a_gradient_is_handed_to_the_parameter_without_a_copy():
    head = nn.Linear(3, 7)
    loss = linear_cross_entropy(torch.randn(5, 3), head.weight, head.bias, torch.randint(7, (5,)))
    made = [x.data_ptr() for x in loss.grad_fn.gradients[1:]]
    loss.backward()
    assert made == [head.weight.grad.data_ptr(), head.bias.grad.data_ptr()]


@pytest.mark.parametrize(("classes", "most", "in_blocks"), [(8, 999, True), (7, 999, False), (7, 30, True)])
def test_few_classes_take_torchs_own_way_unless_there_are_many_rows(monkeypatch, blocks_of, classes, most, in_blocks):
    monkeypatch.setattr("lstm_readout.nn.cross_entropy.FEW_CLASSES", 8)
    blocks_of(most)
    given = inputs(5, 3, classes)
    loss = linear_cross_entropy(*given)
    assert_close(loss, reference(*given))
    assert hasattr(loss.grad_fn, "gradients") == in_blocks


def test_a_class_that_is_not_there_is_refused_by_torch():
    *given, _ = inputs(2, 3, 7)
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        linear_cross_entropy(*given, torch.tensor([0, 7]))
