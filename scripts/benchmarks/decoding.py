"""Decoding: our steps beside one-step calls of ``nn.LSTM``, and beam search of many sentences beside one at a time.

Weights are random: the cost of a step does not depend on its tokens. A translation ends where its reference does, so
that lengths are real and sentences leave the batch one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any

import torch

from benchmarks.paired import Result, Row, Side, alternate, ratio
from benchmarks.worker import Worker, with_both_allocators
from lstm_readout.inference.decoding import Stepper, beam_search
from lstm_readout.models import LanguageModel, Seq2Seq
from lstm_readout.nn.decoder_state import DecoderState
from lstm_readout.tokenizer import BOS
from lstm_readout.tokenizer.ragged import Ragged, pack

STEPS = 20  # of a text
SENTENCES, BATCH_SIZE, BEAM = 1000, 100, 5


def stepping(hidden_size: int, vocab_size: int, int8: bool = False) -> Side:
    """Return our greedy steps of one text; units are steps."""
    step = Stepper(language_model(hidden_size, vocab_size), int8=int8)

    @torch.inference_mode()
    def write() -> int:
        token_ids, state = torch.tensor([BOS]), None
        for _ in range(STEPS):
            logits, state = step(token_ids, state)
            token_ids = logits.argmax(-1)
        return STEPS

    return write


def calling(hidden_size: int, vocab_size: int) -> Side:
    """Return the same steps as in common generation loops: the modules, called with one token at a time."""
    model = language_model(hidden_size, vocab_size)
    embedding, rnn, head = model.encoder.embedding, model.encoder.lstm.rnn, model.head

    @torch.no_grad()
    def write() -> int:
        token_ids, state = torch.tensor([[BOS]]), None
        for _ in range(STEPS):
            output, state = rnn(embedding(token_ids), state)
            token_ids = head(output).argmax(-1)
        return STEPS

    return write


def language_model(hidden_size: int, vocab_size: int) -> LanguageModel:
    """Return a model with random weights, the same each time."""
    torch.manual_seed(0)
    return LanguageModel(vocab_size=vocab_size, embedding_size=hidden_size, hidden_size=hidden_size).eval()


def beams(lengths: Sequence[Sequence[int]], batch_size: int, hidden_size: int, vocab_size: int) -> Side:
    """Return beam searches over batches of ``batch_size`` sentences; units are sentences.

    Args:
        lengths: (source, target) tokens of each sentence.
        batch_size: sentences per batch; they are sorted by length.
        hidden_size: of both sides, and of their embeddings.
        vocab_size: of both sides.
    """
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": hidden_size, "hidden_size": hidden_size}
    model = Seq2Seq(source_vocab_size=vocab_size, target_vocab_size=vocab_size, **sizes).eval()
    step = Stepper(model.decoder)
    pairs = sorted(map(tuple, lengths))
    batches = []
    for start in torch.randperm(len(pairs) // batch_size).tolist():
        chosen = pairs[start * batch_size : (start + 1) * batch_size]
        ids = Ragged.from_lists([torch.randint(3, vocab_size, (source,)).tolist() for source, _ in chosen])
        batches.append((pack(ids, torch.arange(batch_size).numpy()), [target for _, target in chosen]))
    turns = cycle(batches)

    @torch.inference_mode()
    def search() -> int:
        sources, limits = next(turns)
        state: DecoderState = model.encode(sources)
        return len(beam_search(step, state, BEAM, limits))

    return search


def generate(hidden_size: int = 512, vocab_size: int = 8000, int8: bool = False) -> Result:
    """Compare steps of one text."""

    def measure(worker: Worker) -> dict[str, Result]:
        sizes = {"hidden_size": hidden_size, "vocab_size": vocab_size}
        runs = {
            "ours": worker.bind("benchmarks.decoding:stepping", **sizes, int8=int8),
            "calls": worker.bind("benchmarks.decoding:calling", **sizes),
        }
        return {"batch 1": ratio(alternate(runs, seconds=0.3, budget=10), "ours", "calls")}

    return with_both_allocators(measure)


def beam_batched() -> Result:
    """Compare sentences of Multi30k searched in batches with one at a time."""
    from benchmarks.composed import training_lengths

    lengths = training_lengths("task=translate", "data=multi30k", "tokenizer.lowercase=true")[:SENTENCES].tolist()

    def measure(worker: Worker) -> dict[str, Result]:
        sizes = {"lengths": lengths, "hidden_size": 512, "vocab_size": 8000}
        runs = {
            name: worker.bind("benchmarks.decoding:beams", batch_size=batch_size, **sizes)
            for name, batch_size in (("batched", BATCH_SIZE), ("one at a time", 1))
        }
        return {f"beam {BEAM}": ratio(alternate(runs, seconds=2, budget=25), "batched", "one at a time")}

    return with_both_allocators(measure)


ROWS = [
    *(
        Row(
            id=f"generate_{name}",
            measure=partial(generate, int8=name == "int8"),
            wanted=f"at least {wanted}",
            unit="times the steps/s of nn.LSTM calls",
        )
        for name, wanted in (("float", 2.2), ("int8", 6))
    ),
    Row(
        id="beam_batched",
        measure=beam_batched,
        wanted="at least 6",
        unit="times the sentences/s of one at a time",
        corpora=("multi30k",),
    ),
]
