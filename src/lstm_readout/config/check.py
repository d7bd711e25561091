"""A composed configuration goes in; every fault in it comes out as one error, before anything is written.

The schema of a node is the signature of its ``_target_``: see ``signature.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from lstm_readout.config.ranges import out_of_range
from lstm_readout.config.settings import is_open
from lstm_readout.config.signature import UNKNOWN, accepts, complaint, parameters_of
from lstm_readout.config.values import plain_values
from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.models.checkpoint import RENAMED

_MUST_BE_GIVEN = {
    "init_from": "must be given: the run folder or a checkpoint of a language model (task=generate), for example "
    "init_from=runs/generate/..."
}


def check_jobs(jobs: Sequence[DictConfig]) -> None:
    """Check all jobs of a sweep and list each fault once, even if several jobs share it."""
    faults: dict[str, None] = dict.fromkeys(seed_faults(jobs[0]) if len(jobs) == 1 else ())
    for job in jobs:
        try:
            check_targets(job)
        except UserError as error:
            faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise UserError("\n".join(faults))


def check_targets(config: DictConfig) -> None:
    """Check every node that has a ``_target_`` against the signature of that target.

    Raises:
        UserError: lists all faults, one per line: unknown keys, wrong kinds of value, missing targets, values that must
            still be given (``???``) and interpolations that cannot be resolved.
    """
    faults: list[str] = []
    values = _read_container(config, "", faults)
    faults.extend(_node_faults(values, ""))
    if not faults and isinstance(values.get("trainer"), dict):
        from lstm_readout.config.trainer_options import trainer_faults  # imports Lightning

        faults.extend(trainer_faults(values["trainer"]))
    if faults:
        raise UserError("\n".join(faults))


def check_values(values: dict[str, Any], path: str) -> None:
    """Check plain values, such as those of a checkpoint, as ``check_targets`` does."""
    faults = list(_node_faults(values, path))
    if faults:
        raise UserError("\n".join(faults))


def check_job(config: DictConfig) -> None:
    """Check a job of a sweep, when it is its turn."""
    if faults := [*seed_faults(config)]:
        raise UserError("\n".join(faults))
    check_targets(config)


def seed_faults(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for a seed that is none. In a sweep only its own job is refused."""
    if OmegaConf.is_missing(config, "seed") or OmegaConf.is_interpolation(config, "seed"):
        return
    seed = config.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < 2**32:
        yield f"seed: wanted a whole number from 0 to {2**32 - 1}, got {'null' if seed is None else seed}."


def renamed(key: str, value: Any) -> str:
    """Return the message for a key of an earlier version: what to write instead."""
    shown = str(value).lower() if isinstance(value, bool) else value
    return f"{key}: renamed; write {RENAMED[key]}={shown}"


def _read_container(node: DictConfig | ListConfig, path: str, faults: list[str]) -> Any:
    """Return plain dicts and lists, so that no check raises an OmegaConf error; add unreadable values to the faults."""
    if isinstance(node, ListConfig):
        return [_read(node, index, _join(path, index), faults) for index in range(len(node))]
    return {key: _read(node, key, _join(path, key), faults) for key in node}


def _read(parent: DictConfig | ListConfig, key: Any, where: str, faults: list[str]) -> Any:
    if OmegaConf.is_missing(parent, key):
        faults.append(f"{where}: {_MUST_BE_GIVEN.get(where, f'must be given, for example {where}=...')}")
        return UNKNOWN
    refers = OmegaConf.is_interpolation(parent, key)
    try:
        value = parent[key]
    except InterpolationToMissingValueError:
        return UNKNOWN  # reported where the value is missing
    except OmegaConfBaseException as error:
        text = str(plain_values(parent, resolve=False)[key])
        if "hydra:" not in text:  # ${hydra:...} resolves only inside a run
            faults.append(f"{where}: cannot read '{text}': {str(error).splitlines()[0]}.")
        return UNKNOWN
    if isinstance(value, (DictConfig, ListConfig)):
        # The target of an interpolation is checked where it is defined
        return UNKNOWN if refers else _read_container(value, where, faults)
    return value


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _node_faults(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("_target_", UNKNOWN) not in (UNKNOWN, None):
            yield from _target_faults(value, path)
        for key, child in value.items():
            yield from _node_faults(child, _join(path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _node_faults(child, _join(path, index))


def _target_faults(node: dict[Any, Any], path: str) -> Iterator[str]:
    try:
        parameters = parameters_of(str(node["_target_"]))
    except LookupError as error:
        yield f"{_join(path, '_target_')}: {error.args[0]}"
        return
    for key, value in node.items():
        name, where = str(key), _join(path, key)
        if name.startswith("_") and name.endswith("_"):
            continue
        kind = parameters.kinds.get(name, parameters.others)
        if is_open(where, value):
            continue  # chosen once the data is read, or removed where the target does not take it
        if kind is None and where in RENAMED:
            yield renamed(where, value)
        elif kind is None:
            yield f"{where}: {parameters.target} takes no '{name}'. {did_you_mean(name, parameters.kinds)}"
        elif not accepts(kind, value):
            yield f"{where}: {complaint(kind, value, where)}"
        elif fault := out_of_range(name, value):
            yield f"{where}: {fault}"
