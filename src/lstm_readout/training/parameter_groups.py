"""Named parameters go in, groups for an optimizer come out: by depth below the head, and by weight decay.

The layers of a model, from the top: everything that is neither LSTM nor embedding (head, readout, attention, bridge);
the top layer of each LSTM; the layer below it, and so on; the embeddings.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lstm_readout.errors import UserError, did_you_mean

log = logging.getLogger(__name__)

_OF_LAYER = re.compile(r"(.*\.)?(?:weight|bias)_\w+?_l(\d+)(?:_reverse)?")  # as nn.LSTM, nn.GRU and nn.RNN name them


def layers_below_head(names: Iterable[str]) -> dict[str, int]:
    """Return how many layers below the head each parameter is: 0 for the head, most for an embedding.

    Args:
        names: from ``named_parameters``. A matrix shared by embedding and head counts as embedding.
    """
    names = list(names)
    of_layer = {name: found for name in names if (found := _OF_LAYER.fullmatch(name))}
    layers: dict[str | None, int] = {}  # each LSTM's
    for found in of_layer.values():
        layers[found[1]] = max(layers.get(found[1], 0), int(found[2]) + 1)
    lowest = max(layers.values(), default=0) + 1
    depths = {name: layers[found[1]] - int(found[2]) for name, found in of_layer.items()}
    return {name: depths.get(name, lowest if "embedding" in name.split(".") else 0) for name in names}


def build_optimizer(
    optimizer: Callable[..., Optimizer],
    parameters: Mapping[str, nn.Parameter],
    *,
    no_decay: Sequence[str] = (),
    layer_lr_decay: float = 1.0,
) -> Optimizer:
    """Build an optimizer; without options all parameters are one group.

    Args:
        optimizer: parameters, or groups of them, -> optimizer.
        parameters: name -> parameter.
        no_decay: a parameter whose name contains one of these words has no weight decay; a bias, for example, can
            hardly overfit (Goodfellow, Bengio and Courville 2016, "Deep Learning", section 7.1).
        layer_lr_decay: the learning rate of each layer is that of the layer above times this factor (discriminative
            fine-tuning, Howard and Ruder 2018, section 3.2, where it is 1 / 2.6).

    Raises:
        UserError: an option is out of range, or no name contains a word.
    """
    if not 0 < layer_lr_decay <= 1:
        raise UserError(f"task.layer_lr_decay: wanted more than 0 and at most 1, got {layer_lr_decay}.")
    parts = {part for name in parameters for part in name.split(".")}
    for word in no_decay:
        if not any(word in name for name in parameters):
            raise UserError(f"task.no_decay: no parameter's name contains '{word}'. {did_you_mean(str(word), parts)}")
    if not no_decay and layer_lr_decay == 1.0:
        return optimizer(parameters.values())
    depths = layers_below_head(parameters) if layer_lr_decay < 1 else dict.fromkeys(parameters, 0)
    members: dict[tuple[int, bool], list[nn.Parameter]] = {}  # (depth, without weight decay) -> parameters
    for name, parameter in parameters.items():
        members.setdefault((depths[name], any(word in name for word in no_decay)), []).append(parameter)
    keys = sorted(members)
    built = optimizer([_group(members[key], *key) for key in keys])
    if no_decay and not built.defaults.get("weight_decay"):
        log.warning("task.no_decay does nothing here: optimizer.weight_decay is 0")
    for group, (depth, _) in zip(built.param_groups, keys, strict=True):
        group["lr"] *= layer_lr_decay**depth  # a schedule is built later and starts from it
    return built


def _group(parameters: list[nn.Parameter], depth: int, no_decay: bool) -> dict[str, Any]:
    name = f"below_head_{depth}"  # in the log of learning rates
    options = {"name": f"{name}_no_decay", "weight_decay": 0.0} if no_decay else {"name": name}
    return {"params": parameters, **options}
