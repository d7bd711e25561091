"""The LSTM and its answer: token vectors go in, ``LSTMOutput(output, h_n, c_n)`` comes out.

``output`` holds the top layer at every step; ``h_n`` and ``c_n`` hold every layer at the last real step.
Which of them a task reads is one line in its model::

    each_token(self.head, lstm.output)                          # generate:  every step predicts the next token
    self.decoder(target_ids, self.encoder(source_ids).state)    # translate: the whole state is the message
    self.head(lstm.h_n[-1])                                     # classify:  one vector for one document

Shapes: B rows, T steps, I input_size, H hidden_size, O = proj_size or H, L num_layers, D directions (1 or 2).
This file needs torch and nothing else.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.nn.dense_blocks import Engine, cost_of_a_block, holding, lay_out, run_blocks
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.init import make_orthogonal, open_forget_gates, spread_time_scales
from lstm_readout.nn.packed import reversal, with_data

Cell = Literal["lstm", "gru", "rnn"]
RecurrentInit = Literal["uniform", "orthogonal"]


class LSTMState(NamedTuple):
    """What an LSTM remembers between steps: (h_0, c_0) when it goes in, (h_n, c_n) when it comes out."""

    h: Tensor  # (L * D, B, O): layer 0 forward, layer 0 backward, layer 1 forward, ...
    c: Tensor | None = None  # (L * D, B, H); None for gru and rnn, which have no cell state

    def detach(self) -> LSTMState:
        """Return the same numbers without their graph, to carry into the next window."""
        return LSTMState(self.h.detach(), None if self.c is None else self.c.detach())

    def rows(self, index: Tensor | slice) -> LSTMState:
        """Return the state of the given rows of the batch, h and c alike."""
        return LSTMState(self.h[:, index], None if self.c is None else self.c[:, index])

    def scaled(self, factors: Tensor) -> LSTMState:
        """Return the state with h and c of each row times its factor, (B,)."""
        by_row = factors[:, None]
        return LSTMState(self.h * by_row, None if self.c is None else self.c * by_row)


class LSTMOutput(NamedTuple):
    """The three results of ``torch.nn.LSTM``, under PyTorch's names and in PyTorch's order."""

    output: Tensor | PackedSequence  # top layer at every step: (T, B, D * O), (B, T, D * O), or packed
    h_n: Tensor  # every layer at the last real step: (L * D, B, O)
    c_n: Tensor | None  # the cell state beside h_n: (L * D, B, H); None for gru and rnn

    @property
    def state(self) -> LSTMState:
        """``(h_n, c_n)``, ready to be another LSTM's first state."""
        return LSTMState(self.h_n, self.c_n)


