"""The allocator's setting for training on CPU: memory once had from the system is kept.

By default glibc gives a large block back to the system when it is freed; the next step asks for it again and pays for
each page anew. A training step frees and asks for the same large tensors (logits above all) every time.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for the next step; return whether this system's allocator is glibc's."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) == 1
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, 2**28))
    )
