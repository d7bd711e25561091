"""The arguments of a command that creates or resumes a run folder, before Hydra reads them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lstm_readout.config.hydra_main import refuse
from lstm_readout.config.overrides_of_run import read_overrides, with_overrides_of_run
from lstm_readout.config.plain_folder import check_plain
from lstm_readout.config.words import value_of
from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint import RENAMED
from lstm_readout.training.checkpoint_files import LAST, PREVIOUS

_NOTHING_THERE = (
    "There is nothing to resume: delete the folder and train again, or name another one with hydra.run.dir=..."
)


def of_run(arguments: list[str], needed: str) -> list[str]:
    """Prepare the arguments of a command that creates a run folder; exit with 2 if the folder is unusable.

    Args:
        arguments: of the command line.
        needed: what the folder of ``resume=FOLDER`` must contain.
    """
    try:
        arguments = _with_resumed(arguments, needed)
        _check_folder(arguments)
    except UserError as error:
        refuse(error)
    return arguments


def _with_resumed(arguments: list[str], needed: str) -> list[str]:
    """Put the overrides of the resumed run before those given now; the run continues in its own folder."""
    resumed, trains = value_of(arguments, "resume"), needed.endswith(".ckpt")
    if resumed is None:
        return arguments
    if resumed == "latest" and trains:
        resumed = str(_latest(value_of(arguments, "task") or "classify"))
        arguments = [*arguments, f"resume={resumed}"]
    recorded = Path(resumed) / ".hydra" / "overrides.yaml"
    if trains and recorded.is_file() and not _has_checkpoint(Path(resumed)):
        raise UserError(f"resume: '{resumed}' ended before its first checkpoint. {_NOTHING_THERE}")
    if not recorded.is_file() or not (trains or (Path(resumed) / needed).exists()):
        raise UserError(f"resume: '{resumed}' is not a run folder with a {needed}.")
    check_plain(Path(resumed))
    earlier = [_with_new_name(line) for line in read_overrides(Path(resumed))]
    config = recorded.with_name("config.yaml")
    if trains and config.is_file() and not _has_settings(config):
        earlier.insert(0, "settings=fixed")  # a run of an earlier version
    earlier = [*_as_held_out_then(config), *earlier]
    # What Hydra would write at once, the run writes when nothing can be refused any more
    of_hydra = [f"hydra.run.dir={resumed}", *(["hydra.output_subdir=null"] if trains else [])]
    return [*with_overrides_of_run(Path(resumed), earlier, arguments), *of_hydra]


def _latest(task: str) -> Path:
    """Return the run folder of a task that was written last."""
    runs = [path.parent for pattern in ("*/.hydra", "*/*/.hydra") for path in Path("runs", task).glob(pattern)]
    if not runs:
        raise UserError(f"resume=latest: there is no run in 'runs/{task}'. Name a folder, or another task=.")
    return max(runs, key=lambda run: max(path.stat().st_mtime for path in (run / ".hydra", *run.glob("checkpoints/*"))))


def _has_checkpoint(folder: Path) -> bool:
    return any((folder / "checkpoints" / name).is_file() for name in (LAST, PREVIOUS))


def _has_settings(config: Path) -> bool:
    with config.open(encoding="utf-8", errors="replace") as lines:
        return any(line.startswith("settings:") for line in lines)


def _as_held_out_then(config: Path) -> list[str]:
    """Return overrides by which a run of an earlier version holds out the same rows again; its own come after them."""
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    data = re.search(r"^data:\n((?:  .*\n)*)", text, re.MULTILINE)
    holdout = re.search(r"^  holdout: (random|last)$", data[1], re.MULTILINE) if data else None
    if data is None or holdout is None or "\n  format:" in data[1]:
        return []
    return [f"data.holdout={holdout[1]}", "data.format=null"]


def _with_new_name(override: str) -> str:
    """Return an earlier run's override under its current key."""
    key, separator, value = override.partition("=")
    name = key.lstrip("+~")
    return f"{key.removesuffix(name)}{RENAMED.get(name, name)}{separator}{value}"


def _check_folder(arguments: list[str]) -> None:
    """Refuse a folder that contains a run: Hydra would overwrite its configuration before anything else."""
    if value_of(arguments, "resume") is not None or os.environ.get("LOCAL_RANK", "0") != "0":  # a further process
        return
    folder, sweep = value_of(arguments, "hydra.run.dir"), value_of(arguments, "hydra.sweep.dir")
    if folder is not None and _holds_run(Path(folder)) and not _has_checkpoint(Path(folder)):
        raise UserError(f"hydra.run.dir: the run in '{folder}' has no checkpoint. {_NOTHING_THERE}")
    if folder is not None and _holds_run(Path(folder)):
        raise UserError(f"hydra.run.dir: '{folder}' already holds a run. Name another folder, or resume={folder}.")
    if sweep is not None and (earlier := next(filter(_holds_run, [Path(sweep), *Path(sweep).glob("*")]), None)):
        raise UserError(f"hydra.sweep.dir: '{earlier}' already holds a run. Name another folder.")


def _holds_run(folder: Path) -> bool:
    return (folder / ".hydra").exists()
