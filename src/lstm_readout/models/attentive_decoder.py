"""Decoders that read their source at every step: language models whose head reads ``h~`` in place of ``output``.

``h~`` joins the LSTM's ``output`` with what is read from the source. The source travels in the decoder's state, so that
starting, stepping and searching work as for any language model.

Shapes: B sources, N rows of the decoder, T steps, S source steps, E embedding_size, O width of the decoder's output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.attention import Attention, AttentionName, Grid, Memory, grid_of_packed
from lstm_readout.nn.decoder_state import DecoderState, OutputWithMemory, StateWithMemory, concatenated, with_memory
from lstm_readout.nn.encoder import Encoder, EncoderArguments
from lstm_readout.nn.lstm import LSTMState
from lstm_readout.nn.packed import with_data
from lstm_readout.nn.state_readout import StateReadout


class DecoderWithMemory(LanguageModel):
    """A language model that reads a memory of its source at every step; a subclass says what the memory is.

    Attributes:
        attention: what makes the memory and reads it. Checkpoints have it under this name.
    """

    attention: Attention | StateReadout

    def begin(self, state: LSTMState, output: PackedSequence) -> StateWithMemory:
        """Return the first state.

        Args:
            state: (h_0, c_0) of B sources.
            output: the encoder's, at all steps of the sources.
        """
        return StateWithMemory(state, self.attention.remember(state, output))

    def read(self, token_ids: Tensor | PackedSequence, state: DecoderState | None = None) -> OutputWithMemory:
        """Return h~ at every step, and the state after the last.

        Raises:
            TypeError: for a state that does not come from ``begin``.
        """
        if isinstance(token_ids, PackedSequence):
            data, last = self._read_packed(token_ids, with_memory(state))
            return OutputWithMemory(with_data(token_ids, data), last)
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        steps = token_ids.transpose(0, time)  # (T, N)
        packed = PackedSequence(steps.flatten(), torch.full((len(steps),), steps.shape[1]))
        data, last = self._read_packed(packed, with_memory(state))
        return OutputWithMemory(data.unflatten(0, steps.shape).transpose(0, time), last)

    def _read_packed(self, packed: PackedSequence, state: StateWithMemory) -> tuple[Tensor, StateWithMemory]:
        """Return h~ (tokens, O), and the last state."""
        lstm = self.encoder(packed, state.lstm)
        data = self.attention(lstm.output.data, state.grid(packed), state.memory)
        return data, state.after(lstm.state, data)


class StateFedDecoder(DecoderWithMemory):
    """A decoder without attention, whose head reads its first state again at every step; see ``StateReadout``.

    Args:
        language_model: the arguments of ``LanguageModel``.
    """

    def __init__(self, **language_model: Any) -> None:
        super().__init__(**language_model)
        self.attention = StateReadout(self.encoder.lstm, self.dropout.p)


class AttentiveDecoder(DecoderWithMemory):
    """A decoder that reads the encoder's ``output`` at every step; see ``Attention``.

    Args:
        attention: ``dot``, ``general`` or ``additive``.
        memory_size: width of the encoder's output.
        input_feeding: append h~ of the previous step to each embedding (Luong et al. 2015, section 3.3). The next step
            then waits for attention, so that training runs step after step.
        language_model: the arguments of ``LanguageModel``.

    Raises:
        UserError: as ``Attention`` and ``LanguageModel``, or for ``input_feeding`` with dropout that uses one mask for
            all steps of a call.
    """

    def __init__(
        self, *, attention: AttentionName, memory_size: int, input_feeding: bool = False, **language_model: Any
    ) -> None:
        super().__init__(**language_model)
        self.arguments |= {"attention": attention, "memory_size": memory_size, "input_feeding": input_feeding}
        self.attention = Attention(attention, self.encoder.lstm.output_size, memory_size)
        self.input_feeding = input_feeding
        if input_feeding:
            self._widen_input(language_model)

    def begin(self, state: LSTMState, output: PackedSequence) -> StateWithMemory:
        """Return the first state; with input feeding, the first step is fed zeros."""
        first = super().begin(state, output)
        if not self.input_feeding:
            return first
        fed = state.h.new_zeros(state.h.shape[1], self.encoder.lstm.output_size)
        return StateWithMemory(state, first.memory, fed=fed)

    @torch.no_grad()
    def weights(self, token_ids: PackedSequence, state: StateWithMemory) -> Tensor:
        """Return the attention of each of T steps on each of S source steps: (N, T, S), zeros past a row's end."""
        weights: list[Tensor] = []

        def note(attention: Attention, inputs: tuple[Tensor, Grid, Memory], _: Tensor) -> None:
            output, grid, memory = inputs
            weights.append(grid.gather(attention.weights(output, grid, memory)))  # (tokens, S)

        hook = self.attention.register_forward_hook(note)
        try:
            self.read(token_ids, state)
        finally:
            hook.remove()
        return grid_of_packed(token_ids).spread(torch.cat(weights))

    def _widen_input(self, language_model: dict[str, Any]) -> None:
        """Replace the LSTM with one that reads h~ beside the embedding."""
        lstm = self.encoder.lstm
        if lstm.weight_drop or (lstm.locked_dropout and lstm.rnn.dropout):
            option = "weight_drop" if lstm.weight_drop else "locked_dropout (between layers)"
            raise UserError(
                f"model.input_feeding=true runs the decoder step by step, where {option} would draw a mask for each "
                "step. Set input_feeding=false, or model.decoder.weight_drop=0 and locked_dropout=false."
            )
        keys = EncoderArguments.__optional_keys__
        arguments = {key: value for key, value in language_model.items() if key in keys}
        arguments["embedding_size"] = self.encoder.embedding.embedding_dim + lstm.output_size
        self.encoder.lstm = Encoder(vocab_size=1, **arguments).lstm

    def _read_packed(self, packed: PackedSequence, state: StateWithMemory) -> tuple[Tensor, StateWithMemory]:
        """Return h~ (tokens, O), and the last state; with input feeding one step after another."""
        if not self.input_feeding:
            return super()._read_packed(packed, state)
        vectors = self.encoder.input_dropout(with_data(packed, self.encoder.embed(packed.data))).data  # (tokens, E)
        time = 1 if self.encoder.lstm.rnn.batch_first else 0
        now = state if packed.sorted_indices is None else state.rows(packed.sorted_indices)
        ended: list[StateWithMemory] = []
        outputs: list[Tensor] = []
        for step in vectors.split(packed.batch_sizes.tolist()):
            number = len(step)
            if number < now.h.shape[1]:
                ended.append(now.rows(slice(number, None)))
                now = now.rows(slice(number))
            lstm = self.encoder.lstm(now.with_fed(step).unsqueeze(time), now.lstm)
            outputs.append(self.attention(lstm.output.squeeze(time), now.grid(), now.memory))  # (n, O)
            now = now.after(lstm.state, outputs[-1])
        ended = [*ended, now][::-1]  # the longest first
        last, fed = concatenated(ended), torch.cat([part.fed for part in ended if part.fed is not None])
        if packed.unsorted_indices is not None:
            last, fed = last.rows(packed.unsorted_indices), fed[packed.unsorted_indices]
        return torch.cat(outputs), state.after(last, fed)
