"""Lightning's Trainer with one more choice: ``precision="auto"`` takes bfloat16 where the device computes in it."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

import lightning
import torch
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, MPSAccelerator
from lightning.pytorch.profilers import PassThroughProfiler

from lstm_readout.errors import UserError
from lstm_readout.training.allocator import FreedMemory
from lstm_readout.training.checkpoint_files import WholeFiles

log = logging.getLogger(__name__)

_BFLOAT16_ON_CPU = ("bf16", "bf16-mixed", "bf16-true", "16", "16-mixed")  # Lightning takes float16 for it there


class Trainer(lightning.Trainer):
    """``lightning.Trainer``, whose ``precision`` may also be ``auto``.

    ``auto`` is ``bf16-mixed`` on a device with bfloat16 instructions and ``32-true`` elsewhere. In both the weights,
    their gradients, the loss and the checkpoints are float32. In training ``FreedMemory`` limits the memory held.

    Args:
        options: those of ``lightning.Trainer``.

    Raises:
        UserError: ``precision`` is bfloat16 and the processor has no bfloat16 LSTM.
    """

    __signature__: ClassVar[inspect.Signature]

    @functools.wraps(lightning.Trainer.__init__)
    def __init__(self, *, precision: Any = None, **options: Any) -> None:
        device = device_type(options.get("accelerator", "auto"))
        if precision == "auto":
            precision = _chosen(device)
        elif not can_compute_in(precision, device):
            raise UserError(
                f"trainer.precision={precision}: this processor has no bfloat16 LSTM. Set trainer.precision=32-true."
            )
        devices, most = options.get("devices"), max(64, 4 * (os.cpu_count() or 1))
        if device == "cpu" and type(devices) is int and devices > most:  # each is a process
            raise UserError(f"trainer.devices: wanted {most} or fewer on this machine, got {devices}.")
        options["profiler"] = options.get("profiler") or _Unprofiled()
        options["callbacks"] = [*_listed(options.get("callbacks")), FreedMemory()]
        options["plugins"] = [*_listed(options.get("plugins")), WholeFiles()]
        super().__init__(precision=precision, **options)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [] if given is None else [given]


class _Unprofiled(PassThroughProfiler):
    """Measure nothing: Lightning enters some 80 contexts per step, and its own empty ones are slow."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # pyright: ignore
        return _NOTHING


_NOTHING = nullcontext()


def _signature() -> inspect.Signature:
    signature = inspect.signature(lightning.Trainer)
    old = signature.parameters["precision"]
    new = old.replace(annotation=old.annotation | Literal["auto"])
    return signature.replace(parameters=[*(signature.parameters | {"precision": new}).values()])


Trainer.__signature__ = _signature()  # the configuration is checked against it


def device_type(accelerator: Any) -> str:
    """Return the kind of device that Lightning takes for ``accelerator``: ``cpu``, ``cuda``, ``mps`` or ``other``."""
    if not isinstance(accelerator, str):
        known = {CPUAccelerator: "cpu", CUDAAccelerator: "cuda", MPSAccelerator: "mps"}
        return next((name for kind, name in known.items() if isinstance(accelerator, kind)), "other")
    if accelerator in ("auto", "gpu"):
        return "cuda" if CUDAAccelerator.is_available() else "mps" if MPSAccelerator.is_available() else "cpu"
    return accelerator


def has_bfloat16(device: str) -> bool:
    """Return whether the device has instructions for bfloat16, so that it is faster than float32 there.

    On x86 oneDNN's own answer is not enough: it accepts plain AVX-512, which emulates bfloat16.
    """
    if device == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability() >= (8, 0)
    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    asked = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    is_x86 = torch.backends.cpu.get_cpu_capability().startswith(("AVX", "DEFAULT"))
    native = any(ask() for ask in asked if ask is not None) if is_x86 else True
    return native and torch.ops.mkldnn._is_mkldnn_bf16_supported() and _cpu_runs_bfloat16()


def can_compute_in(precision: Any, accelerator: Any) -> bool:
    """Return whether the device that Lightning takes for ``accelerator`` has an LSTM in this precision."""
    on_cpu = device_type(accelerator) == "cpu"
    return not (on_cpu and str(precision) in _BFLOAT16_ON_CPU) or _cpu_runs_bfloat16()


def _chosen(device: str) -> str:
    if has_bfloat16(device):
        log.info("precision: bf16-mixed, this device has instructions for it; trainer.precision=32-true turns it off")
        return "bf16-mixed"
    log.info("precision: 32-true, this device has no instructions for bfloat16")
    return "32-true"


def _cpu_runs_bfloat16() -> bool:
    """Try it: oneDNN has no bfloat16 LSTM below AVX-512, and raises only when it is called."""
    rows, state = torch.zeros(1, 1, 8), torch.zeros(1, 1, 8)
    weights = [torch.zeros(32, 8), torch.zeros(32, 8), torch.zeros(32), torch.zeros(32)]
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.lstm(rows, (state, state), weights, True, 1, 0.0, False, False, False)
    except RuntimeError:
        return False
    return True


def quiet_lightning() -> None:
    """Send Lightning's messages to the run's log, without its advice on settings that this project chooses."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    advice = (
        ".*does not have many workers.*",  # no workers are fastest on small text
        ".*directory .* exists and is not empty.*",  # the run folder, which contains the log already
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*You called `self.log.*",
        ".*not supported with oneDNN.*",  # proj_size: PyTorch warns that it takes its own kernel
        ".*is not supported by the model summary.*",  # bf16-mixed: its weights are float32, so the size is right
        ".*isinstance.treespec, LeafSpec.*",
        ".*RNN module weights are not part of single contiguous chunk.*",  # cuDNN, of weight_drop: new ones each step
        ".*your dataloader is not resumable.*",  # it is: the data module saves the position
        ".*callbacks used to create the checkpoint need to be provided.*",  # a resumed run tells what differs
    )
    for message in advice:
        warnings.filterwarnings("ignore", message)
