"""A task and its data go in; everything that ``explain`` shows comes out, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lstm_readout.data.module import TextDataModule
from lstm_readout.explain.batch import small_batch
from lstm_readout.explain.figure import Picture, picture_of, row_to_show, title_of
from lstm_readout.explain.gradient_proof import Gradients, gradients_of
from lstm_readout.explain.identities import Identity, bridge_identities, identities_of
from lstm_readout.explain.plain_pytorch import plain_of
from lstm_readout.explain.tensors import TensorLine, call_of, tensors_of
from lstm_readout.explain.trace import Reading, row_name, sides_of
from lstm_readout.tasks.base import Task


@dataclass(frozen=True)
class SideExplanation:
    """One LSTM: its tensors, the claims about them, and the proof of what is read."""

    name: str
    call: str
    lengths: list[int]  # real steps of each row
    row: int  # the row of the batch that the picture shows
    tokens: list[str]  # of that row
    rows: list[str]  # the layer and direction of each row of h_n and c_n
    reading: Reading
    tensors: list[TensorLine]
    identities: list[Identity]
    gradients: Gradients


@dataclass(frozen=True)
class Explanation:
    """The text and the picture."""

    task: str
    title: str
    sides: list[SideExplanation]
    between: list[Identity]  # from the encoder's last state to the decoder's first
    code: str
    picture: Picture

    def values(self) -> dict[str, Any]:
        """Return plain values for JSON; the picture is a separate file."""
        return {
            "task": self.task,
            "title": self.title,
            "lstms": [asdict(side) for side in self.sides],
            "between": [asdict(identity) for identity in self.between],
            "code": self.code,
        }


def explain_task(task: Task, data: TextDataModule, rows: int) -> Explanation:
    """Explain a task on a few rows of its data."""
    return explanation_of(task, small_batch(data, rows))


def explanation_of(task: Task, batch: Any) -> Explanation:
    """Run the task's model on a batch, as in validation, and explain its outputs."""
    task.eval()
    sides = sides_of(task, batch)
    row = row_to_show(sides[0].lengths)
    explained = [
        SideExplanation(
            name=side.name,
            call=call_of(side),
            lengths=side.lengths,
            row=row,
            tokens=side.tokens[row],
            rows=[row_name(side, k) for k in range(side.layers * side.directions)],
            reading=side.reading,
            tensors=tensors_of(side),
            identities=identities_of(side),
            gradients=gradients_of(task, batch, side),
        )
        for side in sides
    ]
    between = bridge_identities(task.model, *sides) if len(sides) == 2 else []
    code = plain_of(task.model, [side.lengths for side in sides]).code
    return Explanation(task.name, title_of(task.name, sides), explained, between, code, picture_of(task.name, sides))


def read_parts(side: SideExplanation) -> list[tuple[str, str, float]]:
    """Return name, place and largest gradient of ``output`` and of each row of ``h_n`` and ``c_n``."""
    gradients = side.gradients
    where = f"at {gradients.steps_read} of {gradients.real_steps} real steps"
    if gradients.steps_read and gradients.steps_read == gradients.last_steps_read < gradients.real_steps:
        where = f"at the last real step of {gradients.steps_read} rows"
    parts = [("output", where, gradients.output)]
    for letter, values in (("h", gradients.h_n), ("c", gradients.c_n)):
        parts += [(f"{letter}_n[{k}]", side.rows[k], value) for k, value in enumerate(values)]
    return parts


def number(value: float) -> str:
    """Format a difference or a gradient; exactly zero is ``0``."""
    return f"{value:.1e}" if value else "0"
