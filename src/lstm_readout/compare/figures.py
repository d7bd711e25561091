"""A comparison goes in; PNG and SVG pictures come out, legible in black and white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from lstm_readout.compare.table import Comparison

plt.switch_backend("agg")  # files only: a run on a machine without a screen must not fail


def draw_comparison(comparison: Comparison, folder: Path) -> None:
    """Draw each variant's mean, interval and seeds: ``compare.png`` and ``compare.svg``."""
    rows = comparison.rows
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.42 * len(rows)), layout="constrained")
    for place, row in enumerate(reversed(rows)):
        wrong = row.variant.wrong
        axes.plot(row.interval, (place, place), "-", color="black", linewidth=1.5)
        axes.plot(row.scores, [place] * len(row.scores), "|", color="0.45", markersize=9)
        axes.plot(
            row.mean, place, "X" if wrong else "o", color="black", markerfacecolor="white" if wrong else "black", ms=8
        )
        if row.difference is None and place < len(rows) - 1:
            axes.axhline(place + 0.5, color="0.8", linewidth=0.8)
    better = comparison.metric.better
    axes.set_yticks(range(len(rows)), [_escaped(row.variant.name) for row in reversed(rows)])
    axes.set(
        xlabel=f"{comparison.metric.name}, {comparison.split} split ({better} is better)",
        ylim=(-0.6, len(rows) - 0.4),
    )
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_title("dot: mean, line: 95 %, ticks: seeds, white cross: a mistake", fontsize=9, loc="left")
    _save(figure, folder / "compare")


def draw_probes(probes: dict[str, Any], folder: Path) -> list[str]:
    """Draw the curves of the probes; return the names of the SVG files."""
    written = []
    for probe in probes.values():
        for name, curve in probe.get("curves", {}).items():
            figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
            styles = ("-o", "--s", ":^", "-.D", "-v")
            for (label, points), style in zip(curve["lines"].items(), styles * 4, strict=False):
                axes.plot(
                    curve["x"], points, style, color="black", markerfacecolor="white", label=_escaped(label), ms=5
                )
            axes.set(xlabel=curve["xlabel"], ylabel=curve["ylabel"], title=_escaped(curve["title"]))
            if curve.get("log"):
                axes.set_xscale("log", base=2)
            if len(curve["lines"]) > 1:
                axes.legend(loc="best")
            axes.grid(color="0.9")
            _save(figure, folder / name)
            written.append(f"{name}.svg")
    return written


def _save(figure: Any, path: Path) -> None:
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=150, metadata={"Date": None} if suffix == ".svg" else None)
    plt.close(figure)


def _escaped(text: str) -> str:
    return text.replace("$", r"\$")  # not mathematics
