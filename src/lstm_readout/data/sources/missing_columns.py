"""A missing column: what was wanted and the file's first lines go in; the likely cause and what to do come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lstm_readout.data.sources.dialect import plain_name
from lstm_readout.data.sources.row_stream import TEXT_COLUMN

_SHORT = 20  # characters of a cell in a message


def why_missing(names: Sequence[str], wanted: Mapping[str, str], role: str, head: Sequence[Sequence[str]]) -> str:
    """Return a sentence or two.

    Args:
        names: of the columns.
        wanted: role -> the column that it wants.
        role: whose column is missing.
        head: the first lines as cells; those of plain text are cut at tabs.
    """
    first = head[0] if head else []
    numbers = " ".join(f"data.columns.{one}={i}" for i, one in enumerate(wanted))
    if list(names) == [TEXT_COLUMN] and len(first) > 1:
        return (
            f"It is read as plain text, but its lines have {len(first)} cells with tabs between them. As a table: "
            f"data.format.delimiter=tab {numbers} if it has no header."
        )
    if len(names) > 1 and list(names) == [str(i) for i in range(len(names))]:
        return (
            f"It seems to have no header: its first line is {_shown(first)}. Name columns by their position: "
            f"{numbers}; or, if that line is a header: data.format.header=true."
        )
    if wanted[role].isdecimal() and int(wanted[role]) < len(names):
        return (
            f"A number is no name: column {wanted[role]} is data.columns.{role}='{names[int(wanted[role])]}'. "
            f"Positions are for a table without a header: data.format.header=false."
        )
    for number, row in enumerate(head[1:], 1):
        if {plain_name(name) for name in wanted.values()} <= {plain_name(cell) for cell in row}:
            return f"Line {number + 1} has them: skip what is above the header, data.format.skip_rows={number}."
    alike = (name for name in names if plain_name(name).casefold() == plain_name(wanted[role]).casefold())
    say = f"Say which one is the {role}: data.columns.{role}={next(alike, 'NAME')}."
    if not head:  # json or parquet
        return say
    if len(names) == 1:
        return f"{say} If another character separates the cells: data.format.delimiter=..."
    if all(name.isidentifier() for name in names):
        return say
    return f"{say} If the file has no header: data.format.header=false {numbers}."


def _shown(cells: Sequence[str]) -> str:
    return ", ".join(f"'{cell[:_SHORT]}{'...' * (len(cell) > _SHORT)}'" for cell in cells[:4])
