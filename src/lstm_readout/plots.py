"""Pictures of a run: numbers go in, PNG files come out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

plt.switch_backend("agg")  # files only: a run on a machine without a screen must not fail


def plot_learning_curve(folder: Path, monitor: str) -> None:
    """Draw the loss of training and validation, and the monitored metric, over steps: ``learning_curve.png``."""
    rows: list[dict[str, str]] = []
    for part in sorted(folder.glob("metrics.*csv")):  # metrics.1.csv, ... of the parts before a resume, metrics.csv
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
    axes[0, 0].legend()
    if monitor != "val/loss" and curves[monitor]:
        axes[0, 1].plot(*zip(*curves[monitor], strict=True), "o-")
        axes[0, 1].set(xlabel="step", ylabel=monitor)
    figure.savefig(folder / "learning_curve.png", dpi=120)
    plt.close(figure)


def plot_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], folder: Path) -> None:
    """Write ``confusion.csv`` and ``confusion.png``: a row for each true label, a column for each predicted one."""
    with (folder / "confusion.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted", *labels])
        writer.writerows([label, *row] for label, row in zip(labels, matrix, strict=True))
    counts = np.asarray(matrix)
    size = min(20, 2 + 0.5 * len(labels))
    figure, axes = plt.subplots(figsize=(size + 1, size), layout="constrained")
    axes.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Greys", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    if len(labels) <= 20:
        for (i, j), count in np.ndenumerate(counts):
            dark = count > 0.5 * counts[i].sum()
            axes.text(j, i, str(count), ha="center", va="center", color="white" if dark else "black")
    figure.savefig(folder / "confusion.png", dpi=120)
    plt.close(figure)
