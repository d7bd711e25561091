"""A model goes in; lines of plain PyTorch that compute the same logits come out, ready to copy.

Dropout between layers is nn.LSTM's own argument and stays; everything else that acts only in training is left out and
named.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from torch import nn

from lstm_readout.errors import UserError
from lstm_readout.explain.tensors import arguments_of
from lstm_readout.models.attentive_decoder import DecoderWithMemory
from lstm_readout.models.classify import Classifier
from lstm_readout.models.generate import LanguageModel
from lstm_readout.models.translate import Seq2Seq
from lstm_readout.nn.attention import Attention
from lstm_readout.nn.encoder import Encoder
from lstm_readout.nn.head import AdaptiveHead
from lstm_readout.nn.lstm import LSTM
from lstm_readout.nn.state_readout import StateReadout

WIDTH = 79


class Plain(NamedTuple):
    """Three blocks of Python that run one after another."""

    modules: str  # the layers with weights
    inputs: str  # stand-ins for your own token ids
    forward: str  # ends in ``logits``

    @property
    def code(self) -> str:
        """All of it."""
        return "\n\n".join((self.modules, self.inputs, self.forward)) + "\n"


def plain_of(model: nn.Module, lengths: list[list[int]]) -> Plain:
    """Return the lines for this model.

    Args:
        model: one from this package.
        lengths: real steps of each row, for each of its LSTMs.
    """
    if isinstance(model, Classifier):
        return _classifier(model, lengths[0])
    if isinstance(model, LanguageModel):
        return _language_model(model, lengths[0])
    if isinstance(model, Seq2Seq):
        return _translator(model, *lengths)
    raise UserError(f"there is no plain PyTorch for a {type(model).__name__}.")


def _classifier(model: Classifier, lengths: list[int]) -> Plain:
    lstm, readout = model.encoder.lstm, model.readout
    linears = [_linear(name, part) for name, part in _maps_of(readout)]
    modules = [*_encoder(model.encoder), _linear("head", model.head), *linears]
    forward = [
        "vectors = embedding(token_ids)",
        *_packed_call("lstm", lstm, "vectors", "lengths"),
        *([] if readout.output == "no step" else [_padded("output", lstm)]),
        *readout.plain_lines(),
        "logits = head(document)  # (batch, classes)",
    ]
    return _plain(modules, _ids("token_ids", "lengths", model.encoder, lengths), forward, model)


def _language_model(model: LanguageModel, lengths: list[int]) -> Plain:
    lstm = model.encoder.lstm
    forward = [
        "vectors = embedding(token_ids)",
        *_packed_call("lstm", lstm, "vectors", "lengths"),
        _padded("output", lstm),
        "# at step t: scores of the token of step t + 1",
        *_scores(model),
    ]
    modules = [*_encoder(model.encoder), *_head(model, "embedding")]
    return _plain(modules, _ids("token_ids", "lengths", model.encoder, lengths), forward, model)


def _translator(model: Seq2Seq, source_lengths: list[int], target_lengths: list[int]) -> Plain:
    source, target = model.encoder, model.decoder.encoder
    reads = model.decoder.attention if isinstance(model.decoder, DecoderWithMemory) else None
    modules = [
        *_encoder(source, "source_embedding", "encoder"),
        *_encoder(target, "target_embedding", "decoder"),
        *_head(model.decoder, "target_embedding"),
        *[line for name in ("h", "c") for line in _maps(f"bridge_{name}", getattr(model.bridge, name))],
        *[_linear(name, part) for name, part in _maps_of(reads)],
    ]
    inputs = [
        *_ids("source_ids", "source_lengths", source, source_lengths),
        *_ids("target_ids", "target_lengths", target, target_lengths),
    ]
    turned = []
    if model.encoder.reverse:
        row = "source_ids[b, :n]" if source.lstm.rnn.batch_first else "source_ids[:n, b]"
        first = ", batch_first=True" if source.lstm.rnn.batch_first else ""
        turned = [
            "# each source is read from its end",
            f"rows = [{row}.flip(0) for b, n in enumerate(source_lengths)]",
            f"source_ids = pad_sequence(rows{first})",
        ]
    state = "(h_0, c_0)" if target.lstm.cell == "lstm" else "h_0"
    forward = [
        *turned,
        "vectors = source_embedding(source_ids)",
        *_packed_call("encoder", source.lstm, "vectors", "source_lengths"),
        *(["memory, _ = pad_packed_sequence(output, batch_first=True)"] if model.attends else []),
        *_bridged(model),
        "vectors = target_embedding(target_ids)",
        *_packed_call("decoder", target.lstm, "vectors", "target_lengths", state),
        _padded("output", target.lstm),
        *(_attended(reads, target.lstm.rnn.batch_first) if isinstance(reads, Attention) else []),
        *(_state_read(target.lstm) if isinstance(reads, StateReadout) else []),
        *_scores(model.decoder),
    ]
    return _plain(modules, inputs, forward, model)


def _maps_of(reads: nn.Module | None) -> list[tuple[str, nn.Linear]]:
    """Return the linear layers of a module, by name."""
    named = () if reads is None else reads.named_children()
    return [(name, part) for name, part in named if isinstance(part, nn.Linear)]


def _state_read(lstm: LSTM) -> list[str]:
    """Return the lines from the decoder's ``output`` to h~ of a ``StateReadout``, under the same name."""
    whole = "torch.cat((h_0, c_0), dim=-1)" if lstm.cell == "lstm" else "h_0"
    return [
        "# the first state, all layers side by side, is read again at every step",
        f"first = {whole}.transpose(0, 1).flatten(1)",
        f"output = torch.tanh(state(first).unsqueeze({1 if lstm.rnn.batch_first else 0}) + query(output))",
    ]


