"""Comparisons whose sides share a process: measured once with torch's default allocator and once with the setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.row import Result
from benchmarks.worker import Worker

ALLOCATORS = ("allocator_default", "allocator_both")


def with_both_allocators(measure: Callable[[Worker], dict[str, Result]]) -> Result:
    """Measure cells in a worker with the default on both sides, then in one with the setting; the worst cell counts.

    Returns:
        The worst cell by default, beside it ``allocator_both``, the worst with the setting, and all cells of each.
    """
    measured: dict[str, dict[str, Result]] = {}
    for name in ALLOCATORS:
        with Worker(keep_memory=name == "allocator_both") as worker:
            measured[name] = measure(worker)
    worst, with_setting = (min(measured[name].values(), key=lambda cell: cell.ratio) for name in ALLOCATORS)
    more: dict[str, Any] = {"allocator_both": with_setting.ratio}
    for name, cells in measured.items():
        more[name + "_cells"] = {cell: {"ratio": r.ratio, "spread": r.spread, **r.more} for cell, r in cells.items()}
    return worst._replace(more=more)
