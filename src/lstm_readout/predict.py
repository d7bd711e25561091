"""``lstm-readout predict``: a checkpoint and texts go in; continuations, translations or labels come out.

The texts are ``text="..."``, the lines of ``input=FILE``, or the lines of standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from lstm_readout.arguments import with_task_of_checkpoint
from lstm_readout.config import hydra_main
from lstm_readout.errors import UserError
from lstm_readout.pipelines import TextGenerator
from lstm_readout.pipelines.base import Pipeline


def predict(config: DictConfig) -> None:
    """Use a trained model."""
    output = None if config.output is None else Path(config.output)
    if output is not None and output.exists():
        raise UserError(f"output: '{output}' exists already. Name another file, or remove it first.")
    texts = _texts(config)
    options = {"int8": True} if config.int8 else {}  # a pipeline of another project may know nothing of it
    model: Pipeline = instantiate(config.pipeline)(config.checkpoint, device=config.device, **options)
    if output is not None:
        _write(output, model.lines(texts))
    elif isinstance(model, TextGenerator) and len(texts) == 1:
        print(texts[0], end="", flush=True)
        for piece in model.stream(texts[0]):
            print(piece, end="", flush=True)
        print()
    else:
        for line in model.lines(texts):
            print(line)


def _texts(config: DictConfig) -> list[str]:
    if config.text is not None and config.input is not None:
        raise UserError("text and input: both are given; give one.")
    if config.text is not None:
        return [str(config.text)]
    try:
        if config.input is not None:
            content = Path(config.input).read_bytes().decode("utf-8-sig")
        else:
            if sys.stdin.isatty():
                print("one text a line; Ctrl-D ends", file=sys.stderr)
            content = sys.stdin.buffer.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"input: no such file: '{config.input}'.") from None
    except IsADirectoryError:
        raise UserError(f"input: '{config.input}' is a folder; give a text file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"input: not UTF-8 (byte {error.start}). Convert it first.") from error
    lines = content.removesuffix("\n").split("\n") if content else []
    if not lines:
        raise UserError("no text: give text='...', input=FILE, or lines on standard input.")
    return [line.removesuffix("\r") for line in lines]


def _write(output: Path, lines: Iterable[str]) -> None:
    """Write all lines, or nothing."""
    if not output.parent.is_dir():
        raise UserError(f"output: no such folder: '{output.parent}'.")
    partial = output.with_name(output.name + ".partial")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(output)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and predict."""
    given = sys.argv[1:] if arguments is None else arguments
    hydra_main(predict, config_name="predict", arguments=with_task_of_checkpoint(given, "pipeline"))
