"""A recipe goes in; out comes the speed of its training step beside that of a plain loop on the same batches.

Sides: ``plain`` is cuDNN's ``nn.LSTM`` (``plain.py``), ``ours`` the same model in this framework, each in float32 and
under bfloat16's autocast; ``recipe`` is the recipe's own step, with the weight drop and the like that ``plain`` lacks.
All have a fused AdamW, clip the norm of the gradients, and count real tokens: padding is nobody's work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from benchmarks.composed import configuration
from benchmarks.paired import Result, alternate, run_slice
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from gpu_checks.device import PRECISIONS, Device, HostWaits, Precision
from gpu_checks.plain import plain_model
from gpu_checks.rates import bounds
from gpu_checks.setting import Setting
from lstm_readout.config.build import build, build_task
from lstm_readout.data.batches import moved
from lstm_readout.data.module import TextDataModule
from lstm_readout.tasks.base import Task

CLIP = 1.0  # largest norm of the gradients, as in every recipe
ROUNDS = 5  # of a measurement
_UNDISTURBED = ("model.dropout=0", "model.input_dropout=0", "model.output_dropout=0", "task.label_smoothing=0")


class Side:
    """One way to take training steps.

    Args:
        device: where.
        precision: of the forward pass.
        module: whose parameters learn.
        loss: of one prepared batch.
        batches: prepared, on the device.
        optimizer: parameters -> optimizer.
    """

    def __init__(
        self,
        device: Device,
        precision: Precision,
        module: nn.Module,
        loss: Callable[[Any], Tensor],
        batches: Sequence[Any],
        optimizer: Callable[[Any], torch.optim.Optimizer],
    ) -> None:
        self.device, self.precision, self.loss, self.batches = device, precision, loss, batches
        self.module = module.train()
        self.parameters = list(module.parameters())
        self.optimizer = optimizer(self.parameters)

    def step(self, batch: Any) -> None:
        """Learn from one batch; the host waits for nothing here."""
        self.optimizer.zero_grad()
        with self.device.computing(self.precision):
            loss = self.loss(batch)
        loss.backward()
        clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()

    def learn(self) -> None:
        """Learn from every batch once."""
        for batch in self.batches:
            self.step(batch)

    def steps_and_wait(self) -> int:
        """Learn from every batch once, wait for the device, and return the number of steps."""
        self.learn()
        self.device.synchronize()
        return len(self.batches)

    def held_bytes(self) -> int:
        """Return the bytes of parameters, gradients and optimizer."""
        states = [x for state in self.optimizer.state.values() for x in state.values() if isinstance(x, Tensor)]
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        return sum(x.numel() * x.element_size() for x in [*self.parameters, *gradients, *states])


def measure_steps(recipe: str, setting: Setting) -> dict[str, Any]:
    """Return the measurements of one recipe's steps, as plain values."""
    device, words = setting.device, setting.overrides(recipe, same_work=True)
    task, data = build(configuration(*words))
    batches = [moved(batch, device.device) for batch in islice(data.train_dataloader(), setting.batches)]
    tokens = sum(batch.tokens for batch in batches) / len(batches)
    make = partial(_build_on, device, data)
    sides = build_sides(device, partial(make, *words), batches)
    sides["recipe bf16"] = _our_side(device, "bf16", make(*setting.overrides(recipe)), batches)
    runs = {name: partial(run_slice, side.steps_and_wait) for name, side in sides.items()}
    speeds = alternate(runs, seconds=setting.slice, budget=0, least=1 if setting.rehearsal else ROUNDS)
    limits = {name: bounds(device, task, batches, name, setting.moment)._asdict() for name in PRECISIONS}
    found = {name: _described(side, Result.of(speeds[name]), tokens) for name, side in sides.items()}
    for name, measured in found.items():
        if not name.startswith("recipe"):
            least = limits[sides[name].precision]
            measured["share_of"] = {bound: time / measured["seconds_per_step"] for bound, time in least.items()}
    return {
        "tokens_per_step": tokens,
        "parameters": sum(parameter.numel() for parameter in task.model.parameters()),
        **compare_losses(device, make(*words, *_UNDISTURBED), batches),
        "sides": found,
        "least_seconds_per_step": limits,
    }


