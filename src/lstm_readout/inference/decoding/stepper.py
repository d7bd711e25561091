"""One step of a language model without overhead: token ids and a state go in, scores and the next state come out.

Shapes: N rows, V vocabulary size, L num_layers, O = proj_size or H, H hidden_size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.cells import Cell, GRUCell, Input, LSTMCell, MakeProduct, RNNCell
from lstm_readout.inference.decoding.products import FloatProduct, Int8Product
from lstm_readout.models.attentive_decoder import DecoderWithMemory
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.decoder_state import DecoderState, with_memory
from lstm_readout.nn.encoder import Encoder
from lstm_readout.nn.lstm import LSTM, LSTMState
from lstm_readout.tokenizer import BOS, UNK

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_CELLS = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}


class Stepper:
    """``LanguageModel.step`` for many steps of one model, without a graph and without dropout.

    The numbers are those of ``model.step`` to float rounding, computed several times faster on CPU: a call of
    ``nn.LSTM`` for one step lays out its weights again each time, which happens once here; the input's product of layer
    0 is looked up; and the gates take as few calls as they can. On other devices, and for models that do not compute
    what ``LanguageModel`` computes, ``model.step`` itself is called.

    For a ``DecoderWithMemory`` the cells are laid out in the same way; its memory is read by the model's own layer, in
    float.

    A stepper does not see later changes of the weights: build a new one after a change.

    Args:
        model: the language model.
        int8: quantise the recurrent weights and a linear head; see ``Int8Product``. Embedding, biases and an adaptive
            softmax stay float.

    Raises:
        UserError: for ``int8`` that the model, its device, torch or the processor does not support.
    """

    def __init__(self, model: LanguageModel, *, int8: bool = False) -> None:
        self.model, self.int8 = model, int8
        self.reader = model.attention if isinstance(model, DecoderWithMemory) else None
        self.cells: list[Cell] | None = None
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        make = Int8Product if int8 else FloatProduct
        if not _is_plain(model):
            if int8:
                raise UserError(
                    f"int8=true: a {type(model).__name__} computes its steps itself, and cannot be quantised here. "
                    "Set int8=false."
                )
            return
        if not int8 and (self.device.type != "cpu" or self.dtype not in (torch.float32, torch.float64)):
            return
        with torch.no_grad():
            head = model.head
            self.head = make(head.weight, head.bias) if type(head) is nn.Linear else torch.no_grad()(head.forward)
            self.cells = [_cell(model.encoder, layer, make) for layer in range(model.encoder.lstm.rnn.num_layers)]

    def __call__(self, token_ids: Tensor, state: DecoderState | None = None) -> tuple[Tensor, DecoderState]:
        """Score what follows one more token per row: ids (N,) -> logits (N, V), and the state to continue from."""
        if self.cells is None:
            with torch.no_grad():
                return self.model.step(token_ids, state)
        source = None if self.reader is None else with_memory(state)
        first = self.first_state(len(token_ids)) if state is None else state
        parts = [first.h] if first.c is None else [first.h, first.c]
        x: Input = token_ids if source is None or source.fed is None else (token_ids, source.fed)
        steps: list[list[Tensor]] = []
        for layer, cell in enumerate(self.cells):
            steps.append(cell(x, [part[layer] for part in parts]))
            x = steps[-1][0]
        last = _stacked(steps)
        if self.reader is None or source is None:
            return self.head(x), last
        with torch.no_grad():
            x = self.reader(x, source.grid(), source.memory)
        return self.head(x), source.after(last, x)

    def fit(self, state: DecoderState) -> DecoderState:
        """Return the state in the precision of the steps: an encoder under autocast returns another."""
        return state.to(self.dtype)

    def read(self, rows: Sequence[Tensor]) -> DecoderState:
        """Return the state after whole rows of token ids, each (tokens,); an empty row leaves zeros."""
        state, longer = self.first_state(len(rows)), [place for place, row in enumerate(rows) if len(row)]
        if longer:
            read = self.fit(self.model.encoder(pack_sequence([rows[k] for k in longer], enforce_sorted=False)).state)
            index = torch.tensor(longer, device=self.device)
            state.h[:, index] = read.h
            if state.c is not None and read.c is not None:
                state.c[:, index] = read.c
        return state

    def first_state(self, batch: int) -> LSTMState:
        """Return zeros, from which a text starts: h (L, N, O), c (L, N, H)."""
        rnn = self.model.encoder.lstm.rnn
        sizes = [rnn.proj_size or rnn.hidden_size] + [rnn.hidden_size] * (self.model.encoder.lstm.cell == "lstm")
        zeros = [torch.zeros(rnn.num_layers, batch, size, dtype=self.dtype, device=self.device) for size in sizes]
        return LSTMState(*zeros)


def _cell(encoder: Encoder, layer: int, make: MakeProduct) -> Cell:
    rnn = encoder.lstm.rnn
    parameters = {name: getattr(rnn, f"{name}_l{layer}", None) for name in _WEIGHTS}
    weights = {name: weight.detach() for name, weight in parameters.items() if weight is not None}
    return _CELLS[encoder.lstm.cell](weights, None if layer else encoder.embedding.weight.detach(), make)


def _is_plain(model: LanguageModel) -> bool:
    """Say whether the model computes what ``Stepper`` does: no method overridden, no hook registered."""
    own = type(model).forward is LanguageModel.forward and type(model).step is LanguageModel.step
    own = own and type(model).read in (LanguageModel.read, DecoderWithMemory.read)
    encoder = model.encoder
    types = (type(encoder), type(encoder.embedding), type(encoder.lstm)) == (Encoder, nn.Embedding, LSTM)
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    rnn = encoder.lstm.rnn
    return own and types and not hooked and not (isinstance(rnn, nn.RNN) and rnn.nonlinearity != "tanh")


def _stacked(steps: list[list[Tensor]]) -> LSTMState:
    """Stack the layers' h (N, O) and c (N, H): (L, N, O), (L, N, H)."""
    if len(steps) == 1:
        return LSTMState(*[part.unsqueeze(0) for part in steps[0]])
    return LSTMState(*(torch.stack(parts) for parts in zip(*steps, strict=True)))


def forbid(scores: Tensor) -> Tensor:
    """Make ``<unk>`` and ``<bos>``, which are in no text, impossible in (..., V), in place."""
    scores[..., UNK] = scores[..., BOS] = -torch.inf
    return scores
