"""What a decoder starts and continues from: ``(h, c)``, and for some decoders a memory of the source beside it.

Shapes: B sources, N rows of the decoder, S source steps, O width of the decoder's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import Self

from lstm_readout.nn.attention import Grid, Memory, grid_of_packed, grid_of_rows
from lstm_readout.nn.lstm import LSTMState


class DecoderState(Protocol):
    """What every decoder's state can do: ``LSTMState`` is one, ``StateWithMemory`` another."""

    @property
    def h(self) -> Tensor:
        """(L, N, O)."""
        ...

    @property
    def c(self) -> Tensor | None:
        """(L, N, H); None for gru and rnn."""
        ...

    def rows(self, index: Tensor | slice) -> Self:
        """Return the state of the given rows."""
        ...

    def detach(self) -> Self:
        """Return the same numbers without their graph."""
        ...

    def to(self, dtype: torch.dtype) -> Self:
        """Return the same numbers in another precision."""
        ...


class DecoderOutput(Protocol):
    """What the head of a decoder reads, and the state to continue from: ``LSTMOutput`` is one."""

    @property
    def output(self) -> Tensor | PackedSequence:
        """Vectors at every step: (T, N, O), (N, T, O) with ``batch_first``, or packed (tokens, O)."""
        ...

    @property
    def state(self) -> DecoderState:
        """The state after the last step of each row."""
        ...


@dataclass(frozen=True)
class StateWithMemory:
    """``(h, c)`` of a decoder that reads its source at every step, and what it reads there.

    Args:
        lstm: (h, c) of N rows.
        memory: of B sources.
        sources: (N,) the source of each row; None: row i belongs to source i.
        fed: (N, O), h~ of the previous step; None without input feeding.
    """

    lstm: LSTMState
    memory: Memory
    sources: Tensor | None = None
    fed: Tensor | None = None

    @property
    def h(self) -> Tensor:
        """(L, N, O)."""
        return self.lstm.h

    @property
    def c(self) -> Tensor | None:
        """(L, N, H); None for gru and rnn."""
        return self.lstm.c

    def rows(self, index: Tensor | slice) -> StateWithMemory:
        """Return the given rows. They share the memory, which drops sources without a row once they are half of it."""
        memory, fed = self.memory, None if self.fed is None else self.fed[index]
        sources = (torch.arange(self.h.shape[1], device=self.h.device) if self.sources is None else self.sources)[index]
        kept = sources.unique()  # ascending
        if 2 * len(kept) <= len(memory.real):  # at each half: all copies together stay below twice the memory
            memory, sources = memory.rows(kept), torch.searchsorted(kept, sources)
        return StateWithMemory(self.lstm.rows(index), memory, sources, fed)

    def detach(self) -> StateWithMemory:
        """Return the same numbers without their graph."""
        fed = None if self.fed is None else self.fed.detach()
        return StateWithMemory(self.lstm.detach(), self.memory.detach(), self.sources, fed)

    def to(self, dtype: torch.dtype) -> StateWithMemory:
        """Return the same numbers in another precision."""
        fed = None if self.fed is None else self.fed.to(dtype)
        return StateWithMemory(self.lstm.to(dtype), self.memory.to(dtype), self.sources, fed)

    def after(self, lstm: LSTMState, attended: Tensor) -> StateWithMemory:
        """Return the state after further steps, the last of which gave h~ (N, O)."""
        return StateWithMemory(lstm, self.memory, self.sources, None if self.fed is None else attended)

    def with_fed(self, vectors: Tensor) -> Tensor:
        """Append h~ of the previous step to vectors, (N, E), if it is fed: (N, E + O)."""
        return vectors if self.fed is None else torch.cat((vectors, self.fed), dim=-1)

    def grid(self, tokens: PackedSequence | None = None) -> Grid:
        """Return the places of the decoder's tokens: packed ones, or one per row."""
        number = len(self.memory.real)
        if tokens is not None:
            grid = grid_of_packed(tokens)
            return grid if self.sources is None else grid_of_rows(self.sources[grid.places // grid.width], number)
        if self.sources is not None:
            return grid_of_rows(self.sources, number)
        return Grid(torch.arange(number, device=self.h.device), number, 1)


class OutputWithMemory(NamedTuple):
    """What the head reads in place of an LSTM's ``output``, and the state to continue from."""

    output: Tensor | PackedSequence  # h~, laid out as an LSTM's output
    state: StateWithMemory  # after the last step


def with_memory(state: DecoderState | None) -> StateWithMemory:
    """Return the state of a decoder that reads its source.

    Raises:
        TypeError: it has no memory: ``begin`` of the decoder makes the first state.
    """
    if isinstance(state, StateWithMemory):
        return state
    raise TypeError(
        f"state: wanted a StateWithMemory, got {type(state).__name__}. A decoder that reads its source starts from "
        "what its begin() returns."
    )


def concatenated(states: Sequence[DecoderState]) -> LSTMState:
    """Return h and c of the rows of all states, one after another."""
    h, c = [state.h for state in states], [state.c for state in states if state.c is not None]
    return LSTMState(torch.cat(h, dim=1), torch.cat(c, dim=1) if c else None)
