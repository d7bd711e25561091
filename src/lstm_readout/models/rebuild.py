"""A checkpoint and the class of its model go in; the model with the checkpoint's weights comes out.

The model is first built without memory, and its shapes are compared with those of the weights: a file can ask for
layers without end.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint

_ROLES = {"vocab_size": "text", "source_vocab_size": "source", "target_vocab_size": "target"}
_COUNTS = re.compile(r"\w*vocab_size|num_classes|\w*_size|num_layers")  # arguments that are numbers of weights


def rebuild(checkpoint: Checkpoint, model_type: Callable[..., nn.Module]) -> Any:
    """Return the model in the checkpoint.

    Args:
        checkpoint: says the arguments and the weights.
        model_type: chosen by the caller, never by the file.

    Raises:
        UserError: the arguments build no such model, or the weights do not fit it.
    """
    check_fits(checkpoint, model_type)
    try:
        model = model_type(**checkpoint.model)
        model.load_state_dict(checkpoint.weights)
    except Exception as error:  # a constructor given a wrong value can raise any kind
        raise misfit(checkpoint, str(error).strip().replace("\n\t", " ").splitlines()[0]) from error
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise UserError(
                f"checkpoint: '{checkpoint.file}' has weights that are not finite, in {name}: the training diverged. "
                "Use an earlier checkpoint."
            )
    return model


def check_fits(checkpoint: Checkpoint, model_type: Callable[..., nn.Module]) -> None:
    """Compare one of this package's models with the weights and the vocabulary, before it is built.

    Raises:
        UserError: names what differs first.
    """
    if not model_type.__module__.startswith(f"{__package__}."):
        return  # whether another project's model can be built without memory is not known
    _check_counts(checkpoint.model, checkpoint.weights, checkpoint)
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # the model itself warns once more
            wanted = model_type(**checkpoint.model).state_dict()
    except Exception as error:  # see above
        raise misfit(checkpoint, str(error).splitlines()[0]) from error
    for name in {**wanted, **checkpoint.weights}:
        here, there = (tuple(one[name].shape) if name in one else "missing" for one in (wanted, checkpoint.weights))
        if here != there:
            raise misfit(checkpoint, f"{name} is {there} in the file, and {here} in its model")
    _check_vocabulary(checkpoint)


def misfit(checkpoint: Checkpoint, reason: str) -> UserError:
    """Return the error for a model that cannot be built from its file."""
    return UserError(
        f"checkpoint: the model in '{checkpoint.file}' cannot be built: {reason.rstrip('.')}. "
        "Use another file of the run, and the version that wrote it."
    )


def _check_counts(arguments: Mapping[str, Any], weights: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    numbers = sum(weight.numel() for weight in weights.values())
    for name, value in _leaves(arguments):
        most = len(weights) if name == "num_layers" else numbers
        if _COUNTS.fullmatch(name) and not (type(value) is int and value <= most):
            raise misfit(checkpoint, f"{name} is {value!r:.40}, but there are {most:,} weights")


def _leaves(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield name, value


def _check_vocabulary(checkpoint: Checkpoint) -> None:
    """Compare the sizes of the model with the tokenizers and labels: another id or class would have no weights."""
    tokenizers, labels = checkpoint.vocabulary
    for argument, role in _ROLES.items():
        if argument in checkpoint.model and role not in tokenizers:
            raise misfit(checkpoint, f"it has no {role} tokenizer")
        if argument in checkpoint.model and len(tokenizers[role]) != checkpoint.model[argument]:
            raise misfit(
                checkpoint, f"{argument} is {checkpoint.model[argument]}, the tokenizer has {len(tokenizers[role])}"
            )
    if "num_classes" in checkpoint.model and len(labels) != checkpoint.model["num_classes"]:
        raise misfit(checkpoint, f"num_classes is {checkpoint.model['num_classes']}, there are {len(labels)} labels")
