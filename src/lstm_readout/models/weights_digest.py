"""A ``state_dict`` goes in; a hash comes out that changes with any of its names, types, shapes or bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

WEIGHTS_SHA256 = (
    "weights_sha256"  # of a checkpoint: the digest of its ``state_dict``; checkpoints of earlier versions have none
)


def digest(state_dict: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the tensors in the order of their names.

    A tensor is one line, ``name dtype shape`` as PyTorch prints them, then its bytes in row-major order.
    """
    sha256 = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()
