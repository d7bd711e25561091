"""Allocator settings for training on CPU: the process keeps freed memory for the next step, within a limit.

By default glibc returns a large block to the system when it is freed; the next step requests it again and pays for each
page again. A training step frees and requests the same large tensors (above all the logits) every time. Where batches
differ in length, freed blocks fit the next ones badly, and the memory held grows.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # M_... of malloc.h
_LARGEST = 2**31 - 1
STATM = Path("/proc/self/statm")
SPARE = 2**30  # bytes that a machine for training can spare


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks for the next step; return whether this system's allocator is glibc's."""
    if not _has_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) == 1
        for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, 2**28))
    )


class FreedMemory(Callback):
    """Return free blocks to the system once the process holds 1 GiB more than twice its memory after the first step.

    Then the next step counts as the first one. Batches of one shape never reach that limit.
    """

    def __init__(self) -> None:
        self._active = _has_glibc() and STATM.exists()
        self._first: int | None = None  # bytes held after the first step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compare the memory held with the limit; does nothing except on Linux with glibc."""
        if not self._active:
            return
        held = held_memory()
        if self._first is None:
            self._first = held
        elif held > 2 * self._first + SPARE:
            ctypes.CDLL(None).malloc_trim(0)
            self._first = None


def held_memory() -> int:
    """Return the bytes of memory of this process, without mapped files; Linux only."""
    _, resident, shared, *_ = map(int, STATM.read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
