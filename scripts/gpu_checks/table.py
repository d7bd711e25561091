"""The JSON of a check goes in, the table that a reader looks at comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

Line = tuple[str, str, str]


def as_table(report: Mapping[str, Any]) -> Table:
    """Return one line per measurement."""
    kind = "generated corpora: scores compare with nothing" if report["data"] == "generated" else "real corpora"
    device = report["device"]
    table = Table("part", "measured", "value", title=f"{device['name']}, torch {device['torch']}, {kind}")
    for name, part in report["parts"].items():
        for line in _lines(name, part):
            table.add_row(*line)
    return table


def _lines(name: str, part: Mapping[str, Any]) -> Iterator[Line]:
    if part["status"] != "done":
        yield name, part["status"], part.get("reason") or part["error"]
        return
    group = name.split(" ")[0]
    yield from {"tests": _tests, "rates": _rates, "steps": _steps, "decoding": _decoding, "run": _run}[group](
        name, part
    )


def _tests(name: str, part: Mapping[str, Any]) -> Iterator[Line]:
    yield name, "outcomes", ", ".join(f"{part[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))


def _rates(name: str, part: Mapping[str, Any]) -> Iterator[Line]:
    for kind in ("product_float32", "product_bf16"):
        yield name, kind, f"{part[kind] / 1e12:.3g} Tflop/s"
    yield name, "copy", f"{part['copy'] / 1e9:.3g} GB/s"


def _steps(name: str, part: Mapping[str, Any]) -> Iterator[Line]:
    for side, measured in part["sides"].items():
        value = f"{measured['tokens_per_second']:,.0f} tokens/s ± {100 * measured['spread']:.0f} %"
        if "share_of" in measured:
            shares = measured["share_of"]
            value += f"; {shares['products']:.2f} of the products' bound, {shares['memory']:.2f} of the memory's"
        yield name, side, value + _memory(measured["peak_bytes"]) + _waits(measured["host_waits"])
    errors = part["gradient_error_bf16"]
    yield (
        name,
        "bf16",
        f"LSTM in {part['lstm_dtype_bf16']}, gradient off by {errors['ours']:.1%} (plain {errors['plain']:.1%})",
    )


def _decoding(name: str, part: Mapping[str, Any]) -> Iterator[Line]:
    for recipe in ("multi30k_attention", "tinyshakespeare"):
        for search, measured in part[recipe].items():
            if isinstance(measured, Mapping):
                waits = _waits(measured["host_waits"])
                yield name, f"{recipe}, {search}", f"{measured['tokens_per_second']:,.0f} tokens/s{waits}"


def _run(name: str, part: Mapping[str, Any]) -> Iterator[Line]:
    length = (
        f"{part['training_seconds']:.0f} s, {part['steps']} steps, {part['epochs']:.2g} epochs, {part['precision']}"
    )
    waits = _waits(part["host_waits"] or {"per_step": None})
    yield name, part["metric"], f"{part['score']:.4g} after {length}{waits}"


def _memory(peak: int | None) -> str:
    return "" if peak is None else f"; {peak / 2**20:,.0f} MiB"


def _waits(waits: Mapping[str, Any]) -> str:
    return "" if waits["per_step"] is None else f"; {waits['per_step']:.3g} waits per step"
