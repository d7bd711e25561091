"""The module under examination: rows go in, logits come out, each time from the same state and the same random state.

It is a copy in eval mode. A module that cannot be copied is examined itself and restored afterwards.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lstm_readout.doctor.ragged_batch import Rows
from lstm_readout.errors import UserError

Call = Callable[[nn.Module, Rows], Tensor]
_BOOKKEEPING = set(nn.Module().__dict__) - {"training", "_buffers"}  # hooks, parameters and the tree of modules


class Broken(Exception):
    """A call of the module raised, or returned logits of another shape than expected."""

    def __init__(self, text: str, *, raised: bool = False) -> None:
        super().__init__(text)
        self.raised = raised


class Subject:
    """A module and how it is called.

    Args:
        module: the user's; it is left unchanged.
        call: (module, rows) -> logits: (B, C), or with ``each_step`` (B, T, C), where steps after the longest row
            may be left out.
        each_step: whether there is a prediction at every step.
    """

    def __init__(self, module: nn.Module, call: Call, *, each_step: bool) -> None:
        try:
            self.module = copy.deepcopy(module)
        except Exception:  # for example a hidden state saved with its graph
            self.module = module
        self.copied = self.module is not module
        self.call, self.each_step = call, each_step
        self.dtype = torch.float32
        self._classes: int | None = None
        self._kept = [(part, _kept(part)) for part in self.module.modules()]
        self._weights: list[tuple[nn.Parameter, Tensor]] = []

    def logits(self, rows: Rows, *, seed: int = 0, fresh: bool = True, train: bool = False) -> Tensor:
        """Call the module without a graph; ``fresh`` restores its state first.

        Raises:
            Broken: it raised, or the logits have another shape.
        """
        with torch.inference_mode(False), torch.no_grad():
            return self._logits(rows, seed=seed, fresh=fresh, train=train)

    def with_graph(self, rows: Rows, *, seed: int = 0, fresh: bool = True, train: bool = False) -> Tensor:
        """Call the module as ``logits`` does, with the graph.

        In eval mode the recurrent layers are in training mode without dropout: cuDNN has no other backward pass.
        """
        with torch.inference_mode(False), torch.enable_grad():
            if not train:
                return self._logits(rows, seed=seed, fresh=fresh, train=False, backward=True)
            return self._logits(rows, seed=seed, fresh=fresh, train=True)

    def gradients(self, rows: Rows, parameters: list[nn.Parameter]) -> dict[nn.Parameter, Tensor | None]:
        """Return the gradient of a random mix of the logits for each of ``parameters``, including frozen ones."""
        required = [p.requires_grad for p in parameters]
        for parameter in parameters:
            parameter.requires_grad_(True)
        try:
            logits = self.with_graph(rows)
            if not logits.requires_grad:
                return dict.fromkeys(parameters)
            mix = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
            gradients = torch.autograd.grad((logits * mix).sum(), parameters, allow_unused=True)
            return dict(zip(parameters, gradients, strict=True))
        except RuntimeError as error:
            raise Broken(f"the backward pass raised {_first_line(error)}", raised=True) from error
        finally:
            for parameter, trained in zip(parameters, required, strict=True):
                parameter.requires_grad_(trained)

    def inputs(self, rows: Rows) -> list[tuple[nn.RNNBase, tuple[int, ...]]]:
        """Return the shape of the dense input that each recurrent layer got."""
        seen: list[tuple[nn.RNNBase, tuple[int, ...]]] = []

        def note(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
            if arguments and isinstance(arguments[0], Tensor) and isinstance(layer, nn.RNNBase):
                seen.append((layer, tuple(arguments[0].shape)))

        hooks = [layer.register_forward_pre_hook(note) for _, layer in self.layers()]
        try:
            self.logits(rows)
        finally:
            for hook in hooks:
                hook.remove()
        return seen

    def layers(self) -> list[tuple[str, nn.RNNBase]]:
        """Return the nn.LSTM, nn.GRU and nn.RNN in the module, by name."""
        return [(name, part) for name, part in self.module.named_modules() if isinstance(part, nn.RNNBase)]

    def recurrent_weights(self) -> list[nn.Parameter]:
        """Return the parameters of those layers."""
        return list(dict.fromkeys(p for _, layer in self.layers() for p in layer.parameters()))

    def is_called(self, rows: Rows) -> bool:
        """Return whether the call runs this module and not another."""
        ran: list[bool] = []
        hooks = [part.register_forward_pre_hook(lambda *_: ran.append(True)) for part in self.module.modules()]
        try:
            self.logits(rows)
        finally:
            for hook in hooks:
                hook.remove()
        if ran:
            return True
        weights = [p for p in self.module.parameters() if p.is_floating_point()]
        return any(found is not None for found in self.gradients(rows, weights).values())

    def stir(self) -> None:
        """Add a little noise to all weights: a head initialised to zero would hide what it reads."""
        self._weights = [(p, p.detach().clone()) for p in self.module.parameters()]
        noise = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.module.parameters():
                if parameter.is_floating_point():
                    parameter += 0.05 * torch.randn(parameter.shape, generator=noise).to(parameter)

    def fresh(self) -> None:
        """Restore attributes, buffers and modes."""
        for part, (attributes, tensors) in self._kept:
            for name in set(part.__dict__) - _BOOKKEEPING - set(attributes):
                del part.__dict__[name]
            part.__dict__.update({name: _rebuilt(value) for name, value in attributes.items()})
            for tensor, value in tensors:
                if not tensor.is_inference():
                    tensor.data.copy_(value)

    def close(self) -> None:
        """Restore everything, including the weights."""
        self.fresh()
        with torch.no_grad():
            for parameter, value in self._weights:
                parameter.copy_(value)

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
            logits = self.call(self.module, given)
        except UserError:
            raise
        except Exception as error:
            raise Broken(f"raised {_first_line(error)}", raised=True) from error
        if not isinstance(logits, Tensor):
            raise UserError(
                f"the module returned a {type(logits).__name__}, wanted a Tensor of logits. Pass "
                "adaptor=lambda module, token_ids, lengths: ... that calls it and returns its logits."
            )
        return self._checked(logits, rows)

    def _checked(self, logits: Tensor, rows: Rows) -> Tensor:
        self._classes = self._classes or (int(logits.shape[-1]) if logits.dim() else 0)
        batch, steps, classes = len(rows.ids), int(rows.lengths.max()), self._classes
        wanted = f"({batch}, {steps}, {classes})" if self.each_step else f"({batch}, {classes})"
        fits = logits.dim() == (3 if self.each_step else 2) and logits.shape[0] == batch
        fits = fits and logits.shape[-1] == classes and (not self.each_step or logits.shape[1] >= steps)
        if not fits:
            raise Broken(f"the logits have the shape {tuple(logits.shape)}, wanted {wanted}")
        if not logits.is_floating_point():
            raise Broken(f"the logits are {logits.dtype}, wanted floating point")
        self.dtype = logits.dtype
        return logits.float()


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the state of all random number generators on exit."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _kept(part: nn.Module) -> tuple[dict[str, Any], list[tuple[Tensor, Tensor]]]:
    """Return a module's own attributes, and the tensors among them with their values."""
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
