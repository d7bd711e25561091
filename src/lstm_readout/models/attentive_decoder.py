"""A decoder that looks back: a language model whose head reads ``h~`` in place of the LSTM's ``output``.

What it reads of the source travels in its state, so that it starts, steps and is searched as any language model.
Shapes: B sources, N rows of the decoder, T steps, S source steps, E embedding_size, O width of the decoder's output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.attention import Attention, AttentionName, Grid, Memory, grid_of_packed, grid_of_rows
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.lstm import LSTMOutput, LSTMState
from lstm_readout.nn.packed import with_data
from lstm_readout.nn.state_readout import StateReadout


class AttentiveState(LSTMState):
    """``(h, c)`` of a decoder, and what its attention needs beside them.

    Args:
        h, c: see ``LSTMState``; N rows.
        memory: of B sources.
        texts: (N,) the source of each row; None: row i belongs to source i.
        fed: (N, O), h~ of the step before; None without input feeding.
    """

    memory: Memory
    texts: Tensor | None
    fed: Tensor | None

    def __new__(
        cls, h: Tensor, c: Tensor | None, memory: Memory, texts: Tensor | None = None, fed: Tensor | None = None
    ) -> AttentiveState:
        """Make a pair of h and c that knows the rest by name."""
        state = super().__new__(cls, h, c)
        state.memory, state.texts, state.fed = memory, texts, fed
        return state

    def detach(self) -> AttentiveState:
        """Return the same numbers without their graph."""
        memory = Memory(self.memory.values.detach(), self.memory.keys.detach(), self.memory.real)
        fed = None if self.fed is None else self.fed.detach()
        return AttentiveState(*super().detach(), memory, self.texts, fed)

    def rows(self, index: Tensor | slice) -> AttentiveState:
        """Return the given rows; they share the memory, of which sources without a row are left out by and by."""
        memory, fed = self.memory, None if self.fed is None else self.fed[index]
        texts = (torch.arange(self.h.shape[1], device=self.h.device) if self.texts is None else self.texts)[index]
        kept = texts.unique()  # ascending
        if 2 * len(kept) <= len(memory.real):  # at each half: what is copied stays less than twice the memory
            memory, texts = memory.rows(kept), torch.searchsorted(kept, texts)
        return AttentiveState(*super().rows(index), memory, texts, fed)

    def to(self, dtype: torch.dtype) -> AttentiveState:
        """Return the same numbers in another precision."""
        h, c, fed = (None if part is None else part.to(dtype) for part in (*self, self.fed))
        assert h is not None
        return AttentiveState(h, c, self.memory.to(dtype), self.texts, fed)

    def after(self, state: LSTMState, attended: Tensor) -> AttentiveState:
        """Return the state one step later, at which attention has read (N, O)."""
        return AttentiveState(*state, self.memory, self.texts, None if self.fed is None else attended)

    def grid(self, tokens: PackedSequence | None = None) -> Grid:
        """Return where the decoder's tokens stand: packed ones, or one for each row."""
        if tokens is None:
            number = len(self.memory.real)
            if self.texts is not None:
                return grid_of_rows(self.texts, number)
            return Grid(torch.arange(number, device=self.h.device), number, 1)
        grid = grid_of_packed(tokens)
        return (
            grid if self.texts is None else grid_of_rows(self.texts[grid.places // grid.width], len(self.memory.real))
        )


class AttentiveOutput(LSTMOutput):
    """What the head reads in place of an LSTM's ``output``, and the state to go on from.

    Args:
        output: h~, laid out as an LSTM's output.
        state: after the last step.
    """

    attentive: AttentiveState

    def __new__(cls, output: Tensor | PackedSequence, state: AttentiveState) -> AttentiveOutput:
        """Make the three results of an LSTM that know the whole state."""
        result = super().__new__(cls, output, state.h, state.c)
        result.attentive = state
        return result

    @property
    def state(self) -> AttentiveState:
        """The state, its memory too."""
        return self.attentive


class AttentiveDecoder(LanguageModel):
    """A language model that reads a source at every step: its encoder's ``output``, or the state alone once more.

    Args:
        attention: ``dot``, ``general`` or ``additive``, see ``Attention``; ``none``: the state, see ``StateReadout``.
        memory_size: width of the encoder's output.
        input_feeding: put h~ of the step before beside each embedding (Luong et al. 2015, section 3.3). The next step
            then waits for attention, so that training runs step after step.
        language_model: the arguments of ``LanguageModel``.

    Raises:
        UserError: as ``Attention`` and ``LanguageModel``, or for ``input_feeding`` with what drops the same for all
            steps of a call.
    """

    def __init__(
        self, *, attention: AttentionName, memory_size: int, input_feeding: bool = False, **language_model: Any
    ) -> None:
        super().__init__(**language_model)
        size = self.encoder.lstm.output_size
        self.arguments |= {"attention": attention, "memory_size": memory_size, "input_feeding": input_feeding}
        self.attention = (
            StateReadout(self.encoder.lstm, self.dropout.p)
            if attention == "none"
            else Attention(attention, size, memory_size)
        )
        self.input_feeding = input_feeding
        if input_feeding:
            lstm = self.encoder.lstm
            if lstm.weight_drop or (lstm.locked_dropout and lstm.rnn.dropout):
                given = "weight_drop" if lstm.weight_drop else "locked_dropout (between layers)"
                raise UserError(
                    f"model.input_feeding=true runs the decoder step by step, where {given} would drop anew at each "
                    "step. Set input_feeding=false, or model.decoder.weight_drop=0 and locked_dropout=false."
                )
            keys = EncoderArguments.__optional_keys__
            of_encoder = {key: value for key, value in language_model.items() if key in keys}
            of_encoder["embedding_size"] = self.encoder.embedding.embedding_dim + size
            self.encoder.lstm = Encoder(vocab_size=1, **of_encoder).lstm

    def begin(self, state: LSTMState, output: PackedSequence) -> AttentiveState:
        """Return the first state: (h_0, c_0) of N sources, and the encoder's output at all of their steps."""
        fed = state.h.new_zeros(state.h.shape[1], self.encoder.lstm.output_size) if self.input_feeding else None
        return AttentiveState(*state, self.attention.remember(state, output), None, fed)

    def read(self, token_ids: Tensor | PackedSequence, state: LSTMState | None = None) -> AttentiveOutput:
        """Return h~ at every step, and the state after the last."""
        assert isinstance(state, AttentiveState), "a decoder with attention starts from what begin() gives"
        packed = token_ids if isinstance(token_ids, PackedSequence) else self._packed(token_ids)
        if self.input_feeding:
            data, state = self._fed(packed, state)
        else:
            lstm = self.encoder(packed, state)
            assert isinstance(lstm.output, PackedSequence)
            data = self.attention(lstm.output.data, state.grid(packed), state.memory)  # (tokens, O)
            state = state.after(lstm.state, data)
        if packed is token_ids:
            return AttentiveOutput(with_data(packed, data), state)
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        return AttentiveOutput(data.unflatten(0, (-1, state.h.shape[1])).transpose(0, time), state)

    @torch.no_grad()
    def weights(self, token_ids: PackedSequence, state: AttentiveState) -> Tensor:
        """Return the attention of each of T steps on each of S source steps: (N, T, S), zeros behind a row's end."""
        read: list[Tensor] = []

        def note(attention: Attention, given: tuple[Tensor, Grid, Memory], _: Tensor) -> None:
            output, grid, memory = given
            read.append(grid.gather(attention.weights(output, grid, memory)))  # (tokens, S)

        hook = self.attention.register_forward_hook(note)
        try:
            self.read(token_ids, state)
        finally:
            hook.remove()
        return grid_of_packed(token_ids).spread(torch.cat(read))

    def _packed(self, token_ids: Tensor) -> PackedSequence:
        """Return ids (T, N), or (N, T) with ``batch_first``, as packed rows of one length."""
        steps = token_ids.T if self.encoder.lstm.rnn.batch_first else token_ids
        return PackedSequence(steps.flatten(), torch.full((len(steps),), steps.shape[1]))

    def _fed(self, packed: PackedSequence, state: AttentiveState) -> tuple[Tensor, AttentiveState]:
        """Run step after step, each beginning with what attention read at the one before: h~ (tokens, O)."""
        vectors = self.encoder.input_dropout(with_data(packed, self.encoder.embed(packed.data))).data  # (tokens, E)
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        now = state if packed.sorted_indices is None else state.rows(packed.sorted_indices)
        ended: list[AttentiveState] = []
        outputs: list[Tensor] = []
        for step in vectors.split(packed.batch_sizes.tolist()):
            number = len(step)
            if number < now.h.shape[1]:
                ended.append(now.rows(slice(number, None)))
                now = now.rows(slice(number))
            assert now.fed is not None
            lstm = self.encoder.lstm(torch.cat((step, now.fed), dim=-1).unsqueeze(time), now)
            outputs.append(self.attention(lstm.output.squeeze(time), now.grid(), now.memory))  # (n, O)
            now = now.after(lstm.state, outputs[-1])
        ended = [*ended, now][::-1]  # the longest first
        h, fed = torch.cat([part.h for part in ended], dim=1), torch.cat([part.fed for part in ended])  # pyright: ignore
        c = None if now.c is None else torch.cat([part.c for part in ended], dim=1)  # pyright: ignore
        last = LSTMState(h, c)
        if packed.unsorted_indices is not None:
            last, fed = last.rows(packed.unsorted_indices), fed[packed.unsorted_indices]
        return torch.cat(outputs), state.after(last, fed)
