"""The name of a setting and its value go in; a sentence comes out where the value is outside of what can be meant.

A signature says float; that a probability ends at 1 is said here, by the name, before anything is computed.
"""

from __future__ import annotations

import math
from typing import Any

_PROBABILITY, _SHARE = (0, 1), (0, 1 - 1e-9)
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("dropout", "input_dropout", "output_dropout", "word_dropout", "weight_drop"), _PROBABILITY),
    **dict.fromkeys(("label_smoothing", "drop_state"), _SHARE),
    **dict.fromkeys(
        ("lr", "weight_decay", "adversarial", "patience", "num_workers", "gradient_clip_val"), (0, math.inf)
    ),
    **dict.fromkeys(("min_epochs", "min_steps", "log_every_n_steps"), (0, math.inf)),
    **dict.fromkeys(("accumulate_grad_batches", "check_val_every_n_epoch", "num_nodes"), (1, math.inf)),
    **dict.fromkeys(("max_tokens", "shuffle_buffer", "fit_rows"), (1, math.inf)),
    "num_sanity_val_steps": (-1, math.inf),
}


def out_of_range(name: str, value: Any) -> str | None:
    """Return what is wanted and what came; None where the value is possible."""
    if name not in _RANGES or type(value) not in (int, float):
        return None
    low, high = _RANGES[name]
    if low <= value <= high and not math.isinf(value):
        return None
    wanted = f"{low} or more" if math.isinf(high) else f"{low} to 1" if high == 1 else f"{low} or more and less than 1"
    return f"wanted {wanted}, got {value}."
