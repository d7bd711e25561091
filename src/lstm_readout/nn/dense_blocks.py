"""``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` and its input go in, its results come out, computed by dense kernels.

Packed rows are cut into dense blocks of steps (``block_layout.py``), and each layer and direction runs over them. Where
a block is longer than a row, one extra input feature holds an LSTM's cell state once the row has ended: it closes the
input gate and opens the forget gate. h is read where the row ended.

Shapes: B rows, T steps, I features in, O features out, H hidden_size, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from lstm_readout.errors import UserError
from lstm_readout.nn.block_layout import Engine, Layout, lay_out
from lstm_readout.nn.dropout import SequenceDropout
from lstm_readout.nn.packed import reversal, with_data

State = list[Tensor]  # [h] of nn.GRU and nn.RNN, [h, c] of nn.LSTM
_Input = TypeVar("_Input", bound=Tensor | PackedSequence)
_Kernel = Callable[[Tensor, State], tuple[Tensor, ...]]  # (T, B, I) and h, (c) -> (T, B, O) and h, (c)
FirstState = Sequence[Tensor | None] | Tensor | None  # (h_0, c_0), an LSTMState, or h_0 of nn.GRU and nn.RNN
_HOLD = 1e30  # added to a gate: sigmoid gives exactly 1, of the negative exactly 0, whatever else adds up there
_HOLD_FLOAT16 = 3e4  # which has no larger numbers


class ExtraDropout(NamedTuple):
    """What is dropped in training that PyTorch's own call cannot drop; see ``LSTM``."""

    weight_drop: float
    locked: bool  # the dropout between layers


class Unscripted(nn.Module):
    """A module that ``torch.jit.script`` refuses in words: TorchScript has no packed rows and no choice of engine."""

    def __prepare_scriptable__(self) -> nn.Module:  # torch.jit.script calls it first
        raise UserError(
            f"torch.jit.script: {type(self).__name__} cannot be compiled. Use torch.compile, torch.export or "
            "torch.jit.trace, or script its plain torch module: torch.jit.script(lstm.rnn)."
        )


def runs_in_blocks(engine: Engine, input: Tensor | PackedSequence, rnn: nn.Module) -> bool:
    """Say whether the engine runs this input in dense blocks: not a Tensor, nor by a quantised module."""
    if isinstance(input, Tensor) or not isinstance(rnn, nn.RNNBase):
        return False
    return input.data.device.type == "cpu" if engine == "auto" else engine != "packed"


def run_torch(rnn: nn.Module, input: _Input, state: FirstState) -> tuple[_Input, State]:
    """Call ``rnn`` itself: output, and [h_n] or [h_n, c_n]."""
    # cuDNN refuses a state that is a slice of a larger one
    parts = None if state is None else tuple(part.contiguous() for part in _parts_of(rnn, state))
    output, last = rnn(input, parts[0] if parts is not None and len(parts) == 1 else parts)
    return output, [last] if isinstance(last, Tensor) else list(last)


def _parts_of(rnn: nn.Module, state: FirstState) -> State:
    """Return [h_0], or [h_0, c_0]; raise ``UserError`` for h_0 alone where there is a c_0 too."""
    if not isinstance(state, Tensor):
        return [part for part in state or () if part is not None]
    if isinstance(rnn, nn.GRU | nn.RNN):
        return [state]
    raise UserError("state: wanted (h_0, c_0), got one Tensor. Pass a tuple, as to nn.LSTM, or LSTMState(h, c).")


