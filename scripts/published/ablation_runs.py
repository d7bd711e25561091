"""A plan goes in; each run is trained by a process of its own, ``python train.py``; scores of all seeds come out.

A finished run is kept and never trained again; one that was cut off, or failed, is trained anew.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstm_readout.errors import UserError
from lstm_readout.report.card import without_folders
from published.ablation_plan import Plan
from published.ablation_table import rows_of
from published.records import CARD, METRICS

ROOT = Path(__file__).resolve().parents[2]
THREADS = 1  # of a run; several runs stand side by side


class Trained(NamedTuple):
    """One run that ended, as it should or not."""

    metrics: dict[str, Any]
    card: dict[str, Any]
    error: str | None  # the last line that it wrote


def ablate(plan: Plan, seeds: Sequence[int], folder: Path, jobs: int = 2) -> dict[str, Any]:
    """Train every variant with every seed, and return the table as plain values.

    Args:
        plan: what is trained.
        seeds: of the runs.
        folder: holds one folder for each run.
        jobs: runs side by side.

    Raises:
        UserError: a folder holds a run of other settings, or no run of the whole recipe ended well.
    """
    wanted = {
        (name, seed): folder / f"{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}_seed{seed}"
        for seed in seeds  # seed by seed: an interrupted ablation has every variant
        for name in plan.variants
    }
    for (name, seed), place in wanted.items():
        _check_finished(place, _overrides(plan, name, seed))
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {key: pool.submit(_train, _overrides(plan, *key), place) for key, place in wanted.items()}
        trained: dict[tuple[str, int], Trained] = {}
        for key, future in futures.items():
            trained[key] = future.result()
            number = f"{len(trained)} of {len(futures)}"
            print(f"{plan.corpus} {number}: {key[0]}, seed {key[1]}: {_told(trained[key])}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    return _about(plan, seeds, trained)


def _about(plan: Plan, seeds: Sequence[int], trained: dict[tuple[str, int], Trained]) -> dict[str, Any]:
    ended = [one for one in trained.values() if one.error is None]
    if not ended:
        raise UserError(f"{plan.corpus}: every run failed: {next(iter(trained.values())).error}")
    task = ended[0].card["config"]["task"]
    scores = {name: {seed: _score(trained[name, seed]) for seed in seeds} for name in plan.variants}
    rows = rows_of(scores)
    for row in rows:
        own = [trained[row["name"], seed] for seed in seeds]
        seconds = [one.metrics["train/seconds"] for one in own if one.error is None]
        row |= {"overrides": plan.variants[row["name"]], "seconds": float(np.mean(seconds)) if seconds else None}
        row |= {"errors": sorted({one.error for one in own if one.error is not None})}
    about = {"corpus": plan.corpus, "command": " ".join(plan.command), "metric": task["monitor"], "mode": task["mode"]}
    about |= {"seeds": list(seeds), "threads": THREADS, "versions": ended[0].card["versions"]}
    return about | {"precision": sorted({one.card["device"]["precision"] for one in ended}), "variants": rows}


def _overrides(plan: Plan, name: str, seed: int) -> list[str]:
    return [*plan.command, *plan.variants[name], f"seed={seed}"]


def _check_finished(place: Path, overrides: Sequence[str]) -> None:
    if (place / CARD).is_file():
        found = json.loads((place / CARD).read_text(encoding="utf-8"))["overrides"]
        if found != without_folders(list(overrides)):
            raise UserError(f"'{place}' holds a run of other settings ({' '.join(found)}). Name another --folder.")


def _train(overrides: Sequence[str], place: Path) -> Trained:
    if not (place / CARD).is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(ROOT / "train.py"), *overrides, f"hydra.run.dir={place}"]
        threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        told = subprocess.run(
            command, env=os.environ | threads, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if not (place / CARD).is_file():
            lines = [line.strip() for line in told.stdout.splitlines() if line.strip()]
            return Trained({}, {}, lines[-1] if lines else f"exit code {told.returncode}")
    metrics, card = (json.loads((place / name).read_text(encoding="utf-8")) for name in (METRICS, CARD))
    monitor = card["config"]["task"]["monitor"]
    diverged = not math.isfinite(metrics[monitor])
    return Trained(metrics, card, f"{monitor} is {metrics[monitor]}" if diverged else None)


def _score(run: Trained) -> float | None:
    return None if run.error is not None else run.metrics[run.card["config"]["task"]["monitor"]]


def _told(run: Trained) -> str:
    if run.error is not None:
        return f"failed: {run.error}"
    return f"{_score(run):.4g} after {run.metrics['train/seconds']:.0f} s"
