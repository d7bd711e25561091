"""``lstm-readout explain``: a configuration or a checkpoint goes in; what the task reads from its LSTM comes out."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lstm_readout.config.arguments import with_checkpoint
from lstm_readout.config.build import build
from lstm_readout.config.hydra_main import hydra_main, refuse
from lstm_readout.errors import UserError, did_you_mean, printable
from lstm_readout.models.checkpoint import Checkpoint
from lstm_readout.report.json_writer import as_json
from lstm_readout.report.output_file import checked_output, write_file

if TYPE_CHECKING:
    from lstm_readout.explain.explanation import Explanation

_FORMATS = {
    "terminal": ["explain.svg", "explain.png"],
    "json": ["explain.svg", "explain.png", "explain.json"],
    "html": ["explain.svg", "explain.png", "explain.html"],
}  # format -> the files that it writes


def explain(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Explain the configured task on a few rows of its data.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.

    Raises:
        UserError: before anything is computed or written.
    """
    output = _checked_output(config)
    # proj_size: torch warns that it uses its own kernel
    warnings.filterwarnings("ignore", ".*not supported with oneDNN.*")
    from lstm_readout.explain.explanation import explain_task  # imports matplotlib: only for valid arguments

    # The user did not ask for the data report
    with contextlib.redirect_stdout(sys.stderr), _one_thread():
        task, data = build(config, checkpoint)
        explanation = explain_task(task, data, config["rows"])
    folder = output or Path("runs", "explain", task.name, f"{datetime.now():%Y-%m-%d_%H-%M-%S_%f}")
    contents = _contents(explanation, config["format"], folder)
    _write_files(folder, contents)
    if config["format"] == "json":
        print(printable(str(contents["explain.json"])), end="")
        return
    if config["format"] == "terminal":
        from rich.console import Console

        from lstm_readout.explain.terminal import print_explanation

        print_explanation(explanation, Console(highlight=False))
    for name in contents:
        print(f"wrote {folder / name}")


def _checked_output(config: dict[str, Any]) -> Path | None:
    """Return the given folder, None for a new one; raise ``UserError`` for wrong arguments."""
    form, rows = config["format"], config["rows"]
    if form not in _FORMATS:
        raise UserError(f"format: there is no '{form}'. {did_you_mean(str(form), _FORMATS)}")
    if type(rows) is not int or rows < 1:
        raise UserError(f"rows: wanted a whole number, 1 or more, got {rows}. For example: rows=6.")
    if config["output"] is None:
        return None
    folder = Path(str(config["output"])).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output: '{folder}' is a file; name a folder.")
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "No permission" if above.is_dir() else "Not a directory"
        raise UserError(f"output: cannot write to '{folder}': {reason}. Name another folder: output=...")
    taken = [name for name in _FORMATS[form] if os.path.lexists(folder / name)]
    if taken and not config["overwrite"]:
        raise UserError(
            f"output: '{folder}' already holds {', '.join(taken)}. Name another folder, remove it first, or set "
            "overwrite=true."
        )
    for name in taken:
        checked_output(folder / name, overwrite=True)
    return folder


def _contents(explanation: Explanation, form: str, folder: Path) -> dict[str, str | bytes]:
    """Return file name -> content."""
    contents: dict[str, str | bytes] = {
        "explain.svg": explanation.picture.svg,
        "explain.png": explanation.picture.png,
    }
    if form == "html":
        from lstm_readout.explain.html import page_of

        contents["explain.html"] = page_of(explanation)
    if form == "json":
        values = explanation.values() | {"files": [str(folder / name) for name in _FORMATS[form]]}
        contents["explain.json"] = as_json(values, indent=2) + "\n"
    return contents


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one core: on tensors this small, several cores mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_files(folder: Path, contents: dict[str, str | bytes]) -> None:
    """Write all files, each of them whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"output: cannot write to '{folder}': {error.strerror}. Name another folder: output=..."
        ) from error
    for name, content in contents.items():
        write_file(folder / name, content)


def format_first(arguments: list[str]) -> list[str]:
    """Read ``--format html`` and ``--format=html`` as ``format=html``."""
    written: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--format":
            value = next(rest, None)
            if value is None:
                raise UserError(f"--format: no format given. Valid: {', '.join(sorted(_FORMATS))}.")
            written.append(f"format={value}")
        else:
            written.append(argument.removeprefix("--") if argument.startswith("--format=") else argument)
    return written


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and explain."""
    try:
        arguments = format_first(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        refuse(error)
    arguments, checkpoint = with_checkpoint(arguments)
    hydra_main(explain, config_name="explain", arguments=arguments, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