class LSTM(nn.Module):
    """``torch.nn.LSTM`` with a named result, exact and fast on ragged batches.

    The arguments are those of ``torch.nn.LSTM``, and ``cell`` chooses ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``.
    ``state_dict`` keys are PyTorch's, below ``rnn.``.

    ``engine`` chooses how a ``PackedSequence`` is run; the numbers are those of the packed call, whatever it is.
    ``runs``: the steps that share one batch size are one dense block, nothing is padded. ``padded``: one dense block.
    ``packed``: PyTorch's own packed call, whose CPU kernel is several times slower on long rows. ``auto``: on CPU dense
    blocks, as many as pay (see ``engine.py``); elsewhere the packed call, which cuDNN runs well.

    How it starts (``initialization.py`` has formulas and sources): ``forget_bias`` is added to the forget gate's bias;
    ``chrono_init`` gives each unit a time scale of its own, up to so many steps, in place of it.
    ``recurrent_init="orthogonal"`` starts the recurrent matrix of each gate orthogonal; ``uniform`` is PyTorch's own
    start. gru has no forget gate, rnn no gate at all, and ``bias=False`` no bias: what sets theirs does nothing there.

    ``weight_drop`` leaves out single recurrent weights while training, one draw for all steps of a call (DropConnect;
    Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM Language Models", section 2). ``locked_dropout``
    makes ``dropout``, between layers, one mask a row for all of its steps; see ``SequenceDropout``. Both run layer
    after layer through dense blocks, on every device.

    Raises:
        UserError: for an unknown ``cell``, ``engine`` or ``recurrent_init``, ``weight_drop`` or ``chrono_init`` out of
            range, ``chrono_init`` with a ``forget_bias``, sizes that ``torch.nn.LSTM`` refuses, or ``proj_size`` with a
            cell other than ``lstm``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        cell: Cell = "lstm",
        forget_bias: float = 0.0,
        chrono_init: float = 0.0,
        recurrent_init: RecurrentInit = "uniform",
        weight_drop: float = 0.0,
        locked_dropout: bool = False,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        if cell not in get_args(Cell):
            raise UserError(f"cell: there is no '{cell}'. {did_you_mean(str(cell), get_args(Cell))}")
        if engine not in get_args(Engine):
            raise UserError(f"engine: there is no '{engine}'. {did_you_mean(str(engine), get_args(Engine))}")
        if recurrent_init not in get_args(RecurrentInit):
            told = did_you_mean(str(recurrent_init), get_args(RecurrentInit))
            raise UserError(f"recurrent_init: there is no '{recurrent_init}'. {told}")
        if not 0 <= weight_drop < 1:
            raise UserError(f"weight_drop: wanted 0 or more and less than 1, got {weight_drop}.")
        if chrono_init and not chrono_init > 2:
            raise UserError(f"chrono_init: wanted 0 or more than 2 steps, got {chrono_init}.")
        if chrono_init and forget_bias:
            raise UserError(
                f"chrono_init={chrono_init} draws the forget gate's bias, and forget_bias={forget_bias} adds to it. "
                "Set forget_bias=0, or chrono_init=0."
            )
        if proj_size and cell != "lstm":
            raise UserError(f"proj_size={proj_size}: only cell=lstm has a projection; cell is '{cell}'.")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} does nothing with num_layers=1: it sits between layers. "
                "Use input_dropout or output_dropout, or more layers."
            )
        projection = {"proj_size": proj_size} if cell == "lstm" else {}
        self.cell: Cell = cell
        self.engine: Engine = engine
        try:
            self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](
                input_size,
                hidden_size,
                num_layers=num_layers,
                bias=bias,
                batch_first=batch_first,
                dropout=dropout if num_layers > 1 else 0.0,
                bidirectional=bidirectional,
                **projection,
            )
        except ValueError as error:
            raise UserError(f"{cell}: {error}") from error
        self.block_cost = cost_of_a_block(engine, hidden_size)
        self.weight_drop, self.locked_dropout = weight_drop, locked_dropout
        if forget_bias:
            open_forget_gates(self.rnn, forget_bias)
        if chrono_init:
            spread_time_scales(self.rnn, chrono_init)
        if recurrent_init == "orthogonal":
            make_orthogonal(self.rnn)
        self.output_size = (proj_size or hidden_size) * (2 if bidirectional else 1)

    def forward(self, input: Tensor | PackedSequence, state: LSTMState | None = None) -> LSTMOutput:
        """Run over whole sequences.

        Args:
            input: (T, B, I), (B, T, I) with ``batch_first``, or packed (tokens, I).
            state: h (L * D, B, O) and c (L * D, B, H), in the order of the batch; zeros when not given.
        """
        if isinstance(input, PackedSequence) and (self._regularised() or self._in_blocks(input.data)):
            return self._forward_blocks(input, state)
        if isinstance(input, Tensor) and self._regularised():
            return self._forward_packed(input, state)
        first = None if state is None else state.h if state.c is None else (state.h, state.c)
        output, last = self.rnn(input, first)
        h_n, c_n = last if self.cell == "lstm" else (last, None)
        return LSTMOutput(output, h_n, c_n)

    def _regularised(self) -> bool:
        """Say whether this call drops what ``nn.LSTM`` cannot drop."""
        return self.training and bool(self.weight_drop or (self.locked_dropout and self.rnn.dropout))

    def _forward_packed(self, input: Tensor, state: LSTMState | None) -> LSTMOutput:
        """Run a Tensor as packed rows of one length."""
        alone = input.dim() == 2  # one row without a batch axis
        time = 1 if self.rnn.batch_first and not alone else 0
        steps = input.unsqueeze(1) if alone else input.transpose(0, time)  # (T, B, I)
        packed = PackedSequence(steps.flatten(0, 1), torch.full((len(steps),), steps.shape[1]))
        if alone and state is not None:
            state = LSTMState(*(None if part is None else part.unsqueeze(1) for part in state))  # pyright: ignore
        ran = self._forward_blocks(packed, state)
        output = ran.output.data.unflatten(0, steps.shape[:2])
        if alone:
            return LSTMOutput(output.squeeze(1), ran.h_n.squeeze(1), None if ran.c_n is None else ran.c_n.squeeze(1))
        return LSTMOutput(output.transpose(0, time), ran.h_n, ran.c_n)

    def _in_blocks(self, data: Tensor) -> bool:
        return data.device.type == "cpu" if self.engine == "auto" else self.engine != "packed"

    def _forward_blocks(self, packed: PackedSequence, state: LSTMState | None) -> LSTMOutput:
        """Layer after layer and direction after direction, each over dense blocks of steps."""
        if packed.batch_sizes[0] == packed.batch_sizes[-1] and not self._regularised():
            return self._forward_dense(packed, state)
        rnn, data = self.rnn, packed.data
        directions = 2 if rnn.bidirectional else 1
        layout = lay_out(packed.batch_sizes, self.block_cost)
        turned = reversal(packed) if directions == 2 else None
        holds = self.cell == "lstm"
        first = self._first_state(packed, state)
        finals: list[list[Tensor]] = []  # [h] or [h, c] of a layer and direction
        for layer in range(rnn.num_layers):
            outputs = []
            for direction in range(directions):
                index = layer * directions + direction
                weights = list(rnn.all_weights[index])  # W_ih, W_hh, then biases and projection
                weights[1] = dropout(weights[1], self.weight_drop, self.training)
                if holds and layout.places is not None:
                    weights = [holding(weights[0]), *weights[1:]]
                given = [s[index : index + 1] for s in first]
                read = data.index_select(0, turned) if direction and turned is not None else data
                output, final = run_blocks(read, layout, given, partial(self._dense, weights), holds)
                outputs.append(output.index_select(0, turned) if direction and turned is not None else output)
                finals.append(final)
            data = torch.cat(outputs, dim=-1) if directions == 2 else outputs[0]  # (tokens, D * O)
            if rnn.dropout and layer < rnn.num_layers - 1:
                between = SequenceDropout(rnn.dropout, locked=self.locked_dropout).train(self.training)
                data = between(with_data(packed, data)).data
        last = [torch.cat(parts) for parts in zip(*finals, strict=True)]  # each (L * D, B, O or H)
        if packed.unsorted_indices is not None:
            last = [part[:, packed.unsorted_indices] for part in last]
        return LSTMOutput(with_data(packed, data), last[0], last[1] if self.cell == "lstm" else None)

    def _forward_dense(self, packed: PackedSequence, state: LSTMState | None) -> LSTMOutput:
        """Run packed rows of one length as the Tensor that they are: one call for all layers and directions."""
        first = None if state is None else tuple(self._first_state(packed, state))
        time = 1 if self.rnn.batch_first else 0
        steps = packed.data.unflatten(0, (-1, int(packed.batch_sizes[0]))).transpose(0, time)
        output, last = self.rnn(steps, first if first is None or self.cell == "lstm" else first[0])
        last = last if self.cell == "lstm" else [last]
        if packed.unsorted_indices is not None:
            last = [part[:, packed.unsorted_indices] for part in last]
        data = output.transpose(0, time).flatten(0, 1)
        return LSTMOutput(with_data(packed, data), last[0], last[1] if self.cell == "lstm" else None)

    def _first_state(self, packed: PackedSequence, state: LSTMState | None) -> list[Tensor]:
        """Return h_0, and c_0 for an LSTM, in the packed order: each (L * D, B, size)."""
        rnn, batch = self.rnn, int(packed.batch_sizes[0])
        rnn.check_input(packed.data, packed.batch_sizes)
        number = rnn.num_layers * (2 if rnn.bidirectional else 1)
        sizes = [rnn.proj_size or rnn.hidden_size] + [rnn.hidden_size] * (self.cell == "lstm")
        shapes = [(number, batch, size) for size in sizes]
        if state is None:
            return [packed.data.new_zeros(shape) for shape in shapes]
        parts = [state.h] if state.c is None else [state.h, state.c]
        given = [tuple(part.shape) for part in parts]
        if given != shapes:  # the kernels below trust what they get
            raise RuntimeError(f"state: wanted shapes {shapes} for cell={self.cell}, got {given}.")
        if packed.sorted_indices is not None:
            parts = [part[:, packed.sorted_indices] for part in parts]
        return parts

    def _dense(self, weights: list[Tensor], input: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        """One layer, one direction, all rows of one length: what nn.LSTM calls, with the weights handed in."""
        options = (self.rnn.bias, 1, 0.0, self.training, False, False)
        if self.cell == "lstm":
            return torch.lstm(input, state, weights, *options)  # output, h, c
        kernel = torch.gru if self.cell == "gru" else torch.rnn_tanh
        return kernel(input, state[0], weights, *options)  # output, h
