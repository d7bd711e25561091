"""The examination's own modes: whatever the caller's, graphs are recorded; random state is put back on exit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_modes() -> Iterator[None]:
    """Turn gradients on, inference mode and autocast off, and restore all random number generators on exit."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    plain = torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False)
    try:
        with torch.inference_mode(False), torch.enable_grad(), plain[0], plain[1]:
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
