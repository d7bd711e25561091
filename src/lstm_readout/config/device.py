"""The value of ``device`` goes in; the device comes out, if this machine has it."""

from __future__ import annotations

from typing import Any

import torch

from lstm_readout.errors import UserError


def usable_device(name: Any) -> str:
    """Return the name of a device of torch's.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``gpu`` for the one of the latter that there is.

    Raises:
        UserError: there is no such device here.
    """
    there = _devices()
    if name == "gpu" and len(there) > 1:
        return there[1]
    if name not in there:
        raise UserError(f"device: there is no '{name}' on this machine. Valid: {', '.join(there)}.")
    return str(name)


def _devices() -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ["cuda", *(f"cuda:{index}" for index in range(count))] if count else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]
