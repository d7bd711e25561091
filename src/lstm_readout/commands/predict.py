"""``lstm-readout predict``: a checkpoint and texts go in; continuations, translations or labels come out.

The texts are ``text="..."``, a column of the table ``input=FILE``, or the lines of a text file or of standard input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lstm_readout.commands.prediction_table import TextTable, writer_of
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
from lstm_readout.report.json_writer import as_json
from lstm_readout.report.output_file import checked_output, write_file


def predict(config: dict[str, Any], checkpoint: Checkpoint | None = None) -> None:
    """Use a trained model.

    Args:
        config: the configuration.
        checkpoint: the content of ``config["checkpoint"]``, if already read.
    """
    output = None if config["output"] is None else checked_output(config["output"], overwrite=config["overwrite"])
    write = None if output is None else writer_of(output)
    checkpoint = read_checkpoint(config["checkpoint"] if checkpoint is None else checkpoint)
    device, table = usable_device(config["device"]), _read(config, checkpoint)
    texts = table.texts
    _check_of_one_text(config, texts)
    options = {"int8": True} if config["int8"] else {}  # a pipeline of another project may not take it
    load = instantiate(config["pipeline"])
    model: Pipeline = load(checkpoint, device=device, **options)
    if isinstance(model, Translator):
        _tell_departures(model, checkpoint)
    if isinstance(model, Translator) and config.get("attention_map") is not None:
        _draw(model, texts[0], config)
    results, lines = model.results, model.lines
    if isinstance(model, Translator) and config.get("target") is not None:
        results = partial(_scores, model, target=config["target"])
        lines = partial(_lines_of, results)
    if output is not None:
        content = write(table.with_results(list(results(texts)))) if write else "".join(f"{x}\n" for x in lines(texts))
        write_file(output, content)
    elif isinstance(model, TextGenerator) and config["text"] is not None and not model.tokenizer.reverse:
        print(printable(texts[0]), end="", flush=True)
        for piece in model.stream(texts[0]):
            print(printable(piece), end="", flush=True)
        print()
    else:
        for line in lines(texts):
            print(printable(line))


def _tell_departures(model: Translator, checkpoint: Checkpoint) -> None:
    """Say which settings of the search are not the run's; not in the log, which goes where the translations go."""
    for key, value in search_of(checkpoint).items():
        if getattr(model, key) != value:
            print(f"{key}={getattr(model, key)}: the run decoded with {value}", file=sys.stderr)


def _read(config: dict[str, Any], checkpoint: Checkpoint) -> TextTable:
    if config["text"] is not None and config["input"] is not None:
        raise UserError("text and input: both are given; leave one out.")
    if config["text"] is not None:
        return TextTable.of_lines([str(config["text"])])
    if config["input"] in (None, "-"):
        return TextTable.of_lines(_standard_input())
    return TextTable.of(_inputs(config, checkpoint))


def _inputs(config: dict[str, Any], checkpoint: Checkpoint) -> Inputs:
    """Read ``input``; the column of its texts has the name that the run's had, unless another is given."""
    role = next(iter(checkpoint.vocabulary.tokenizers))
    of_run = checkpoint.config.get("data", {}).get("columns") or {}
    column = config["data"]["columns"].get(role)
    column = of_run.get(role) if column is None else column
    return read_inputs(Path(config["input"]).expanduser(), role, column, Format.of(config["data"]["format"]))


def _standard_input() -> list[str]:
    if sys.stdin.isatty():
        print("one text per line; Ctrl-D to finish", file=sys.stderr)
    try:
        content = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"input: not UTF-8 (byte {error.start}). Convert it first.") from error
    if not content:
        raise UserError("no text: give text='...', input=FILE, or lines on standard input.")
    return [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]


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
    checked_output(picture, key="attention_map")


def _scores(model: Translator, texts: list[str], *, target: Any) -> Iterator[dict[str, Any]]:
    """Yield the log probability of the given translation."""
    yield from map(as_values, model.score(texts, [str(target)]))


def _lines_of(results: Callable[[list[str]], Iterable[dict[str, Any]]], texts: list[str]) -> Iterator[str]:
    yield from map(as_json, results(texts))


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


def main(arguments: list[str] | None = None) -> None:
    """Compose the configuration from the command line and predict."""
    arguments, checkpoint = with_task_of_checkpoint(sys.argv[1:] if arguments is None else arguments, "pipeline")
    hydra_main(predict, config_name="predict", arguments=arguments, checkpoint=checkpoint)


if __name__ == "__main__":
    main()
