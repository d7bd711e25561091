"""A trained model as one file: a path goes in, plain values and tensors come out.

The file is Lightning's own. Its ``hyper_parameters`` hold everything needed to use the model: the model's arguments as
plain values, the tokenizers as JSON strings, the labels, and the run's configuration. It is read with
``weights_only=True``, so opening a stranger's file runs none of its code, and the caller chooses the class to build,
never the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from lstm_readout.errors import UserError
from lstm_readout.models.checkpoint_file import read_content
from lstm_readout.models.weights_digest import WEIGHTS_SHA256, digest
from lstm_readout.tokenizer import Vocabulary
from lstm_readout.tokenizer.plain import NOTHING, Kinds, check_kinds, check_plain, shown

FORMAT = 1  # a file of a later one is refused; keys that were renamed since are read under their new names
_KINDS: Kinds = {"format": (int,), "task": (str,), "model": (dict,), "vocabulary": (dict,), "config": (dict,)}
_CONFIG_KINDS: Kinds = {
    **dict.fromkeys(("data", "task", "trainer", "rows", "machine", "vectors", "init_from"), (dict, NOTHING)),
    "seed": (int, NOTHING),
    "settings": (dict, str, NOTHING),
}
_TASK_KINDS: Kinds = {"beam_size": (int, NOTHING), "length_penalty": (float, int, NOTHING)}
RENAMED = {"data.stream": "data.carry_state"}  # configuration keys of earlier versions -> their names now


class Checkpoint(NamedTuple):
    """What a checkpoint file says about its model."""

    task: str  # "classify", "translate", "generate", or the name of another project's task
    model: dict[str, Any]  # the arguments of the model's constructor
    weights: dict[str, Tensor]  # the model's state_dict
    vocabulary: Vocabulary
    config: dict[str, Any]  # the resolved configuration of the run
    file: str = ""  # where it was read, for messages


def hyper_parameters(
    task: str, model: dict[str, Any], vocabulary: Vocabulary, config: dict[str, Any]
) -> dict[str, Any]:
    """Return the ``hyper_parameters`` that ``read_checkpoint`` reads: builtins only."""
    return {
        "format": FORMAT,
        "task": task,
        "model": model,
        "vocabulary": vocabulary.to_dict(),
        "config": config,
    }


def read_checkpoint(file: str | Path | Checkpoint, task: str | None = None) -> Checkpoint:
    """Read a checkpoint file.

    Args:
        file: its path, or the checkpoint if it was read before: then only its task is checked.
        task: the task it must have been trained for; None: any.

    Raises:
        UserError: the file is missing, broken, not from this project, too new, or from another task.
    """
    checkpoint = file if isinstance(file, Checkpoint) else _read(Path(file))
    if task is not None and checkpoint.task != task:
        name = "it" if file is checkpoint else f"'{file}'"
        raise UserError(f"checkpoint: {name} was trained for task={checkpoint.task}, not for {task}.")
    return checkpoint


def _read(path: Path) -> Checkpoint:
    if not path.is_file():
        raise UserError(f"checkpoint: no such file: '{path}'.{_files_below(path)}")
    content = read_content(path)
    values = content.get("hyper_parameters")
    if not isinstance(values, dict) or "format" not in values or "vocabulary" not in values:
        raise UserError(f"checkpoint: '{path}' was not written by lstm-readout. Give a .ckpt file of one of its runs.")
    if type(values["format"]) is int and values["format"] > FORMAT:
        raise UserError(
            f"checkpoint: '{path}' has format {values['format']}, newer than {FORMAT}. Upgrade lstm-readout."
        )
    try:
        return _checked(content, values, str(path))
    except UserError as error:
        raise UserError(f"checkpoint: '{path}': {error} Use another file of the run.") from error


def _checked(content: dict[str, Any], values: dict[str, Any], file: str) -> Checkpoint:
    """Return what a file says; raise ``UserError`` for values of the wrong kind."""
    check_kinds(values, _KINDS, "hyper_parameters")
    if re.fullmatch(r"[A-Za-z]\w{0,99}(-\w+)*", values["task"]) is None or values["task"] in ("null", "true", "false"):
        raise UserError(f"task: {shown(values['task'])} is not the name of a task.")
    for key in ("model", "config"):
        check_plain(values[key], key)
    config = _with_new_names(values["config"])
    check_kinds(config, _CONFIG_KINDS, "config")
    check_kinds(config.get("task") or {}, _TASK_KINDS, "config.task")
    check_kinds(config.get("data") or {}, {"columns": (dict, NOTHING)}, "config.data")
    config = {key: value for key, value in config.items() if value is not None}
    if content.get(WEIGHTS_SHA256, given := digest(content["state_dict"])) != given:
        raise UserError("its weights are not those that were saved: their hash differs.")
    vocabulary = Vocabulary.from_dict(values["vocabulary"])
    if not vocabulary.tokenizers:
        raise UserError("it has no text tokenizer.")
    prefix = "model."
    weights = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
    return Checkpoint(
        values["task"], values["model"], weights, Vocabulary.from_dict(values["vocabulary"]), config, file
    )


def _with_new_names(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of an earlier run with today's keys."""
    config = dict(config)
    for old, new in RENAMED.items():
        group, _, key = old.partition(".")
        values = config.get(group)
        if isinstance(values, dict) and key in values:
            config[group] = {new.partition(".")[2] if name == key else name: one for name, one in values.items()}
    if isinstance(config.get("data"), dict):
        config["data"] = {"format": None, **config["data"]}  # earlier versions did not look how a table is written
    return config


def _files_below(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    depths = ("*.ckpt", "*/*.ckpt", "*/*/*.ckpt")  # not "**": the folder may be a home directory, or the root
    found = sorted(str(file) for depth in depths for file in folder.glob(depth))[:5]
    return f" Found: {', '.join(found)}." if found else ""
