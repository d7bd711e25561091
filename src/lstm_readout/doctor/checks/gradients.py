"""Checks by gradients: a weight without one belongs to a layer, direction or option that is not read."""

from __future__ import annotations

from torch import Tensor, nn

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, skipped, warned
from lstm_readout.doctor.checks.rows import LEAKS

_MOST_NAMED = 4

Gradients = dict[Tensor, Tensor | None]


def _layers(examination: Examination) -> Verdict:
    layers = [(name, layer) for name, layer in examination.subject.layers() if layer.num_layers > 1]
    if not layers:
        return skipped("no nn.LSTM, nn.GRU or nn.RNN with several layers")
    gradients = examination.subject.gradients(examination.even, examination.subject.recurrent_weights())
    for name, layer in layers:
        top = layer.num_layers - 1
        halves = [""] + ["_reverse"] * layer.bidirectional
        read = [k for k in (0, top) if any(_flows(layer, f"weight_ih_l{k}{half}", gradients) for half in halves)]
        if read == [0]:
            return failed(f"{name}: no gradient reaches layer {top}, the top one; the first one is read")
    return passed("the top layer is read")


def _directions(examination: Examination) -> Verdict:
    layers = [(name, layer) for name, layer in examination.subject.layers() if layer.bidirectional]
    if not layers:
        return skipped("no bidirectional nn.LSTM, nn.GRU or nn.RNN")
    if examination.even.ids.shape[1] < 2:
        return skipped("no row of two tokens")
    gradients = examination.subject.gradients(examination.even, examination.subject.recurrent_weights())
    for name, layer in layers:
        top = layer.num_layers - 1
        halves = {"forward": f"l{top}", "backward": f"l{top}_reverse"}
        read = [half for half, suffix in halves.items() if _flows(layer, f"weight_ih_{suffix}", gradients)]
        if len(read) == 1:
            return failed(f"{name}: only the {read[0]} half of the top layer is read")
        short = [half for half in read if not _flows(layer, f"weight_hh_{halves[half]}", gradients)]
        if short:  # from a zero state, a single token leaves weight_hh without a gradient
            half = " and the ".join(short)
            return failed(f"{name}: where it is read, the {half} half of the top layer has read only one token")
    return passed("both halves have read every token")


def _gradients(examination: Examination) -> Verdict:
    names: dict[Tensor, str] = {parameter: name for name, parameter in examination.subject.module.named_parameters()}
    if not names:
        return skipped("no parameters")
    if examination.rows.ids.shape[1] < 2:
        return skipped("no row of two tokens")
    trained = [parameter for parameter in names if parameter.requires_grad]
    gradients = examination.subject.gradients(examination.long, trained)
    frozen = [name for parameter, name in names.items() if not parameter.requires_grad]
    unused = [names[parameter] for parameter, gradient in gradients.items() if not _any(gradient)]
    parts = [f"{word}: {_list(some)}" for word, some in (("not used", unused), ("frozen", frozen)) if some]
    return warned("; ".join(parts)) if parts else passed(f"{len(names)} parameters")


def _dropout(examination: Examination) -> Verdict:
    subject = examination.subject
    subject.fresh()
    idle = [(name, layer) for name, layer in subject.layers() if layer.dropout and layer.num_layers == 1]
    if idle:
        name, layer = idle[0]
        return warned(f"{name}: dropout={layer.dropout} sits between layers, and there is only one layer")
    modules = dict(subject.module.named_modules())
    droppers = {name: part.p for name, part in modules.items() if isinstance(part, nn.modules.dropout._DropoutNd)}
    droppers |= {name: layer.dropout for name, layer in subject.layers()}
    asked = [name for name, rate in droppers.items() if rate]
    for name in asked:
        undropped, dropped = (_with_rate(examination, modules[name], rate) for rate in (0.0, 0.5))
        if examination.moved(undropped, dropped, examination.even.lengths).max() == 0:
            return warned(f"{name}: its dropout changes nothing in train mode")
    return passed(f"{len(asked)} active") if asked else skipped("no dropout")


def _with_rate(examination: Examination, part: nn.Module, rate: float) -> Tensor:
    """Return the logits in train mode with this dropout rate and the same seed."""
    examination.subject.fresh()
    setattr(part, "dropout" if isinstance(part, nn.RNNBase) else "p", rate)
    return examination.subject.logits(examination.even, fresh=False, train=True)


def _flows(layer: nn.RNNBase, name: str, gradients: Gradients) -> bool:
    """Return whether a gradient reaches the parameter; True if the layer has none of that name (weight norm)."""
    parameter = layer._parameters.get(name)
    return parameter is None or _any(gradients.get(parameter))


def _any(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def _list(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" * (len(names) > _MOST_NAMED))


LAYERS = Check(
    "layers",
    "took the gradient of the logits with respect to the weights of each layer",
    "it reaches the top layer",
    "h_n[-1] is the top layer (h_n[-2] and h_n[-1] with two directions); h_n[0] is the first one.",
    _layers,
    LEAKS,
)
DIRECTIONS = Check(
    "directions",
    "took the gradient of the logits with respect to both directions of the top layer",
    "it reaches both, and their recurrent weights: each half is read after all of its steps",
    "torch.cat((h_n[-2], h_n[-1]), dim=-1): the forward half after the last token, the backward half after the first. "
    "In output[:, -1] the backward half has read one token; h_n[-1] alone is the backward half.",
    _directions,
    (*LEAKS, "layers"),
)
GRADIENTS = Check(
    "gradients",
    "took the gradient of the logits with respect to every parameter",
    "it reaches the embedding and all the others",
    "Use the parameter in forward, or drop it. Frozen on purpose: nothing to do.",
    _gradients,
    (*LEAKS, "layers", "directions", "ends", "steps", "source_directions", "source_ends"),
)
DROPOUT = Check(
    "dropout",
    "called the module in train mode with and without each dropout that is set",
    "the logits change",
    "nn.LSTM's dropout needs num_layers > 1; otherwise use nn.Dropout on its input or output. A layer created in "
    "__init__ must be called in forward.",
    _dropout,
    ("logits", "random"),
)
