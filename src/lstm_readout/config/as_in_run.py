"""The configuration of ``evaluate`` and a checkpoint go in; both come out so that they give back the run's own score,
except for what the command line sets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lstm_readout.config.check import check_values
from lstm_readout.config.data_of_run import only_changes, with_changes
from lstm_readout.config.values import flatten, leaves
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.training.trainer import can_compute_in

log = logging.getLogger(__name__)

_LIMITS = {"validation": "limit_val_batches", "test": "limit_test_batches"}  # of the run's own data
_ASSUMED = ("task.beam_size", "task.length_penalty", "task.fresh_state_every", "trainer.precision")


def as_in_run(
    config: Mapping[str, Any], checkpoint: Checkpoint, overrides: Sequence[str]
) -> tuple[dict[str, Any], Checkpoint]:
    """Return the configuration with the run's ``task``, precision and limits; log each override that departs from them.

    Args:
        config: as composed from files and overrides.
        checkpoint: one of an earlier version says nothing of how its run was scored.
        overrides: of the command line, which win.

    Returns:
        The configuration, and the checkpoint, whose data has the changes that the command line makes to it.

    Raises:
        UserError: such a change, or a setting that the checkpoint holds, is not valid.
    """
    if only_changes(config.get("data")):
        checkpoint = _with_data(checkpoint, config["data"])
        config = {key: value for key, value in config.items() if key != "data"}
    run = checkpoint.config
    if "task" not in run or "trainer" not in run:
        assumed = ", ".join(f"{key}={_shown(value)}" for key, value in leaves(dict(config)) if key in _ASSUMED)
        log.info("checkpoint: it does not say how its run was scored; assumed: %s", assumed)
        return dict(config), checkpoint
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    task = _merged(config["task"], run["task"], "task", given)
    trainer = _merged(config["trainer"], _of_trainer(config, run["trainer"]), "trainer", given)
    try:
        check_values({"task": task, "trainer": trainer}, "")
    except UserError as error:
        raise UserError(f"checkpoint: a setting of its run cannot be used: {str(error).splitlines()[0]}") from error
    if config["split"] in _LIMITS:
        _tell_limit(_LIMITS[config["split"]], trainer, config["trainer"])
    return {**config, "task": task, "trainer": trainer}, checkpoint


def _with_data(checkpoint: Checkpoint, changes: Mapping[str, Any]) -> Checkpoint:
    saved = checkpoint.config["data"]
    before = dict(flatten(saved))
    for key, value in leaves(dict(changes)):
        _tell_departure(f"data.{key}", value, before.get(key))
    return checkpoint._replace(config=checkpoint.config | {"data": with_changes(saved, changes)})


def _of_trainer(config: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run's settings of the trainer that are possible on this device, and meant for this data.

    The trainer is instantiated, so nothing that could name a class is taken from the file.
    """
    wanted = ("precision",) if config.get("data") else ("precision", *_LIMITS.values())
    kept = {key: saved[key] for key in wanted if type(saved.get(key)) in (str, int, float)}
    if can_compute_in(kept.get("precision"), config["trainer"]["accelerator"]):
        return kept
    log.warning("trainer.precision=32-true: the run had %s, which this device cannot compute in", kept["precision"])
    return kept | {"precision": "32-true"}


def _merged(values: Mapping[str, Any], saved: Mapping[str, Any], path: str, given: Collection[str]) -> dict[str, Any]:
    """Replace what the command line does not give by what was saved; the class to build stays the caller's."""
    merged = dict(values)
    for key, value in saved.items():
        where, mine = f"{path}.{key}", values.get(key)
        if key == "_target_":
            continue
        if where in given:
            _tell_departure(where, mine, value)
        elif key not in values:
            log.warning("%s=%s: the run had it, but this version knows no such setting", where, _shown(value))
        elif isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(mine, value, where, given)
        else:
            merged[key] = value
    return merged


def _tell_departure(where: str, mine: Any, saved: Any) -> None:
    if mine != saved:
        log.info("%s=%s: the run had %s", where, _shown(mine), _shown(saved))


def _tell_limit(key: str, trainer: Mapping[str, Any], composed: Mapping[str, Any]) -> None:
    """Say that only a part of the split is measured, because the run measured no more."""
    limit = trainer[key]
    if limit != composed[key] and not (type(limit) is float and limit == 1):
        log.warning("trainer.%s=%s, as in the run: trainer.%s=1.0 measures all batches", key, _shown(limit), key)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
