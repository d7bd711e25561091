"""One step of a language model with nothing wasted: token ids and a state go in, scores and the next state come out.

Shapes: N rows, V vocabulary size, L num_layers, O = proj_size or H, H hidden_size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstm_readout.errors import UserError
from lstm_readout.inference.decoding.cells import Cell, Given, GRUCell, LSTMCell, MakeProduct, RNNCell
from lstm_readout.inference.decoding.products import FloatProduct, Int8Product
from lstm_readout.models.attentive_decoder import AttentiveDecoder, AttentiveState
from lstm_readout.models.generate import LanguageModel
from lstm_readout.nn.encoder import Encoder
from lstm_readout.nn.lstm import LSTM, LSTMState
from lstm_readout.tokenizer import BOS, UNK

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
CELLS = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}


class Stepper:
    """``LanguageModel.step`` for many steps of one model, without a graph and without dropout.

    The numbers are those of ``model.step`` to float rounding, several times faster on CPU: a call of ``nn.LSTM`` for
    one step lays its weights out anew each time, which here happens once; the input's product of layer 0 is looked up;
    and the gates take as few calls as they can. Other devices, and models that compute otherwise than
    ``LanguageModel``, take ``model.step`` itself.

    Of an ``AttentiveDecoder`` the cells are laid out likewise; attention itself is the model's, in float.

    What it lays out it keeps: after a change of the weights, build another one.

    Args:
        model: the language model.
        int8: quantise the recurrent weights and a linear head; see ``Int8Product``. Embedding, biases and an adaptive
            softmax stay float.

    Raises:
        UserError: ``int8`` where the model, its device, torch or the processor cannot.
    """

    def __init__(self, model: LanguageModel, *, int8: bool = False) -> None:
        self.model, self.int8 = model, int8
        self.cells: list[Cell] | None = None
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        make = Int8Product if int8 else FloatProduct
        if not _is_plain(model):
            if int8:
                told = f"int8=true: a {type(model).__name__} computes its steps itself, and cannot be quantised here. "
                raise UserError(told + "Set int8=false.")
            return
        if not int8 and (self.device.type != "cpu" or self.dtype not in (torch.float32, torch.float64)):
            return
        with torch.no_grad():
            head = model.head
            self.head = make(head.weight, head.bias) if type(head) is nn.Linear else torch.no_grad()(head.forward)
            self.cells = [_cell(model.encoder, layer, make) for layer in range(model.encoder.lstm.rnn.num_layers)]

    def __call__(self, token_ids: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """Score what follows one more token a row: ids (N,) -> logits (N, V), and the state to go on from."""
        if self.cells is None:
            with torch.no_grad():
                return self.model.step(token_ids, state)
        state = self.first_state(len(token_ids)) if state is None else state
        fed = state.fed if isinstance(state, AttentiveState) else None
        x: Given = token_ids if fed is None else (token_ids, fed)
        steps: list[tuple[Tensor, Tensor | None]] = []
        for layer, cell in enumerate(self.cells):
            x, c = cell(x, state.h[layer], None if state.c is None else state.c[layer])
            steps.append((x, c))
        last = _stacked(steps)
        if isinstance(state, AttentiveState):
            assert isinstance(self.model, AttentiveDecoder)
            with torch.no_grad():
                x = self.model.attention(x, state.grid(), state.memory)
            last = state.after(last, x)
        return self.head(x), last

    def fit(self, state: LSTMState) -> LSTMState:
        """Return the state in the precision of the steps: an encoder under autocast gives another."""
        if isinstance(state, AttentiveState):
            return state.to(self.dtype)
        return LSTMState(state.h.to(self.dtype), None if state.c is None else state.c.to(self.dtype))

    def first_state(self, batch: int) -> LSTMState:
        """Return zeros, from which a text starts: h (L, N, O), c (L, N, H)."""
        rnn = self.model.encoder.lstm.rnn
        sizes = [rnn.proj_size or rnn.hidden_size] + [rnn.hidden_size] * (self.model.encoder.lstm.cell == "lstm")
        zeros = [torch.zeros(rnn.num_layers, batch, size, dtype=self.dtype, device=self.device) for size in sizes]
        return LSTMState(*zeros)


def _cell(encoder: Encoder, layer: int, make: MakeProduct) -> Cell:
    rnn = encoder.lstm.rnn
    found = {name: getattr(rnn, f"{name}_l{layer}", None) for name in WEIGHTS}
    weights = {name: weight.detach() for name, weight in found.items() if weight is not None}
    return CELLS[encoder.lstm.cell](weights, None if layer else encoder.embedding.weight.detach(), make)


def _is_plain(model: LanguageModel) -> bool:
    """Say whether the model computes what ``Stepper`` does: nothing overridden, nothing hooked on."""
    reads = (LanguageModel.read, AttentiveDecoder.read)
    own = type(model).forward is LanguageModel.forward and type(model).step is LanguageModel.step
    own = own and type(model).read in reads
    encoder = model.encoder
    types = (type(encoder), type(encoder.embedding), type(encoder.lstm)) == (Encoder, nn.Embedding, LSTM)
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    rnn = encoder.lstm.rnn
    return own and types and not hooked and not (isinstance(rnn, nn.RNN) and rnn.nonlinearity != "tanh")


def _stacked(steps: list[tuple[Tensor, Tensor | None]]) -> LSTMState:
    """Put the layers' h (N, O) and c (N, H) together: (L, N, O), (L, N, H)."""
    if len(steps) == 1:
        h, c = steps[0]
        return LSTMState(h.unsqueeze(0), None if c is None else c.unsqueeze(0))
    h = torch.stack([h for h, _ in steps])
    return LSTMState(h, None if steps[0][1] is None else torch.stack([c for _, c in steps if c is not None]))


def forbid(scores: Tensor) -> Tensor:
    """Make ``<unk>`` and ``<bos>``, which no text holds, impossible in (..., V), in place."""
    scores[..., UNK] = scores[..., BOS] = -torch.inf
    return scores
