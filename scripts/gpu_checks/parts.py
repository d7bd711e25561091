"""Named parts and a budget of seconds go in; each part's result comes out, or why there is none.

A part begins only if the time that it needs is left. One that fails does not end the others.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class Part(NamedTuple):
    """Something to measure.

    Args:
        share: seconds that it may take, of the whole budget.
        run: measures; it gets its seconds.
    """

    share: float
    run: Callable[[float], dict[str, Any]]


def run_parts(parts: Mapping[str, Part], budget: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each part's name and ``{"status": "done" | "failed" | "skipped", ...}``, with its seconds."""
    began = time.perf_counter()
    for name, part in parts.items():
        left = budget - (time.perf_counter() - began)
        if left < part.share:
            reason = f"{left:.0f} of {budget:.0f} s were left, and it needs {part.share:.0f}"
            yield name, {"status": "skipped", "reason": reason}
        else:
            yield name, _measured(part)


def _measured(part: Part) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        found = {"status": "done", **part.run(part.share)}
    except Exception as error:  # whatever it is, it belongs into the report
        message = f"{type(error).__name__}: {error}"
        found = {"status": "failed", "error": message, "traceback": traceback.format_exc()}
    return found | {"seconds": time.perf_counter() - began}
