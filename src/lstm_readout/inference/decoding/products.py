"""Weight matrices in the layout that a step reads fastest: rows go in, their products come out.

Shapes: N rows, I inputs, K outputs.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from lstm_readout.errors import UserError


class Product(Protocol):
    """``x @ weight.T + bias`` with a constant weight."""

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows: (N, I) -> (N, K)."""
        ...

    def add_to(self, sums: Tensor, x: Tensor) -> Tensor:
        """Add the products of (N, I) to ``sums`` (N, K) in place, and return it."""
        ...


class FloatProduct:
    """The product with float weights.

    The weight layout of ``nn.Linear``, (K, I), is slow for few rows. One row is 2.6 times faster with the transposed
    weight (K=8000, I=512, one thread), and 2 to 64 rows are 1.2 to 2.3 times faster with a weight packed by oneDNN.

    Args:
        weight: (K, I).
        bias: (K,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = weight.detach()
        self.bias = None if bias is None else bias.detach()

    @cached_property
    def transposed(self) -> Tensor:
        """(I, K)."""
        return self.weight.t().contiguous()

    @cached_property
    def packed(self) -> Tensor | None:
        """The weight as oneDNN lays it out; None where this torch lacks the call, which is private."""
        if self.weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
            return None
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, None)
            torch.ops.mkldnn._linear_pointwise(self.weight.new_zeros(2, self.weight.shape[1]), packed, None, *_PLAIN)
        except (AttributeError, RuntimeError, TypeError):
            return None
        return packed

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows: (N, I) -> (N, K)."""
        if len(x) > 1 and self.packed is not None:
            return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, *_PLAIN)
        return x.mm(self.transposed) if self.bias is None else torch.addmm(self.bias, x, self.transposed)

    def add_to(self, sums: Tensor, x: Tensor) -> Tensor:
        """Add the products of (N, I) to ``sums`` (N, K) in place, and return it."""
        return sums.add_(self(x)) if len(x) > 1 else sums.addmm_(x, self.transposed)


_PLAIN = ("none", [], "")  # oneDNN: nothing after the product


class Int8Product:
    """The product in integers: weights of 8 bits with one scale per output, inputs quantised at each call.

    All rows of a call share one input scale, so a row's last digits depend on the others. Inputs get 7 bits, as in
    PyTorch's own dynamic layers: with 8, sums of pairs would overflow on processors without VNNI.

    Args:
        weight: (K, I), float32 on CPU.
        bias: (K,), or None; stays float.

    Raises:
        UserError: the weight is not float32 on CPU, or torch has no int8 kernels for this processor.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        weight = weight.detach()
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            raise UserError(
                f"int8=true: wanted float32 weights on the CPU, got {weight.dtype} on {weight.device}. "
                "Set device=cpu, or int8=false."
            )
        scales = weight.abs().amax(1).clamp_min(1e-30).double() / 127  # (K,)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*[Qq]uantized tensor", category=UserWarning)
                zeros = torch.zeros(len(weight), dtype=torch.long)
                quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
                self.packed = torch.ops.quantized.linear_prepack(quantised, None if bias is None else bias.detach())
            self(weight.new_zeros(1, weight.shape[1]))
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"int8=true: torch {torch.__version__} has no int8 kernels for this processor: {reason}. "
                "Set int8=false."
            ) from error

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows: (N, I) -> (N, K)."""
        return torch.ops.quantized.linear_dynamic(x, self.packed, True)

    def add_to(self, sums: Tensor, x: Tensor) -> Tensor:
        """Add the products of (N, I) to ``sums`` (N, K) in place, and return it."""
        return sums.add_(self(x))