def run_blocks(
    rnn: nn.RNNBase,
    input: Tensor | PackedSequence,
    state: FirstState,
    block_cost: float,
    extra: ExtraDropout | None = None,
) -> tuple[Tensor | PackedSequence, State]:
    """Return what ``run_torch`` does, computed in dense blocks.

    Args:
        rnn: the module, which gives sizes, weights and its dropout between layers.
        input: packed (tokens, I), or a Tensor (T, B, I), (B, T, I) with ``batch_first``, or (T, I) of one row.
        state: h (L * D, B, O) and c (L * D, B, H), in the order of the batch; None: zeros.
        block_cost: see ``lay_out``.
        extra: dropout of this call.

    Raises:
        RuntimeError: for a state of another shape.
        UserError: for h_0 alone where there is a c_0 too.
    """
    parts = None if state is None else _parts_of(rnn, state)
    if isinstance(input, PackedSequence):
        return _run_packed(rnn, input, parts, block_cost, extra)
    no_batch = input.dim() == 2
    time = 1 if rnn.batch_first and not no_batch else 0
    steps = input.unsqueeze(1) if no_batch else input.transpose(0, time)  # (T, B, I)
    packed = PackedSequence(steps.flatten(0, 1), torch.full((len(steps),), steps.shape[1]))
    if no_batch and parts is not None:
        parts = [part.unsqueeze(1) for part in parts]
    packed_output, last = _run_packed(rnn, packed, parts, block_cost, extra)
    output = packed_output.data.unflatten(0, steps.shape[:2])
    if no_batch:
        return output.squeeze(1), [part.squeeze(1) for part in last]
    return output.transpose(0, time), last


def _run_packed(
    rnn: nn.RNNBase, packed: PackedSequence, state: State | None, block_cost: float, extra: ExtraDropout | None
) -> tuple[PackedSequence, State]:
    if packed.batch_sizes[0] == packed.batch_sizes[-1] and extra is None:
        data, last = _run_one_length(rnn, packed, state)
    else:
        data, last = _run_layers(rnn, packed, state, block_cost, extra)
    if packed.unsorted_indices is not None:
        last = [part[:, packed.unsorted_indices] for part in last]
    return with_data(packed, data), last


def _run_one_length(rnn: nn.RNNBase, packed: PackedSequence, state: State | None) -> tuple[Tensor, State]:
    """Run rows of equal length as one Tensor: one call for all layers and directions."""
    first = None if state is None else _first_state(rnn, packed, state)
    time = 1 if rnn.batch_first else 0
    steps = packed.data.unflatten(0, (-1, int(packed.batch_sizes[0]))).transpose(0, time)
    output, last = run_torch(rnn, steps, first)
    return output.transpose(0, time).flatten(0, 1), last


def _run_layers(
    rnn: nn.RNNBase, packed: PackedSequence, state: State | None, block_cost: float, extra: ExtraDropout | None
) -> tuple[Tensor, State]:
    """Run layer after layer, direction after direction: output (tokens, D * O), and the last state as packed."""
    first = _first_state(rnn, packed, state)
    layout = lay_out(packed.batch_sizes, block_cost).to(packed.data.device)
    orders = [None, reversal(packed)] if rnn.bidirectional else [None]
    holds = isinstance(rnn, nn.LSTM) and layout.places is not None
    data, finals = packed.data, list[State]()  # finals: of each layer and direction
    for layer in range(rnn.num_layers):
        if layer and rnn.dropout:
            between = SequenceDropout(rnn.dropout, locked=extra is not None and extra.locked).train(rnn.training)
            data = between(with_data(packed, data)).data
        outputs = []
        for order in orders:
            index = len(finals)
            weights = _weights(rnn, index, extra, holds)
            own = [part[index : index + 1] for part in first]
            turned = data if order is None else data.index_select(0, order)
            output, final = _run_layer(turned, layout, own, partial(_dense, rnn, weights), holds)
            outputs.append(output if order is None else output.index_select(0, order))
            finals.append(final)
        data = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)  # (tokens, D * O)
    return data, [torch.cat(parts) for parts in zip(*finals, strict=True)]  # each (L * D, B, O or H)


