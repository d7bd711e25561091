"""The module under examination: rows go in, logits come out, each time from the same state and the same random state.

It is a copy in eval mode. What cannot be copied, such as a function, is examined itself and restored afterwards.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lstm_readout.doctor.function_module import FunctionModule
from lstm_readout.doctor.ragged_batch import Rows
from lstm_readout.doctor.returned_logits import logits_in
from lstm_readout.errors import UserError

Call = Callable[[Any, Rows], Any]
Hook = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], Any]
ALL = slice(None)
_BOOKKEEPING = set(nn.Module().__dict__) - {"_buffers"}  # hooks, parameters, the mode and the tree of modules


class Broken(Exception):
    """A call of the module raised, or returned logits of another shape than expected."""

    def __init__(self, text: str, *, raised: bool = False) -> None:
        super().__init__(text)
        self.raised = raised


class Subject:
    """A module and how it is called.

    Args:
        module: the user's, or a function; it is left unchanged.
        call: (module, rows) -> logits: (B, C), or with ``each_step`` (B, T, C), where steps after the longest row
            may be left out.
        each_step: whether there is a prediction at every step.
    """

    def __init__(self, module: nn.Module | Callable[..., Any], call: Call, *, each_step: bool) -> None:
        self.module, self.copied = _examined(module)
        if any(weight.is_inference() for weight in self.module.parameters()):  # a copy has none
            raise UserError(
                "module: its weights were made in torch.inference_mode() and have no gradients. Pass the nn.Module "
                "itself, of which a copy is made, or make it outside of inference mode."
            )
        self.called = self.module if isinstance(module, nn.Module) else module
        self.call, self.each_step = call, each_step
        self.dtype = torch.float32
        self._classes: int | None = None
        self.one_score = False  # the logits of a row are one number: (B,)
        self._kept = [(part, part.training, *_kept(part)) for part in self.module.modules()]
        self._weights = [] if self.copied else _values(self.module)

    def logits(self, rows: Rows, *, seed: int = 0, fresh: bool = True, train: bool = False) -> Tensor:
        """Call the module without a graph; ``fresh`` restores its state first.

        Raises:
            Broken: it raised, or the logits have another shape.
        """
        with torch.no_grad():
            return self._logits(rows, seed=seed, fresh=fresh, train=train)

    def with_graph(self, rows: Rows, *, seed: int = 0, fresh: bool = True, train: bool = False) -> Tensor:
        """Call the module as ``logits`` does, with the graph.

        In eval mode the recurrent layers are in training mode without dropout: cuDNN has no other backward pass.
        """
        return self._logits(rows, seed=seed, fresh=fresh, train=train, backward=not train)

    def gradients(self, rows: Rows, weights: Sequence[Tensor], steps: slice = ALL) -> dict[Tensor, Tensor | None]:
        """Return the gradient of a random mix of the logits for each of ``weights``, including frozen ones.

        Args:
            rows: what is read.
            weights: parameters and buffers of the module.
            steps: with predictions at every step: those that count.
        """
        required = [weight.requires_grad for weight in weights]
        try:
            for weight in weights:
                weight.requires_grad_(True)
            logits = self.with_graph(rows)
            return dict(zip(weights, self.mixed(logits[:, steps] if self.each_step else logits, weights), strict=True))
        finally:
            for weight, trained in zip(weights, required, strict=True):
                weight.requires_grad_(trained)

    def mixed(self, logits: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return the gradient of a random mix of ``logits`` for each of ``inputs``, dense."""
        if not logits.requires_grad or not inputs:
            return [None] * len(inputs)
        mix = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
        try:
            found = torch.autograd.grad((logits * mix).sum(), inputs, allow_unused=True, retain_graph=True)
        except RuntimeError as error:
            raise Broken(f"the backward pass raised {_first_line(error)}", raised=True) from error
        return [one.to_dense() if one is not None and one.is_sparse else one for one in found]

    @contextlib.contextmanager
    def hooked(self, hook: Hook) -> Iterator[None]:
        """Call ``hook(part, arguments, keywords, returned)`` after each part; what it returns replaces ``returned``.

        Parts that TorchScript compiled call no hooks.
        """
        parts = [part for part in self.module.modules() if not isinstance(part, torch.jit.ScriptModule)]
        handles = [part.register_forward_hook(hook, with_kwargs=True) for part in parts]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def inputs(self, rows: Rows) -> list[tuple[nn.RNNBase, tuple[int, ...]]]:
        """Return the shape of the dense input that each recurrent layer got."""
        seen: list[tuple[nn.RNNBase, tuple[int, ...]]] = []

        def note(layer: nn.Module, arguments: tuple[Any, ...], *_: Any) -> None:
            if arguments and isinstance(arguments[0], Tensor) and isinstance(layer, nn.RNNBase):
                seen.append((layer, tuple(arguments[0].shape)))

        with self.hooked(note):
            self.logits(rows)
        return seen

    def layers(self) -> list[tuple[str, nn.RNNBase]]:
        """Return the nn.LSTM, nn.GRU and nn.RNN in the module, by name."""
        return [(name, part) for name, part in self.module.named_modules() if isinstance(part, nn.RNNBase)]

    def is_recurrent(self) -> bool:
        """Return whether a recurrent layer or cell is in the module."""
        return any(isinstance(part, nn.RNNBase | nn.RNNCellBase) for part in self.module.modules())

    def recurrent_weights(self) -> list[nn.Parameter]:
        """Return the parameters of those layers."""
        return list(dict.fromkeys(p for _, layer in self.layers() for p in layer.parameters()))

    def is_called(self, rows: Rows) -> bool:
        """Return whether the call runs this module and not another."""
        ran: list[nn.Module] = []
        with self.hooked(lambda part, *_: ran.append(part)):
            self.logits(rows)
        return bool(ran) or any(found is not None for found in self.gradients(rows, self.tensors()).values())

    def tensors(self) -> list[Tensor]:
        """Return all parameters and buffers of floating point."""
        found = dict.fromkeys((*self.module.parameters(), *self.module.buffers()))
        return [one for one in found if one.is_floating_point() and one.is_leaf and not one.is_inference()]

    def stir(self) -> None:
        """Add a little noise to all weights: a head initialised to zero would hide what it reads."""
        self._weights = self._weights or _values(self.module)
        noise = torch.Generator().manual_seed(0)
        for weight, _ in self._weights:
            if weight.is_floating_point():
                weight.data += 0.05 * torch.randn(weight.shape, generator=noise).to(weight)

    @contextlib.contextmanager
    def replaced(self, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Replace the value of each weight by ``change(value)`` for a while."""
        before = _values(self.module)
        try:
            for weight, value in before:
                if weight.is_floating_point():
                    weight.data.copy_(change(value))
            yield
        finally:
            for weight, value in before:
                weight.data.copy_(value)

    def fresh(self) -> None:
        """Restore attributes, buffers and modes."""
        for part, training, attributes, tensors in self._kept:
            for name in set(part.__dict__) - _BOOKKEEPING - set(attributes):
                del part.__dict__[name]
            part.__dict__.update({name: _rebuilt(value) for name, value in attributes.items()})
            part.training = training
            for tensor, value in tensors:
                if not tensor.is_inference():
                    tensor.data.copy_(value)

    def restore_buffers(self) -> None:
        """Restore the buffers alone."""
        for part, _, attributes, tensors in self._kept:
            if not isinstance(part, torch.jit.ScriptModule):
                part._buffers.update(attributes["_buffers"])
            buffers = set(part.buffers(recurse=False))
            for tensor, value in tensors:
                if tensor in buffers:
                    tensor.data.copy_(value)

    def close(self) -> None:
        """Restore everything, including the weights."""
        self.fresh()
        for weight, value in self._weights:
            weight.data.copy_(value)

    def _logits(self, rows: Rows, *, seed: int, fresh: bool, train: bool, backward: bool = False) -> Tensor:
        if fresh:
            self.fresh()
        for part in self.module.modules():  # not module.train(): some override it
            part.training = train and not isinstance(part, nn.modules.batchnorm._NormBase)
            if backward and isinstance(part, nn.RNNBase):
                part.training, part.dropout = True, 0.0
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        given = Rows(rows.ids.clone(), rows.lengths.clone(), rows.beside)
        try:
            logits = self.call(self.called, given)
        except UserError:
            raise
        except Exception as error:
            raise Broken(f"raised {_first_line(error)}", raised=True) from error
        return self._checked(logits_in(logits), rows)

    def _checked(self, logits: Tensor, rows: Rows) -> Tensor:
        batch, steps = len(rows.ids), int(rows.lengths.max())
        if self._classes is None:
            self.one_score = not self.each_step and tuple(logits.shape) == (batch,)
        wanted = f"({batch},{f' {steps},' if self.each_step else ''} {self._classes or 'classes'})"
        given = tuple(logits.shape)
        if self.one_score:
            wanted, logits = f"({batch},)", logits.unsqueeze(-1)
        fits = logits.dim() == (3 if self.each_step else 2) and logits.shape[0] == batch
        fits = fits and logits.shape[-1] == (self._classes or logits.shape[-1])
        if not fits or (self.each_step and logits.shape[1] < steps):
            raise Broken(f"the logits have the shape {given}, wanted {wanted}")
        self._classes = int(logits.shape[-1])
        if not logits.is_floating_point():
            raise Broken(f"the logits are {logits.dtype}, wanted floating point")
        self.dtype = logits.dtype
        return logits.float()


def _examined(module: nn.Module | Callable[..., Any]) -> tuple[nn.Module, bool]:
    """Return the module to examine, and whether it is a copy."""
    if not isinstance(module, nn.Module):
        return FunctionModule(module), False
    given: nn.Module = getattr(module, "_orig_mod", module)  # without torch.compile: the same results at once
    try:
        with torch.no_grad():  # else the copies of TorchScript's weights have a graph
            made = copy.deepcopy(given)
    except Exception:  # for example a hidden state saved with its graph
        return given, False
    for weight, original in zip(made.parameters(), given.parameters(), strict=True):
        weight.requires_grad_(original.requires_grad)
    return made, True


def _values(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(weight, weight.detach().clone()) for weight in module.parameters()]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _kept(part: nn.Module) -> tuple[dict[str, Any], list[tuple[Tensor, Tensor]]]:
    """Return a module's own attributes, and the tensors among them with their values."""
    if isinstance(part, torch.jit.ScriptModule):
        return {name: value for name, value in part.__dict__.items() if name not in _BOOKKEEPING}, [
            (buffer, buffer.detach().clone()) for buffer in part.buffers(recurse=False)
        ]
    attributes = {name: _rebuilt(value) for name, value in part.__dict__.items() if name not in _BOOKKEEPING}
    return attributes, [(tensor, tensor.detach().clone()) for tensor in _tensors(list(attributes.values()))]


def _rebuilt(value: Any) -> Any:
    """Copy lists, tuples and dicts, but not their items."""
    if type(value) in (list, tuple):
        return type(value)(_rebuilt(item) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuilt(item) for item in value))
    if isinstance(value, dict) and type(value) in (dict, OrderedDict):
        items = {key: _rebuilt(item) for key, item in value.items()}
        return OrderedDict(items) if type(value) is OrderedDict else items
    return value


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [] if isinstance(value, nn.Parameter) else [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, list | tuple) else []
