"""The options of Lightning's Trainer go in; a sentence for each that it refuses, or that a run ignores, comes out.

Lightning itself is asked, so that the options of a later version are checked as well: it builds a trainer from them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from lstm_readout.config.settings import is_open
from lstm_readout.config.signature import UNKNOWN
from lstm_readout.errors import UserError
from lstm_readout.training.library_errors import on_one_line
from lstm_readout.training.trainer import Trainer

_SET_BY_THE_RUN = {
    "callbacks": "Write callbacks=NAME, callbacks.NAME=null or ~callbacks.",
    "logger": "Write logger=NAME, logger.NAME=null or ~logger.",
    "use_distributed_sampler": "Leave it out: the batches are already split by process.",
    "enable_checkpointing": "Leave it out: a run ends with its checkpoint.",
}
_NOT_TRIED = ("deterministic", "benchmark", "default_root_dir")  # they would hold beyond this check, or name the run


def trainer_faults(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each fault.

    Args:
        options: the node ``trainer``; nothing is checked where it does not name this package's ``Trainer``.
    """
    if options.get("_target_") != f"{Trainer.__module__}.{Trainer.__qualname__}":
        return
    for key, instead in _SET_BY_THE_RUN.items():
        if options.get(key) is not None:
            yield f"trainer.{key}: the run sets it. {instead}"
    if options.get("val_check_interval") in (0, "0"):
        yield "trainer.val_check_interval: wanted steps, a share of an epoch or a time, got 0."
    left_out = {*_SET_BY_THE_RUN, *_NOT_TRIED}
    tried = {key: value for key, value in options.items() if key not in left_out and not key.startswith("_")}
    yield from _refusal({key: value for key, value in tried.items() if not _is_open(key, value)})


def _is_open(key: str, value: Any) -> bool:
    """Return whether a value is known only inside the run, or built there."""
    return value is UNKNOWN or is_open(f"trainer.{key}", value) or "_target_" in str(value)


def _refusal(options: Mapping[str, Any]) -> Iterator[str]:
    logger = logging.getLogger("lightning.pytorch")
    level, logger.level = logger.level, logging.ERROR  # the run repeats what is said here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Trainer(**options, logger=False, enable_checkpointing=False)
    except UserError as error:
        yield str(error)
    except Exception as error:
        yield f"trainer: {on_one_line(error)}"
    finally:
        logger.level = level
