"""``lstm-readout predict``: a checkpoint and texts go in; continuations, translations or labels come out.

The texts are ``text="..."``, the lines of ``input=FILE``, or the lines of standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from lstm_readout.config.arguments import with_task_of_checkpoint
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.errors import UserError
from lstm_readout.inference import TextGenerator, Translator
from lstm_readout.inference.pipeline import Pipeline
from lstm_readout.inference.translate import as_values


def predict(config: DictConfig) -> None:
    """Use a trained model."""
    output = None if config.output is None else Path(config.output)
    if output is not None and output.exists():
        raise UserError(f"output: '{output}' exists already. Name another file, or remove it first.")
    texts = _texts(config)
    _check_of_one_text(config, texts)
    options = {"int8": True} if config.int8 else {}  # a pipeline of another project may know nothing of it
    model: Pipeline = instantiate(config.pipeline)(config.checkpoint, device=config.device, **options)
    if config.get("attention_map") is not None:
        _draw(model, texts[0], config)
    lines = model.lines(texts) if config.get("target") is None else _scores(model, texts, config)
    if output is not None:
        _write(output, lines)
    elif isinstance(model, TextGenerator) and len(texts) == 1 and not model.tokenizer.reverse:
        print(texts[0], end="", flush=True)
        for piece in model.stream(texts[0]):
            print(piece, end="", flush=True)
        print()
    else:
        for line in lines:
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


def _check_of_one_text(config: DictConfig, texts: list[str]) -> None:
    """Raise ``UserError`` where a translator is asked for what is of one text, or for a picture that cannot be."""
    for key in ("target", "attention_map"):
        if config.get(key) is not None and len(texts) != 1:
            raise UserError(f"{key} is for one text, got {len(texts)}. Give text='...'.")
    if config.get("attention_map") is None:
        return
    picture = Path(config.attention_map)
    if picture.suffix != ".png":
        raise UserError(f"attention_map: wanted the name of a PNG file, got '{picture}'. Call it {picture.stem}.png.")
    if picture.exists():
        raise UserError(f"attention_map: '{picture}' exists already. Name another file, or remove it first.")
    if not picture.parent.is_dir():
        raise UserError(f"attention_map: no such folder: '{picture.parent}'.")


def _scores(model: Pipeline, texts: list[str], config: DictConfig) -> Iterator[str]:
    """Yield the log probability of the translation that is given, as one JSON object."""
    assert isinstance(model, Translator)
    for translation in model.score(texts, [str(config.target)]):
        yield json.dumps(as_values(translation), ensure_ascii=False)


def _draw(model: Pipeline, text: str, config: DictConfig) -> None:
    """Write the attention map of one translation."""
    assert isinstance(model, Translator)
    found = model.attention(text, None if config.target is None else str(config.target))
    from lstm_readout.explain.batch import visible
    from lstm_readout.explain.fonts import drawable  # matplotlib: not before a picture is asked for
    from lstm_readout.report.plots import plot_attention

    source, target = ([drawable(visible(token)) for token in side] for side in (found.source, found.target))
    plot_attention(found.weights, source, target, Path(config.attention_map))


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
