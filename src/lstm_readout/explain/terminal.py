"""An explanation goes in; tables for a terminal come out: bold, dim and signs, legible on every background."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_readout.explain.explanation import Explanation, SideExplanation, number, read_parts
from lstm_readout.explain.identities import Identity


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print what is read, the tensors, the claims, the proof and the plain PyTorch."""
    console.print(Text(explanation.title, "bold"))
    for side in explanation.sides:
        _print_side(side, console)
    if explanation.between:
        console.print(Text("\nFrom the encoder to the decoder", "bold"))
        console.print(_identities(explanation.between))
    console.print(Text("\nThe same in plain PyTorch\n", "bold"))
    for line in explanation.code.splitlines():
        console.print(Text(line), soft_wrap=True)
    console.print()


def _print_side(side: SideExplanation, console: Console) -> None:
    name = "" if side.name == "lstm" else f"{side.name}: "
    console.print()
    console.rule(style="dim", characters="─")
    console.print(Text(f"{name}{side.call}", "bold"))
    summary = Table.grid(padding=(0, 2))
    summary.add_row("reads", Text(side.reading.expression, "bold"))
    summary.add_row("", Text(side.reading.because))
    summary.add_row("where", Text(f"{side.reading.place}\n{side.reading.line}"))
    summary.add_row("batch", Text(f"{len(side.lengths)} rows, real steps {side.lengths}"))
    summary.add_row("row " + str(side.row), Text(" ".join(side.tokens[:60]) + (" …" if len(side.tokens) > 60 else "")))
    console.print(summary)
    console.print(Text("\nTensors: axes and this batch's numbers", "bold"))
    console.print(_tensors(side))
    console.print(Text("Rows of h_n and c_n", "bold"))
    for line in _rows(side):
        console.print(line)
    console.print(Text("\nComputed on this batch with this model's weights: largest differences", "bold"))
    console.print(_identities(side.identities))
    console.print(Text("The proof: largest gradient of the loss for each part alone; 0: not read", "bold"))
    console.print(_gradients(side))


def _tensors(side: SideExplanation) -> Table:
    table = _table("tensor", "(axes) = shape, and what one element means", "read")
    for line in side.tensors:
        shape = Text.assemble(line.shape_text, ("\n" + line.meaning, "dim"))
        table.add_row(Text(line.name, "bold"), shape, Text("● read" if line.read else "–", "bold" if line.read else ""))
    return table


def _rows(side: SideExplanation) -> list[Text]:
    number_of_rows = len(side.rows)
    lines = []
    for k, place in enumerate(side.rows):
        read = [name for name, _, gradient in read_parts(side) if gradient and name.endswith(f"[{k}]")]
        lines.append(
            Text.assemble(f"  [{k}] = [{k - number_of_rows}]  {place}", (f"   ● {', '.join(read)}" if read else ""))
        )
    return lines


def _identities(identities: list[Identity]) -> Table:
    table = _table("claim", "|difference|", "")
    table.columns[1].justify = "right"
    for identity in identities:
        claim = Text.assemble(identity.claim, ("\n" + identity.because, "dim"))
        if identity.rows:
            claim.append("\nby row: " + " ".join(number(row) for row in identity.rows), "dim")
        table.add_row(claim, number(identity.difference), "✓ holds" if identity.holds else Text("✗ fails", "bold"))
    return table


def _gradients(side: SideExplanation) -> Table:
    table = _table("part", "which", "|gradient|", "")
    table.columns[2].justify = "right"
    for name, place, gradient in read_parts(side):
        style = "bold" if gradient else ""
        table.add_row(Text(name, style), Text(place), number(gradient), Text("● read" if gradient else "–", style))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", border_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
