"""The allocator's setting for training on CPU: memory once had from the system is kept, but not ever more of it.

By default glibc gives a large block back to the system when it is freed; the next step asks for it again and pays for
each page anew. A training step frees and asks for the same large tensors (logits above all) every time. Where each
batch has other lengths, the freed blocks fit the next ones badly, and what is kept grows.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
LARGEST = 2**31 - 1
STATM = Path("/proc/self/statm")
SPARE = 2**30  # bytes that are nothing to a machine that trains


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for the next step; return whether this system's allocator is glibc's."""
    if not _has_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) == 1
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, 2**28))
    )


class FreedMemory(Callback):
    """Give the free blocks back once the process holds twice what it did after the first step, and 1 GiB.

    Then the next step is counted as the first one. Batches of one shape never come so far.
    """

    def __init__(self) -> None:
        self._can = _has_glibc() and STATM.exists()
        self._first: int | None = None  # bytes held after the first step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at what is held; elsewhere than on Linux with glibc there is nothing to do."""
        if not self._can:
            return
        held = held_memory()
        if self._first is None:
            self._first = held
        elif held > 2 * self._first + SPARE:
            ctypes.CDLL(None).malloc_trim(0)
            self._first = None


def held_memory() -> int:
    """Return the bytes that this process has from the system, mapped files apart; Linux only."""
    _, resident, shared, *_ = map(int, STATM.read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
