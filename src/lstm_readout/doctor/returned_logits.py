"""The logits among what a module returns: a tensor, tuple, dict or output object goes in, a tensor comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError


def logits_in(returned: Any) -> Tensor:
    """Return the tensor itself, ``logits`` of a dict or an object, or the first tensor with axes (no loss) of a tuple.

    Args:
        returned: what the module returned.

    Raises:
        UserError: there is none.
    """
    found = returned
    if isinstance(returned, Mapping):
        found = returned.get("logits", next(iter(returned.values())) if len(returned) == 1 else None)
    elif hasattr(returned, "logits"):
        found = returned.logits
    elif isinstance(returned, tuple | list) and not isinstance(returned, PackedSequence):
        found = next((part for part in returned if isinstance(part, Tensor) and part.dim()), None)
    if isinstance(found, Tensor):
        return found
    raise UserError(
        f"the module returned a {type(returned).__name__}, wanted a Tensor of logits. Pass "
        "adaptor=lambda module, token_ids, lengths: ... that calls it and returns its logits."
    )
