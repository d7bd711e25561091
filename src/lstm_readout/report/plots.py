"""Plots of a run: numbers go in, PNG files come out."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

_LONGEST_NAME = 40  # characters of a label in a picture
_FIRST_STEPS = 11  # of the learning-rate finder: their loss sets the top of the plot

plt.switch_backend("agg")  # files only: a run on a machine without a screen must not fail


def plot_learning_curve(folder: Path, monitor: str) -> None:
    """Draw the loss of training and validation, and the monitored metric, over steps: ``learning_curve.png``."""
    rows: list[dict[str, str]] = []
    for part in sorted(folder.glob("metrics.*csv")):  # metrics.1.csv, ... before each resume, then metrics.csv
        with part.open(newline="") as file:
            rows += csv.DictReader(file)
    if not rows:
        return
    curves = {
        name: [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        for name in ("train/loss_step", "val/loss", monitor)
    }
    figure, axes = plt.subplots(
        1, 2 if monitor != "val/loss" else 1, figsize=(9, 3.5), squeeze=False, layout="constrained"
    )
    for name, style in (("train/loss_step", "-"), ("val/loss", "o--")):
        if curves[name]:
            axes[0, 0].plot(*zip(*curves[name], strict=True), style, label=name.removesuffix("_step"))
    axes[0, 0].set(xlabel="step", ylabel="loss (nats)")
    axes[0, 0].legend(loc="best")  # explicit: matplotlib warns about its own choice when it is slow
    if monitor != "val/loss" and curves[monitor]:
        axes[0, 1].plot(*zip(*curves[monitor], strict=True), "o-")
        axes[0, 1].set(xlabel="step", ylabel=monitor)
    figure.savefig(folder / "learning_curve.png", dpi=120)
    plt.close(figure)


def plot_lr_finder(
    lr: Sequence[float], loss: Sequence[float], smoothed: Sequence[float], marks: Mapping[str, float], folder: Path
) -> None:
    """Draw the loss over a rising learning rate: ``lr_finder.png``.

    Args:
        lr, loss, smoothed: one of each per step.
        marks: label -> the learning rate that it marks.
        folder: where the file goes.
    """
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    axes.plot(lr, loss, color="0.75", label="loss of each batch")
    axes.plot(lr, smoothed, color="black", label="running mean")
    for (name, value), style in zip(marks.items(), ("--", ":"), strict=True):
        axes.axvline(value, color="black", linestyle=style, label=f"{name}: {value:.2g}")
    low = min(smoothed)
    axes.set(xlabel="learning rate", ylabel="loss (nats)", xscale="log")
    axes.set_ylim(low - 0.05 * abs(low), max(smoothed[:_FIRST_STEPS]) * 1.25)
    axes.legend(loc="best")
    figure.savefig(folder / "lr_finder.png", dpi=120)
    plt.close(figure)


def plot_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], folder: Path) -> None:
    """Write ``confusion.csv`` and ``confusion.png``: one row per true label, one column per predicted label."""
    with (folder / "confusion.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted", *labels])
        writer.writerows([label, *row] for label, row in zip(labels, matrix, strict=True))
    counts = np.asarray(matrix)
    size = min(20, 2 + 0.5 * len(labels))
    figure, axes = plt.subplots(figsize=(size + 1, size), layout="constrained")
    axes.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Greys", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    names = [" ".join(label.split())[:_LONGEST_NAME] for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90, parse_math=False)  # "$" is a character here
    axes.set_yticks(range(len(labels)), names, parse_math=False)
    if len(labels) <= 20:
        for (i, j), count in np.ndenumerate(counts):
            dark = count > 0.5 * counts[i].sum()
            axes.text(j, i, str(count), ha="center", va="center", color="white" if dark else "black")
    figure.savefig(folder / "confusion.png", dpi=120)
    plt.close(figure)


def plot_lengths(report: Mapping[str, Any], folder: Path) -> None:
    """Draw histograms of text lengths, one row per split and one column per text role: ``lengths.png``.

    Args:
        report: what ``lstm_readout.data.describe.describe`` returns, with at least one split that is not streamed.
        folder: where the file goes.
    """
    splits = {split: part for split, part in report["splits"].items() if part is not None}
    roles = list(next(iter(splits.values()))["roles"])
    figure, grid = plt.subplots(
        len(splits),
        len(roles),
        figsize=(8 if len(roles) == 1 else 5.5 * len(roles), 0.9 + 1.7 * len(splits)),
        sharex="col",
        squeeze=False,
        layout="constrained",
    )
    for line, (split, part) in zip(grid, splits.items(), strict=True):
        for axes, role in zip(line, roles, strict=True):
            _plot_lengths(axes, part["roles"][role])
            title = f"{split} {role}: {part['rows']:,} row{'s' * (part['rows'] != 1)}"
            axes.set_title(title, loc="left", fontsize="medium")
        line[0].set_ylabel("rows")
    for axes, role in zip(grid[-1], roles, strict=True):
        axes.set_xlabel(f"tokens of {role}")
    figure.savefig(folder / "lengths.png", dpi=120)
    plt.close(figure)


def _plot_lengths(axes: Axes, numbers: Mapping[str, Any]) -> None:
    histogram, length = numbers["histogram"], numbers["length"]
    first, width, counts = histogram["first"], histogram["width"], histogram["counts"]
    edges = first - 0.5 + width * np.arange(len(counts) + 1)
    axes.stairs(counts, edges, fill=True, color="0.8")
    axes.axvline(length["p50"], color="black", label=f"median {length['p50']:,}")
    axes.axvline(length["p95"], color="black", linestyle="--", label=f"95 % up to {length['p95']:,}")
    if numbers["truncated"]:
        label = f"cut at {numbers['max_length']:,}:\n{numbers['truncated']:,} rows"
        axes.axvline(numbers["max_length"], color="0.55", linewidth=5, zorder=1.5, label=label)  # behind the others
    if histogram["longer"]:
        axes.plot([], [], " ", label=f"{histogram['longer']:,} beyond,\nlongest {length['max']:,}")
    axes.set_xlim(-0.5, 1.03 * edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1.05))


def plot_attention(
    weights: Sequence[Sequence[float]], source: Sequence[str], target: Sequence[str], path: Path
) -> None:
    """Draw the attention of a decoder as a PNG file: one row per target token, one column per source token.

    Args:
        weights: (T, S); each row sums to 1.
        source, target: the names of the tokens.
        path: the file.
    """
    size = 1.5 + 0.32 * len(source), 1.2 + 0.3 * len(target)
    figure, axes = plt.subplots(figsize=(min(30.0, size[0]), min(30.0, size[1])), layout="constrained")
    image = axes.imshow(np.asarray(weights), cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), source, rotation=90, parse_math=False)  # "$" is a word here
    axes.set_yticks(range(len(target)), target, parse_math=False)
    axes.xaxis.tick_top()
    axes.set(ylabel="target")
    axes.set_xlabel("source", labelpad=8)
    axes.xaxis.set_label_position("top")
    figure.colorbar(image, ax=axes, label="attention")
    figure.savefig(path, dpi=120)
    plt.close(figure)
