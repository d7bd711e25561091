"""``lstm-readout predict``: a checkpoint and texts go in; continuations, translations or labels come out.

The texts are ``text="..."``, the rows or lines of ``input=FILE``, or the lines of standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lstm_readout.config.arguments import with_task_of_checkpoint
from lstm_readout.config.build import instantiate
from lstm_readout.config.device import usable_device
from lstm_readout.config.hydra_main import hydra_main
from lstm_readout.data.sources import Format, Inputs, read_inputs
from lstm_readout.errors import UserError, printable
from lstm_readout.inference import TextGenerator, Translator
from lstm_readout.inference.pipeline import Pipeline
from lstm_readout.inference.translate import as_values, search_of
from lstm_readout.models.checkpoint import Checkpoint, read_checkpoint


def predict(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Use a trained model.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.
    """
    output = None if config["output"] is None else Path(config["output"])
    if output is not None and output.exists():
        raise UserError(f"output: '{output}' already exists. Name another file, or remove it first.")
    checkpoint = read_checkpoint(config["checkpoint"] if checkpoint is None else checkpoint)
    device, texts = usable_device(config["device"]), _texts(config, checkpoint)
    _check_of_one_text(config, texts)
    options = {"int8": True} if config["int8"] else {}  # a pipeline of another project may not take it
    load = instantiate(config["pipeline"])
    model: Pipeline = load(checkpoint, device=device, **options)
    if isinstance(model, Translator):
        _tell_departures(model, checkpoint)
    if isinstance(model, Translator) and config.get("attention_map") is not None:
        _draw(model, texts[0], config)
    lines = model.lines(texts)
    if isinstance(model, Translator) and config.get("target") is not None:
        lines = _scores(model, texts, config["target"])
    if output is not None:
        _write(output, lines)
    elif isinstance(model, TextGenerator) and len(texts) == 1 and not model.tokenizer.reverse:
        print(printable(texts[0]), end="", flush=True)
        for piece in model.stream(texts[0]):
            print(printable(piece), end="", flush=True)
        print()
    else:
        for line in lines:
            print(printable(line))


def _tell_departures(model: Translator, checkpoint: Checkpoint) -> None:
    """Say which settings of the search are not the run's; not in the log, which goes where the translations go."""
    for key, value in search_of(checkpoint).items():
        if getattr(model, key) != value:
            print(f"{key}={getattr(model, key)}: the run decoded with {value}", file=sys.stderr)


def _texts(config: dict[str, Any], checkpoint: Checkpoint) -> list[str]:
    if config["text"] is not None and config["input"] is not None:
        raise UserError("text and input: both are given; leave one out.")
    if config["text"] is not None:
        return [str(config["text"])]
    if config["input"] is not None:
        return _inputs(config, checkpoint).texts
    try:
        if sys.stdin.isatty():
            print("one text per line; Ctrl-D to finish", file=sys.stderr)
        content = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"input: not UTF-8 (byte {error.start}). Convert it first.") from error
    lines = content.removesuffix("\n").split("\n") if content else []
    if not lines:
        raise UserError("no text: give text='...', input=FILE, or lines on standard input.")
    return [line.removesuffix("\r") for line in lines]


def _inputs(config: dict[str, Any], checkpoint: Checkpoint) -> Inputs:
    """Read ``input``; the column of its texts has the name that the run's had, unless another is given."""
    role = next(iter(checkpoint.vocabulary.tokenizers))
    of_run = checkpoint.config.get("data", {}).get("columns") or {}
    column = config["data"]["columns"].get(role)
    column = of_run.get(role) if column is None else column
    return read_inputs(Path(config["input"]).expanduser(), role, column, Format.of(config["data"]["format"]))


def _check_of_one_text(config: dict[str, Any], texts: list[str]) -> None:
    """Raise ``UserError`` if a translator's option needs a single text, or the picture cannot be written."""
    for key in ("target", "attention_map"):
        if config.get(key) is not None and len(texts) != 1:
            raise UserError(f"{key} is for one text, got {len(texts)}. Give text='...'.")
    if config.get("attention_map") is None:
        return
    picture = Path(config["attention_map"])
    if picture.suffix != ".png":
        raise UserError(f"attention_map: wanted the name of a PNG file, got '{picture}'. Call it {picture.stem}.png.")
    if picture.exists():
        raise UserError(f"attention_map: '{picture}' already exists. Name another file, or remove it first.")
    if not picture.parent.is_dir():
        raise UserError(f"attention_map: no such folder: '{picture.parent}'.")


def _scores(model: Translator, texts: list[str], target: Any) -> Iterator[str]:
    """Yield the log probability of the given translation, as one JSON object."""
    for translation in model.score(texts, [str(target)]):
        yield json.dumps(as_values(translation), ensure_ascii=False)


def _draw(model: Translator, text: str, config: dict[str, Any]) -> None:
    """Write the attention map of one translation."""
    target = config["target"]
    attention = model.attention(text, None if target is None else str(target))
    from lstm_readout.explain.batch import visible
    from lstm_readout.explain.fonts import drawable  # imports matplotlib: only if a picture is requested
    from lstm_readout.report.plots import plot_attention

    source, translation = (
        [drawable(visible(token)) for token in side] for side in (attention.source, attention.target)
    )
    plot_attention(attention.weights, source, translation, Path(config["attention_map"]))


def _write(output: Path, lines: Iterable[str]) -> None:
    """Write all lines, or nothing."""
    if not output.parent.is_dir():
        raise UserError(f"output: no such folder: '{output.parent}'.")
    partial = output.with_name(output.name + ".partial")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(output)


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and predict."""
    arguments, checkpoint = with_task_of_checkpoint(sys.argv[1:] if arguments is None else arguments, "pipeline")
    hydra_main(predict, config_name="predict", arguments=arguments, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
