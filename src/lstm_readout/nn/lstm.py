"""The LSTM and its results: token vectors go in, ``LSTMOutput(output, h_n, c_n)`` comes out.

``output`` is the top layer at every step; ``h_n`` and ``c_n`` are every layer at the last real step.
Which of them a task reads is one line in its model::

    each_token(self.head, lstm.output)                          # generate:  every step predicts the next token
    self.decoder(target_ids, self.encoder(source_ids).state)    # translate: the whole state is the message
    self.head(lstm.h_n[-1])                                     # classify:  one vector for one document

Shapes: B rows, T steps, I input_size, H hidden_size, O = proj_size or H, L num_layers, D directions (1 or 2).
"""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple, TypedDict, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.nn.block_layout import Engine, cost_of_a_block
from lstm_readout.nn.dense_blocks import ExtraDropout, FirstState, Unscripted, run_blocks, run_torch, runs_in_blocks
from lstm_readout.nn.init import make_orthogonal, open_forget_gates, spread_time_scales

Cell = Literal["lstm", "gru", "rnn"]
RecurrentInit = Literal["uniform", "orthogonal"]


class LSTMState(NamedTuple):
    """What an LSTM remembers between steps: (h_0, c_0) when it goes in, (h_n, c_n) when it comes out."""

    h: Tensor  # (L * D, B, O): layer 0 forward, layer 0 backward, layer 1 forward, ...
    c: Tensor | None = None  # (L * D, B, H); None for gru and rnn, which have no cell state

    def detach(self) -> LSTMState:
        """Return the same numbers without their graph, to carry into the next window."""
        return LSTMState(self.h.detach(), None if self.c is None else self.c.detach())

    def to(self, dtype: torch.dtype) -> LSTMState:
        """Return the same numbers in another precision."""
        return LSTMState(self.h.to(dtype), None if self.c is None else self.c.to(dtype))

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


class LSTMArguments(TypedDict, total=False):
    """The keyword arguments of ``LSTM``, for a module that passes them on: ``**lstm: Unpack[LSTMArguments]``."""

    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    cell: Cell
    forget_bias: float
    chrono_init: float
    recurrent_init: RecurrentInit
    weight_drop: float
    locked_dropout: bool
    engine: Engine


class LSTM(Unscripted):
    """``torch.nn.LSTM`` with a named result, exact and fast on ragged batches.

    ``state_dict`` keys are PyTorch's, below ``rnn.``. gru has no forget gate, rnn no gate at all, and ``bias=False`` no
    bias: options for a part that is missing do nothing. With ``weight_drop`` or ``locked_dropout`` the model runs
    through dense blocks, layer after layer, on every device.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size: as in ``nn.LSTM``.
        cell: ``lstm``, ``gru`` or ``rnn``: which of ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` runs.
        forget_bias: added to the bias of the forget gate (``init.py`` has formulas and sources).
        chrono_init: replaces ``forget_bias`` and gives each unit its own time scale, up to this many steps; 0: off.
        recurrent_init: ``orthogonal`` makes the recurrent matrix of each gate orthogonal; ``uniform`` is PyTorch's
            default.
        weight_drop: probability for each recurrent weight in training, one draw for all steps of a call (DropConnect;
            Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM Language Models", section 2).
        locked_dropout: ``dropout`` between layers draws one mask per row for all of its steps; see ``SequenceDropout``.
        engine: how a ``PackedSequence`` runs; the results are those of the packed call in every case.
            ``runs``: the steps that share one batch size are one dense block, without padding. ``padded``: one dense
            block. ``packed``: PyTorch's own packed call, whose CPU kernel is several times slower on long rows.
            ``auto``: on CPU the dense blocks that cost least (see ``block_layout.py``); elsewhere the packed call,
            which cuDNN runs well.

    Attributes:
        rnn: the ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``.
        output_size: D * O, width of ``output``.

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
        for name, value, valid in (
            ("cell", cell, get_args(Cell)),
            ("engine", engine, get_args(Engine)),
            ("recurrent_init", recurrent_init, get_args(RecurrentInit)),
        ):
            if value not in valid:
                raise UserError(f"{name}: there is no '{value}'. {did_you_mean(str(value), valid)}")
        if not 0 <= weight_drop < 1:
            raise UserError(f"weight_drop: wanted 0 or more and less than 1, got {weight_drop}.")
        if chrono_init and not chrono_init > 2:
            raise UserError(f"chrono_init: wanted 0 or more than 2 steps, got {chrono_init}.")
        if chrono_init and forget_bias:
            raise UserError(
                f"chrono_init={chrono_init} draws the forget gate's bias, and forget_bias={forget_bias} adds to it. "
                "Set forget_bias=0, or chrono_init=0."
            )
        if num_layers > 1000:  # building them would take all memory, or forever
            raise UserError(f"num_layers: wanted 1000 or fewer, got {num_layers}.")
        if proj_size and cell != "lstm":
            raise UserError(f"proj_size={proj_size}: only cell=lstm has a projection; cell is '{cell}'.")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} does nothing with num_layers=1: it acts between layers. "
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

    def forward(self, input: Tensor | PackedSequence, state: FirstState = None) -> LSTMOutput:
        """Run over whole sequences.

        Args:
            input: (T, B, I), (B, T, I) with ``batch_first``, or packed (tokens, I).
            state: (h (L * D, B, O), c (L * D, B, H)), in the order of the batch; h alone for gru and rnn; None: zeros.
        """
        drops = self.training and (self.weight_drop or (self.locked_dropout and self.rnn.dropout))
        extra = ExtraDropout(self.weight_drop, self.locked_dropout) if drops else None
        if extra is not None or runs_in_blocks(self.engine, input, self.rnn):
            output, last = run_blocks(self.rnn, input, state, self.block_cost, extra)
        else:
            output, last = run_torch(self.rnn, input, state)
        return LSTMOutput(output, last[0], last[1] if self.cell == "lstm" else None)
