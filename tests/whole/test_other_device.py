"""On a device that is not the processor no tensor is left behind: losses and gradients are those of the processor.

There is a GPU on few machines, so a device is imitated: its tensors say that they are on ``meta``, hold their numbers
on the processor, and refuse an operation with a tensor of the processor, as CUDA does.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from lstm_readout.data.batches import moved
from whole.test_cuda import CASES

pytestmark = pytest.mark.slow  # devices do not depend on torch's version, and the imitation does

ATEN = torch.ops.aten
OTHER = torch.device("meta")
BETWEEN = (ATEN._to_copy.default, ATEN.copy_.default)  # copies from one to the other


class Imitated(Tensor):
    """A tensor of the other device.

    Attributes:
        here: its numbers.
    """

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Any:
        made = Tensor._make_wrapper_subclass(cls, here.shape, strides=here.stride(), dtype=here.dtype, device=OTHER)
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(operation, args, kwargs or {})


class OtherDevice(TorchDispatchMode):
    """While it is active, tensors can be made on the other device and copied to it."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(operation, args, kwargs or {})


def run(operation: Any, args: Any, kwargs: Any) -> Any:
    """Compute on the processor; the result is on the device of the arguments, or on the one that is asked for."""
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
    there = [part for part in tensors if isinstance(part, Imitated)]
    left_behind = [part for part in tensors if not isinstance(part, Imitated) and part.dim()]
    if there and left_behind and operation not in BETWEEN:
        raise RuntimeError(f"{operation}: tensors of two devices, {[tuple(part.shape) for part in left_behind]} here")
    asked = kwargs.get("device")
    is_there = bool(there) if asked is None else torch.device(asked) == OTHER
    kwargs = kwargs if asked is None else {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(lambda part: part.here if isinstance(part, Imitated) else part, (args, kwargs))
    result, wrapped = operation(*args, **kwargs), {id(part.here): part for part in there}

    def back(part: Any) -> Any:
        if not (isinstance(part, Tensor) and is_there):
            return part
        return wrapped[id(part)] if id(part) in wrapped else Imitated(part)  # in place: the tensor that was given

    return tree_map(back, result)


@pytest.fixture(autouse=True)
def replaced_parameters() -> Any:
    """Let ``Module.to`` replace parameters: one on another device cannot take the place of the old one's numbers."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_are_those_of_the_processor(name: str) -> None:
    make, options = CASES[name]
    model, batch, loss_of = make(**options)
    here, there = model.double(), copy.deepcopy(model).double()
    expected = loss_of(here, batch)
    expected.backward()
    with OtherDevice():
        there = there.to(OTHER)
        found = loss_of(there, moved(batch, OTHER))
        found.backward()
    assert_close(found.detach().here, expected.detach())
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        if one.grad is not None:
            assert_close(other.grad.here, one.grad)


def test_a_tensor_that_is_left_behind_is_refused() -> None:
    with OtherDevice():
        there = torch.ones(3, device=OTHER)
        with pytest.raises(RuntimeError, match="tensors of two devices"):
            there.index_select(0, torch.tensor([1]))