def build_sides(device: Device, make: Callable[[], Task], batches: Sequence[Any]) -> dict[str, Side]:
    """Return both sides in each precision, each with weights and an optimizer of its own."""
    sides = {}
    for precision in PRECISIONS:
        task = make()
        plain = plain_model(task)
        prepared = [plain.prepare(batch) for batch in batches]
        sides[f"plain {precision}"] = Side(device, precision, plain, plain.loss, prepared, task.optimizer)
        sides[f"ours {precision}"] = _our_side(device, precision, task, batches)
    return sides


def _build_on(device: Device, data: TextDataModule, *words: str) -> Task:
    """Return a new task on the device, ready to learn."""
    return build_task(configuration(*words), data).to(device.device).train()


def _our_side(device: Device, precision: Precision, task: Task, batches: Sequence[Any]) -> Side:
    return Side(device, precision, task, partial(train_loss, task), batches, task.optimizer)


def compare_losses(device: Device, task: Task, batches: Sequence[Any]) -> dict[str, Any]:
    """Return the loss of both sides on the first batch, and how far bfloat16 moves the gradient from float32's.

    Both losses are float32's, without TF32. The gradient's error is ``|g - g32| / |g32|`` over all parameters.

    Args:
        device: where.
        task: without dropout and label smoothing, so that both sides compute the same function; in training mode, in
            which alone cuDNN has gradients.
        batches: of it.
    """
    plain = plain_model(task)
    prepared = plain.prepare(batches[0])
    sides = {"plain": (plain, lambda: plain.loss(prepared)), "ours": (task, lambda: task.loss(batches[0], "val")[0])}
    losses: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name, (module, loss) in sides.items():
        with device.exact():
            losses[name], exact = _loss_and_gradient(device, "float32", module, loss)
        _, rounded = _loss_and_gradient(device, "bf16", module, loss)
        errors[name] = float((rounded - exact).norm() / exact.norm())
    return {"loss": losses, "gradient_error_bf16": errors, "lstm_dtype_bf16": _lstm_dtype(device, task, batches[0])}


def train_loss(task: Task, batch: Any) -> Tensor:
    """Return the loss of a training step."""
    return task.loss(batch, "train")[0]


def _loss_and_gradient(
    device: Device, precision: Precision, module: nn.Module, loss: Callable[[], Tensor]
) -> tuple[float, Tensor]:
    """Return a loss, and its gradient with respect to all parameters as one vector."""
    module.zero_grad()
    with device.computing(precision):
        value = loss()
    value.backward()
    parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
    return float(value.detach()), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def _lstm_dtype(device: Device, task: Task, batch: Any) -> str:
    """Return the precision of what the encoder's LSTM returns under bfloat16's autocast."""
    seen: list[torch.dtype] = []
    hook = task.model.encoder.lstm.register_forward_hook(lambda _, __, result: seen.append(result.h_n.dtype))
    with torch.no_grad(), device.computing("bf16"):
        task.loss(batch, "val")
    hook.remove()
    return str(seen[0]).removeprefix("torch.")


def _described(side: Side, steps_per_second: Result, tokens: float) -> dict[str, Any]:
    """Return the speed, the memory and the waits of a side, as plain values."""
    needed = side.device.peak_memory(side.learn)
    with HostWaits(side.device) as waits:
        side.learn()
    return {
        "tokens_per_second": tokens * steps_per_second.ratio,
        "seconds_per_step": 1 / steps_per_second.ratio,
        "spread": steps_per_second.spread,
        "peak_bytes": None if needed is None else needed + side.held_bytes(),
        "host_waits": waits.per(len(side.batches)),
    }
