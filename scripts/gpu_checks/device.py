"""A device goes in; out come its name and settings, and how long work takes on it, what memory it needs, how often the
host waits for it.

A GPU runs behind the host: a time counts only between two moments at which the host has waited for all of its work.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from lstm_readout.training.trainer import has_bfloat16

Precision = str  # a key of PRECISIONS
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
_WAITED = "called a synchronizing CUDA operation"  # the message of torch.cuda.set_sync_debug_mode


class Device:
    """A GPU, or for a rehearsal the processor.

    Args:
        name: ``cuda``, ``cuda:1`` or ``cpu``.
    """

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)
        self.is_cuda = self.device.type == "cuda"

    def synchronize(self) -> None:
        """Wait for all work on the device."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def computing(self, precision: Precision) -> AbstractContextManager[Any]:
        """Return what makes operations compute in a precision, as Lightning does."""
        stack = contextlib.ExitStack()
        if precision == "bf16":
            stack.enter_context(torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False))
            if not self.is_cuda and not has_bfloat16("cpu"):  # oneDNN would refuse; torch's own kernels are slow
                stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        return stack

    def exact(self) -> AbstractContextManager[Any]:
        """Return what keeps cuDNN from rounding float32 operands to TF32; torch's products do not, by default."""
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if self.is_cuda else contextlib.nullcontext()

    def seconds(self, work: Callable[[], Any], at_least: float) -> float:
        """Return the seconds of a piece of work, the mean over as many as fill ``at_least`` seconds."""
        for _ in range(3):
            work()
        number = 1
        while True:
            self.synchronize()
            began = time.perf_counter()
            for _ in range(number):
                work()
            self.synchronize()
            taken = time.perf_counter() - began
            if taken >= at_least:
                return taken / number
            number = max(2 * number, int(1.2 * number * at_least / max(taken, 1e-6)))

    def peak_memory(self, work: Callable[[], Any]) -> int | None:
        """Return the bytes that a piece of work needs above those held before; None where nothing counts them."""
        if not self.is_cuda:
            work()
            return None
        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        work()
        self.synchronize()
        return torch.cuda.max_memory_allocated(self.device) - before

    def describe(self) -> dict[str, Any]:
        """Return its name, and the versions and settings that its speed depends on."""
        return {
            "kind": self.device.type,
            "name": torch.cuda.get_device_name(self.device)
            if self.is_cuda
            else torch.backends.cpu.get_cpu_capability(),
            "capability": ".".join(map(str, torch.cuda.get_device_capability(self.device))) if self.is_cuda else None,
            "memory": torch.cuda.get_device_properties(self.device).total_memory if self.is_cuda else None,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if self.is_cuda else None,
            "tf32": {"products": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32},
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }


class HostWaits:
    """Counts where the host waits for the GPU inside ``with``: place in the code -> number of times.

    Torch reports a place each time while its debug mode is on. It sees most waits, not all: see
    ``torch.cuda.set_sync_debug_mode``. The mode belongs to the process, so a loader's thread counts too.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.places: Counter[str] = Counter()
        self._recording: Any = None
        self._caught: list[warnings.WarningMessage] = []

    def __enter__(self) -> HostWaits:
        self.device.synchronize()
        self._recording = warnings.catch_warnings(record=True)
        self._caught = self._recording.__enter__()
        warnings.simplefilter("always")
        if self.device.is_cuda:
            torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(self, *exception: Any) -> None:
        if self.device.is_cuda:
            torch.cuda.set_sync_debug_mode("default")
        self._recording.__exit__(*exception)
        waits = [one for one in self._caught if _WAITED in str(one.message)]
        self.places = Counter(f"{Path(one.filename).name}:{one.lineno}" for one in waits)

    def per(self, steps: int) -> dict[str, Any]:
        """Return the waits per step, and the places of most of them; None where nothing counts them."""
        if not self.device.is_cuda:
            return {"per_step": None, "places": {}}
        places = {place: number / steps for place, number in self.places.most_common(10)}
        return {"per_step": self.places.total() / steps, "places": places}


@contextlib.contextmanager
def whole_seconds(device: Device) -> Iterator[list[float]]:
    """Append to the list the seconds of the ``with`` block, with all of its work on the device."""
    taken: list[float] = []
    device.synchronize()
    began = time.perf_counter()
    yield taken
    device.synchronize()
    taken.append(time.perf_counter() - began)
