"""``lstm-readout explain``: a configuration or a checkpoint goes in; what the task reads of its LSTM comes out."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import torch
from omegaconf import DictConfig

from lstm_readout.config.arguments import with_checkpoint
from lstm_readout.config.build import build
from lstm_readout.config.hydra_main import hydra_main, refuse
from lstm_readout.errors import UserError, did_you_mean

FORMATS = {
    "terminal": ["explain.svg", "explain.png"],
    "json": ["explain.svg", "explain.png", "explain.json"],
    "html": ["explain.svg", "explain.png", "explain.html"],
}  # format -> the files that it leaves


def explain(config: DictConfig) -> None:
    """Explain the configured task on a few rows of its data; refuse before anything is computed or written."""
    if config.format not in FORMATS:
        raise UserError(f"format: there is no '{config.format}'. {did_you_mean(str(config.format), FORMATS)}")
    if type(config.rows) is not int or config.rows < 1:
        raise UserError(f"rows: wanted a whole number, 1 or more, got {config.rows}. For example: rows=6.")
    given = None if config.output is None else Path(str(config.output)).expanduser()
    if given is not None:
        check_folder(given, FORMATS[config.format])
    warnings.filterwarnings(
        "ignore", ".*not supported with oneDNN.*"
    )  # proj_size: torch says that it takes its own kernel

    from lstm_readout.explain.explanation import explain_task  # matplotlib: not before the arguments are right

    # What reading the data tells is not what was asked for
    with contextlib.redirect_stdout(sys.stderr), one_thread():
        task, data = build(config)
        explanation = explain_task(task, data, config.rows)
    folder = given or Path("runs", "explain", task.name, f"{datetime.now():%Y-%m-%d_%H-%M-%S_%f}")
    contents = {"explain.svg": explanation.picture.svg, "explain.png": explanation.picture.png}
    if config.format == "html":
        from lstm_readout.explain.html import page_of

        contents["explain.html"] = page_of(explanation)
    values = explanation.values() | {"files": [str(folder / name) for name in FORMATS[config.format]]}
    if config.format == "json":
        contents["explain.json"] = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_files(folder, contents)
    if config.format == "json":
        print(contents["explain.json"], end="")
        return
    if config.format == "terminal":
        from rich.console import Console

        from lstm_readout.explain.terminal import print_explanation

        print_explanation(explanation, Console(highlight=False))
    for name in contents:
        print(f"wrote {folder / name}")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: on tensors this small, more of them mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_folder(folder: Path, names: list[str]) -> None:
    """Refuse a folder whose files would be written over."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output: '{folder}' is a file; name a folder.")
    taken = [name for name in names if (folder / name).exists()]
    if taken:
        raise UserError(
            f"output: '{folder}' holds {', '.join(taken)} already. Name another folder, or remove it first."
        )


def write_files(folder: Path, contents: dict[str, str | bytes]) -> None:
    """Write all files; none that is there already is touched."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            with (folder / name).open("xb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(
            f"output: cannot write to '{folder}': {error.strerror}. Name another folder: output=..."
        ) from error


def format_first(arguments: list[str]) -> list[str]:
    """Read ``--format html`` and ``--format=html`` as ``format=html``."""
    written: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--format":
            value = next(rest, None)
            if value is None:
                raise UserError(f"--format: which one? Valid: {', '.join(sorted(FORMATS))}.")
            written.append(f"format={value}")
        else:
            written.append(argument.removeprefix("--") if argument.startswith("--format=") else argument)
    return written


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and explain."""
    try:
        given = format_first(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        refuse(error)
    hydra_main(explain, config_name="explain", arguments=with_checkpoint(given))
