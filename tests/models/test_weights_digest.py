"""The hash of a model's weights, beside the bytes it is made of."""

import hashlib

import pytest
import torch

from lstm_readout.models.weights_digest import digest


def test_it_is_the_hash_of_names_types_shapes_and_bytes_in_the_order_of_names():
    weights = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(3, dtype=torch.int64)}
    one, two = b"\x00\x00\x80\x3f", b"\x00\x00\x00\x40"
    expected = b"a torch.int64 ()\n" + b"\x03" + bytes(7) + b"b torch.float32 (1, 2)\n" + one + two
    assert digest(weights) == hashlib.sha256(expected).hexdigest()


def test_order_and_memory_layout_do_not_count():
    one, other = torch.randn(3, 5), torch.randn(4)
    assert digest({"a": one, "b": other}) == digest({"b": other, "a": one.t().contiguous().t()})


@pytest.mark.parametrize(
    "changed",
    [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.zeros(2, 3, dtype=torch.bfloat16)},
        {"a": torch.full((2, 3), -0.0)},
        {"a": torch.zeros(2, 3), "b": torch.zeros(0)},
    ],
)
def test_any_change_counts(changed):
    assert digest(changed) != digest({"a": torch.zeros(2, 3)})