def _run_layer(data: Tensor, layout: Layout, state: State, kernel: _Kernel, holds: bool) -> tuple[Tensor, State]:
    """Run one layer in one direction.

    Args:
        data: (tokens, I), in the order in which the steps run.
        layout: its blocks.
        state: h (1, B, O), and c (1, B, H) for an LSTM.
        kernel: the dense kernel; it gets (T, B, I + 1) where ``holds``.
        holds: whether there is padding and a cell state to hold through it.

    Returns:
        output (tokens, O), and the state of each row at its own last step.
    """
    places = layout.places
    if places is not None:
        total = sum(row * step for row, step in zip(layout.rows, layout.steps, strict=True))
        blocks = data.new_zeros(total, data.shape[1] + holds)
        if holds:
            blocks[:, -1] = 1
            data = torch.cat((data, data.new_zeros(len(data), 1)), dim=1)
        data = blocks.index_copy(0, places, data)
    outputs, ended = [], []
    # split, not slices: the gradient of a split is one concatenation, that of a slice a full-size zero tensor
    blocks = data.split([row * step for row, step in zip(layout.rows, layout.steps, strict=True)])
    for block, row, step, last in zip(blocks, layout.rows, layout.steps, layout.last, strict=True):
        if row < state[0].shape[1]:
            parts = [s.split([row, s.shape[1] - row], dim=1) for s in state]
            ended.append([rest for _, rest in parts])
            state = [alive for alive, _ in parts]
        output, *state = kernel(block.view(step, row, -1), state)
        if last is not None:
            state[0] = output[last, torch.arange(row, device=last.device)].unsqueeze(0)
        outputs.append(output.flatten(0, 1))
    ended.append(state)
    output = torch.cat(outputs)
    if places is not None:
        output = output.index_select(0, places)
    return output, [torch.cat(parts, dim=1) for parts in zip(*reversed(ended), strict=True)]


def _first_state(rnn: nn.RNNBase, packed: PackedSequence, state: State | None) -> State:
    """Return h_0, and c_0 for an LSTM, in the packed order: each (L * D, B, size)."""
    rnn.check_input(packed.data, packed.batch_sizes)
    number = rnn.num_layers * (2 if rnn.bidirectional else 1)
    sizes = [rnn.proj_size or rnn.hidden_size] + [rnn.hidden_size] * isinstance(rnn, nn.LSTM)
    shapes = [(number, int(packed.batch_sizes[0]), size) for size in sizes]
    if state is None:
        return [packed.data.new_zeros(shape) for shape in shapes]
    got = [tuple(part.shape) for part in state]
    if got != shapes:  # the kernels below do not check it
        cell = type(rnn).__name__.lower()
        raise RuntimeError(f"state: wanted shapes {shapes} for cell={cell}, got {got}.")
    if packed.sorted_indices is not None:
        state = [part[:, packed.sorted_indices] for part in state]
    return state


def _weights(rnn: nn.RNNBase, index: int, extra: ExtraDropout | None, holds: bool) -> list[Tensor]:
    """Return W_ih, W_hh, then biases and projection, of one layer and direction, as this call uses them."""
    weights: list[Tensor] = list(rnn.all_weights[index])
    if extra is not None:
        weights[1] = dropout(weights[1], extra.weight_drop)
    if holds:  # one more column, which holds the cell state: (4H, I + 1)
        column = weights[0].new_zeros(4, rnn.hidden_size)  # PyTorch's order: input, forget, cell, output
        computes_in = (weights[0].detach()[:1, :1] @ column[:1, :1]).dtype  # autocast may choose another
        hold = _HOLD_FLOAT16 if computes_in == torch.float16 else _HOLD
        column[0], column[1] = -hold, hold
        weights[0] = torch.cat((weights[0], column.view(-1, 1)), dim=1)
    return weights


def _dense(rnn: nn.RNNBase, weights: list[Tensor], input: Tensor, state: State) -> tuple[Tensor, ...]:
    """Run one layer, one direction, rows of equal length: what ``rnn`` calls, with the weights passed in."""
    options = (rnn.bias, 1, 0.0, rnn.training, False, False)
    if isinstance(rnn, nn.LSTM):
        return torch.lstm(input, state, weights, *options)  # output, h, c
    kernel = torch.gru if isinstance(rnn, nn.GRU) else torch.rnn_tanh
    return kernel(input, state[0], weights, *options)  # output, h
