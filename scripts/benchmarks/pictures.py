"""A picture of how cost grows with work: measured ``growth_*`` rows go in, ``growth.svg`` comes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

AXES = {
    "length": "longest row of a batch of 32 (tokens)",
    "batch_size": "rows of a batch (64 tokens)",
    "vocab_size": "vocabulary (32 rows of 35 tokens)",
    "rows": "rows of a text file",
}
COSTS = {"seconds": "seconds", "mebibytes": "MiB at the peak"}


def plot_growth(rows: Mapping[str, Mapping[str, Any]], folder: Path) -> Path | None:
    """Draw each curve on logarithmic axes, beside the straight line of a linear cost.

    Returns:
        The file, or None where no ``growth_*`` row was measured.
    """
    curves = [(row, cost) for row in rows.values() if "axis" in row for cost in COSTS if cost in row]
    if not curves:
        return None
    plt.switch_backend("agg")
    folder.mkdir(parents=True, exist_ok=True)
    size = {"figsize": (3.2 * len(curves), 3.2), "squeeze": False, "layout": "constrained"}
    with plt.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none"}):
        figure, panels = plt.subplots(1, len(curves), **size)
        for axes, (row, cost) in zip(panels[0], curves, strict=True):
            sizes, costs = np.array(row["sizes"]), np.array(row[cost])
            axes.loglog(sizes, costs, "o-", label="measured")
            axes.loglog(sizes, costs[-1] * sizes / sizes[-1], ":", color="grey", label="linear")
            axes.set(xlabel=AXES[row["axis"]], ylabel=COSTS[cost])
            axes.legend(loc="upper left")
        path = folder / "growth.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return path