def _attended(attention: Attention, batch_first: bool) -> list[str]:
    """Return the lines from the decoder's ``output`` to h~, under the same name."""
    keys = "memory" if attention.key is None else "key(memory)"
    scored = [f"scores = queries @ {keys}.transpose(1, 2)  # (batch, time, source time)"]
    if attention.name == "additive":
        scored = [
            f"sums = query(queries).unsqueeze(2) + {keys}.unsqueeze(1)",
            "scores = score(torch.tanh(sums)).squeeze(-1)  # (batch, time, source time)",
        ]
    return [
        "# attention: over the real steps of the source, at every step of the target",
        "queries = output" if batch_first else "queries = output.transpose(0, 1)",
        *scored,
        "real = torch.arange(memory.shape[1]) < source_lengths.unsqueeze(1)",
        'scores = scores.masked_fill(~real.unsqueeze(1), float("-inf"))',
        "context = scores.softmax(-1) @ memory",
        "output = torch.tanh(combine(torch.cat((context, queries), dim=-1)))",
        *([] if batch_first else ["output = output.transpose(0, 1)"]),
    ]


def _bridged(model: Seq2Seq) -> list[str]:
    """Return the lines from the encoder's state to the decoder's first state."""
    bridge, has_c = model.bridge, model.decoder.encoder.lstm.cell == "lstm"
    if not bridge.h:
        return ["h_0, c_0 = h_n, c_n" if has_c else "h_0 = h_n"]
    lines = []
    for letter, maps in (("h", bridge.h), ("c", bridge.c)):
        source = "c_n" if letter == "c" and model.encoder.lstm.cell == "lstm" else "h_n"
        parts = []
        for k, layer in enumerate(bridge.layers if maps else []):
            state = f"{source}[{layer}]"
            if bridge.directions == 2:
                state = f"torch.cat(({source}[{2 * layer}], {source}[{2 * layer + 1}]), dim=-1)"
            mapped = f"bridge_{letter}[{k}]({state})"
            parts.append(f"    torch.tanh({mapped})," if letter == "h" else f"    {mapped},")
        if parts:
            lines += [f"{letter}_0 = torch.stack((", *parts, "))  # (layers, batch, hidden)"]
    return lines


def _encoder(encoder: Encoder, embedding: str = "embedding", lstm: str = "lstm") -> list[str]:
    table, rnn = encoder.embedding, encoder.lstm.rnn
    parameters = arguments_of(rnn)
    call, arguments = f"{lstm} = nn.{encoder.lstm.cell.upper()}(", ", ".join(parameters)
    if len(call) + len(arguments) < WIDTH:
        built = [f"{call}{arguments})"]
    else:
        built = [call, *(f"    {argument}," for argument in parameters), ")"]
    return [f"{embedding} = nn.Embedding({table.num_embeddings}, {table.embedding_dim})", *built]


