"""The metrics of a run go in; one line comes out: does it beat the strongest baseline, and if not, what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lstm_readout.tasks.base import Task

_NAMES = {
    "kneser_ney": "Kneser-Ney n-grams",
    "nearest_source": "the nearest training source",
    "ngram": "word n-grams",
}
_TRY = {
    "classify": "dropout and early stopping (docs/look-up/options.md), or init_from= (docs/do/transfer.md)",
    "generate": "more epochs, or dropout if the validation loss rises (docs/look-up/options.md)",
    "translate": "more epochs, tokenizer=bpe and model.attention=general (docs/do/translation.md)",
}


class Verdict(NamedTuple):
    """Whether a run is better than every baseline, and the line that says so."""

    beats: bool
    line: str


def verdict_on(task: Task, metrics: Mapping[str, Any]) -> Verdict | None:
    """Compare a run with its strongest baseline, by the metric that its task is judged by.

    Returns:
        None where nothing is held out, the metric is undefined, or there are no baselines of it.
    """
    name = task.judged_by
    stage = "test" if f"test/{name}" in metrics else "val"
    ending = f"_{name}"
    baselines = {
        key.removeprefix("baseline/").removesuffix(ending): value
        for key, value in metrics.items()
        if key.startswith("baseline/") and key.endswith(ending)
    }
    score, lower = metrics.get(f"{stage}/{name}", math.nan), name == "loss"
    if math.isnan(score) or not baselines:
        return None
    method, best = (min if lower else max)(baselines.items(), key=lambda item: item[1])
    other = f"{_NAMES.get(method, method.replace('_', ' '))} {best:.4g}"
    measured = f"{'validation' if stage == 'val' else stage} {name} {score:.4g}"
    if score < best if lower else score > best:
        return Verdict(True, f"{measured} beats the strongest baseline, {other}")
    advice = f". Try more training text, {_TRY[task.name]}" if task.name in _TRY else ""
    return Verdict(False, f"{measured} does not beat the strongest baseline, {other}{advice}")
