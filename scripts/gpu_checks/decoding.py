"""A setting goes in; out come the tokens per second of greedy search, of a beam, and of a language model's text.

Weights are random, because a step takes as long with any. A text ends where its reference does, so that rows leave the
batch one after another; what a beam writes is counted once per text, not once per hypothesis.
"""

from __future__ import annotations

from typing import Any

from benchmarks.composed import configuration

from gpu_checks.device import HostWaits, whole_seconds
from gpu_checks.setting import Setting
from lstm_readout.config.build import build
from lstm_readout.data.batches import moved
from lstm_readout.inference.decoding import Stepper, beam_search, greedy

BEAM = 5
STEPS, TEXTS = 200, 64  # of a language model


def measure_decoding(setting: Setting) -> dict[str, Any]:
    """Return the speed of each search, as plain values."""
    return {"multi30k_attention": translations(setting), "tinyshakespeare": texts(setting)}


def translations(setting: Setting) -> dict[str, Any]:
    """Return tokens per second of greedy and beam search over the sentences of a validation batch."""
    task, data = build(configuration(*setting.overrides("multi30k_attention")))
    model = task.model.to(setting.device.device).eval()
    batch = moved(next(iter(data.val_dataloader())), setting.device.device)
    tokenizer = data.vocabulary.tokenizers["target"]
    limits = [len(tokenizer.encode(text)) for text in batch.references]
    stepper, state = Stepper(model.decoder), model.encode(batch.source)
    return {
        "sentences": len(limits),
        "greedy": _speed(setting, lambda: [len(ids) for ids in greedy(stepper, state, limits)]),
        f"beam {BEAM}": _speed(
            setting, lambda: [len(found[0].token_ids) for found in beam_search(stepper, state, BEAM, limits)]
        ),
    }


def texts(setting: Setting) -> dict[str, Any]:
    """Return tokens per second of a language model that writes many texts at once."""
    task, _ = build(configuration(*setting.overrides("tinyshakespeare")))
    stepper = Stepper(task.model.to(setting.device.device).eval())
    number, steps = (4, 10) if setting.rehearsal else (TEXTS, STEPS)
    state = stepper.first_state(number)
    return {"texts": number, "greedy": _speed(setting, lambda: [len(ids) for ids in greedy(stepper, state, steps)])}


def _speed(setting: Setting, search: Any) -> dict[str, Any]:
    """Return the tokens per second of the second search, and the waits of the third per token of the longest text."""
    search()
    with whole_seconds(setting.device) as taken:
        lengths = search()
    with HostWaits(setting.device) as waits:
        search()
    return {
        "tokens": sum(lengths),
        "tokens_per_second": sum(lengths) / taken[0],
        "host_waits": waits.per(max(1, *lengths)),
    }