def _linear(name: str, linear: nn.Linear) -> str:
    bias = "" if linear.bias is not None else ", bias=False"
    return f"{name} = nn.Linear({linear.in_features}, {linear.out_features}{bias})"


def _head(model: LanguageModel, embedding: str) -> list[str]:
    head = model.head
    if isinstance(head, AdaptiveHead):
        shape = f"{head.in_features}, {head.out_features}, {head.softmax.cutoffs[:-1]}"
        return ["head = nn.AdaptiveLogSoftmaxWithLoss(", f"    {shape}", ")"]
    tied = [f"head.weight = {embedding}.weight"] if head.weight is model.encoder.embedding.weight else []
    return [_linear("head", head), *tied]


def _scores(model: LanguageModel) -> list[str]:
    shape = f"({_steps(model.encoder.lstm)}, vocabulary)"
    if isinstance(model.head, AdaptiveHead):  # takes rows only
        return [
            "scores = head.log_prob(output.flatten(0, 1))",
            f"logits = scores.unflatten(0, output.shape[:2])  # {shape}",
        ]
    return [f"logits = head(output)  # {shape}"]


def _maps(name: str, maps: nn.ModuleList) -> list[str]:
    if not maps:
        return []
    linears = [f"    nn.Linear({m.in_features}, {m.out_features})," for m in maps]
    return [f"{name} = nn.ModuleList([  # one per layer of the decoder", *linears, "])"]


def _packed_call(name: str, lstm: LSTM, vectors: str, lengths: str, state: str = "") -> list[str]:
    first = "    batch_first=True," if lstm.rnn.batch_first else ""
    result = "output, (h_n, c_n)" if lstm.cell == "lstm" else "output, h_n"
    return [
        "packed = pack_padded_sequence(",
        f"    {vectors}, {lengths}, enforce_sorted=False,{first.replace('    ', ' ')}",
        ")",
        f"{result} = {name}(packed{', ' + state if state else ''})",
    ]


def _padded(name: str, lstm: LSTM) -> str:
    return f"{name}, _ = pad_packed_sequence({name}{', batch_first=True' if lstm.rnn.batch_first else ''})"


def _steps(lstm: LSTM) -> str:
    return "batch, time" if lstm.rnn.batch_first else "time, batch"


def _ids(name: str, lengths_name: str, encoder: Encoder, lengths: list[int]) -> list[str]:
    first = encoder.lstm.rnn.batch_first
    sizes = (len(lengths), max(lengths)) if first else (max(lengths), len(lengths))
    given = textwrap.wrap(f"{lengths_name} = torch.tensor({lengths})", WIDTH, subsequent_indent="    ")
    return [
        *given,
        f"# ({_steps(encoder.lstm)}): your token ids, padded with any id",
        f"{name} = torch.randint({encoder.embedding.num_embeddings}, {sizes})",
    ]


def _plain(modules: list[str], inputs: list[str], forward: list[str], model: nn.Module) -> Plain:
    used = "\n".join(forward)
    imports = ["import torch", "from torch import nn"]
    for name in ("pack_padded_sequence", "pad_packed_sequence", "pad_sequence"):
        if f"{name}(" in used:
            imports.append(f"from torch.nn.utils.rnn import {name}")
    return Plain("\n".join([*imports, "", *modules, *_left_out(model)]), "\n".join(inputs), used)


def _left_out(model: nn.Module) -> list[str]:
    """Name the dropout that acts only in training and has no line here."""
    dropouts = {"output_dropout": 0.0, "input_dropout": 0.0, "word_dropout": 0.0}
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            dropouts["output_dropout"] = max(dropouts["output_dropout"], module.p)
        if isinstance(module, Encoder):
            dropouts["input_dropout"] = max(dropouts["input_dropout"], module.input_dropout.p)
            dropouts["word_dropout"] = max(dropouts["word_dropout"], module.word_dropout)
    rates = [f"{name}={rate}" for name, rate in dropouts.items() if rate]
    return [f"# left out, because they act only in training: {', '.join(rates)}"] if rates else []
