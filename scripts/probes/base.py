"""What all probes share: a model goes in, the doctor's findings and a check by hand come out, as JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_readout import doctor
from lstm_readout.doctor.report import Report

VOCABULARY = 50
FIRST_WORD = 5  # smaller ids are special in one framework or another
LENGTHS = (20, 11, 5, 12, 8, 17, 7, 3)  # tokens of each row


class Reader(NamedTuple):
    """A model that gives one vector of logits for each text."""

    model: nn.Module
    call: Callable[[nn.Module, Tensor, Tensor], Tensor]  # (model, token_ids, lengths) -> (batch, classes)
    padding: int  # the id that the framework pads with


class Translator(NamedTuple):
    """A model that gives logits at every step of the target."""

    model: nn.Module
    call: Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor]  # as doctor.check_translator's adaptor
    padding: int


def padded(padding: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return texts of random words, padded on the right: token_ids (batch, steps) and lengths (batch,)."""
    lengths = torch.tensor(LENGTHS)
    generator = torch.Generator().manual_seed(seed)
    token_ids = torch.randint(FIRST_WORD, VOCABULARY, (len(lengths), max(LENGTHS)), generator=generator)
    return token_ids.masked_fill(torch.arange(max(LENGTHS)) >= lengths.unsqueeze(1), padding), lengths


def findings(probe: Reader | Translator) -> dict[str, Any]:
    """Return what the doctor found, and by how much a row's logits differ without the padding of its batch.

    Returns:
        ``failed`` and ``warned`` name checks; ``layers`` the recurrent classes in the model; ``alone`` is the largest
        difference between the logits of a row in the padded batch and those of the same row by itself, relative to
        the largest logit.
    """
    probe.model.eval()
    report, alone = _of_reader(probe) if isinstance(probe, Reader) else _of_translator(probe)
    return {
        "failed": report.failed,
        "warned": report.warned,
        "alone": float(f"{alone:.1g}"),
        "layers": _recurrent(probe.model),
    }


def main(variants: Mapping[str, Callable[[], Reader | Translator]]) -> None:
    """Print the findings of each variant as one line of JSON."""
    found = {}
    for name, build in variants.items():
        torch.manual_seed(0)
        found[name] = findings(build())
    sys.stdout.write(json.dumps(found) + "\n")


def stand_in(*names: str) -> None:
    """Let empty modules stand in for libraries that are imported and never used on the way of a text."""
    for name in names:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module


def torchvision_without_its_kernels() -> None:
    """Import torchvision beside a build of torch that its compiled half was not made for: declare what that defines."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)


_KEPT: list[Any] = []  # a library's definitions end with it


def _of_reader(probe: Reader) -> tuple[Report, float]:
    token_ids, lengths = padded(probe.padding)
    report = doctor.check(probe.model, token_ids, lengths, adaptor=probe.call)
    with torch.no_grad():
        together = probe.call(probe.model, token_ids, lengths)
        by_itself = [
            probe.call(probe.model, token_ids[i : i + 1, :length], lengths[i : i + 1])
            for i, length in enumerate(LENGTHS)
        ]
    return report, _difference(together, torch.cat(by_itself))


def _of_translator(probe: Translator) -> tuple[Report, float]:
    source, target = padded(probe.padding), padded(probe.padding, seed=1)
    report = doctor.check_translator(probe.model, *source, *target, adaptor=probe.call)
    ids, lengths = source
    even = torch.full_like(ids[:, :4], FIRST_WORD), torch.full_like(lengths, 4)  # targets without padding
    with torch.no_grad():
        together = probe.call(probe.model, ids, lengths, *even)
        by_itself = [
            probe.call(probe.model, ids[i : i + 1, :length], lengths[i : i + 1], even[0][i : i + 1], even[1][i : i + 1])
            for i, length in enumerate(LENGTHS)
        ]
    return report, _difference(together, torch.cat(by_itself))


def _difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / first.abs().max())


def _recurrent(model: nn.Module) -> list[str]:
    """Return the recurrent layers that are in the model, by class."""
    return sorted({type(part).__name__ for part in model.modules() if isinstance(part, nn.RNNBase)})
