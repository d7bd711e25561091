"""The ragged engine beside torch's own calls: forward and backward of the LSTM alone, on rows of real lengths.

``ours`` is ``lstm_readout.LSTM``; ``packed`` is ``torch.nn.LSTM`` on the same PackedSequence; ``padded`` on
the same rows padded to the longest (time first, its fastest layout); ``dense`` on the same number of rows of
one length, with the same number of tokens. ``products`` are the LSTM's matrix products alone. Units are real tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence

from benchmarks.paired import Result, Row, Run, Side, alternate, ratio
from benchmarks.worker import Worker, with_both_allocators
from lstm_readout.nn.lstm import LSTM

Lengths = Sequence[Sequence[int]]  # of the rows of each batch


def lstm(layout: str, lengths: Lengths, hidden_size: int, num_layers: int = 1, bidirectional: bool = False) -> Side:
    """Return forward and backward passes over random vectors, one batch after another."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_layers": num_layers, "bidirectional": bidirectional}
    module = (LSTM if layout == "ours" else nn.LSTM)(hidden_size, hidden_size, **options)
    batches = [_batch(layout, batch, hidden_size) for batch in lengths]
    width = hidden_size * (2 if bidirectional else 1)
    prepared = []
    for batch, of_batch in zip(batches, lengths, strict=True):
        data = batch.data if isinstance(batch, PackedSequence) else batch
        data.requires_grad_()  # as the embedding's vectors do
        prepared.append((batch, data, torch.randn(*data.shape[:-1], width), sum(of_batch)))
    turns = cycle(prepared)

    def step() -> int:
        batch, data, gradient, tokens = next(turns)
        output = module(batch)[0]
        torch.autograd.backward([output.data if isinstance(output, PackedSequence) else output], [gradient])
        module.zero_grad()
        data.grad = None
        return tokens

    return step


def _batch(layout: str, lengths: Sequence[int], size: int) -> Tensor | PackedSequence:
    if layout == "dense":
        return torch.randn(round(sum(lengths) / len(lengths)), len(lengths), size)
    rows = [torch.randn(length, size) for length in sorted(lengths, reverse=True)]
    return pad_sequence(rows) if layout == "padded" else pack_sequence(rows)


def products(lengths: Lengths, hidden_size: int) -> Side:
    """Return the matrix products of one layer's forward and backward, at the shapes that the recurrence forces."""
    torch.manual_seed(0)
    (batch,) = lengths
    steps, rows, gates = batch[0], len(batch), 4 * hidden_size
    inputs, gate = torch.randn(steps * rows, hidden_size), torch.randn(steps * rows, gates)
    weight, transposed = torch.randn(hidden_size, gates), torch.randn(gates, hidden_size)
    state, state_gates = torch.randn(rows, hidden_size), torch.randn(rows, gates)

    def step() -> int:
        with torch.inference_mode():
            torch.mm(inputs, weight)  # W_ih x of all steps
            for _ in range(steps):
                torch.mm(state, weight)  # W_hh h
            for _ in range(steps):
                torch.mm(state_gates, transposed)  # the gradient of h
            torch.mm(gate, transposed)  # of x
            torch.mm(gate.T, inputs)  # of W_ih
            torch.mm(gate.T, inputs)  # of W_hh
        return steps * rows

    return step


def sides(
    worker: Worker, layouts: Sequence[str], threads: int | None, lengths: Lengths, **sizes: Any
) -> dict[str, Run]:
    """Return what runs slices of each layout in one worker."""
    return {
        layout: worker.bind("benchmarks.engine:lstm", layout=layout, threads=threads, lengths=lengths, **sizes)
        for layout in layouts
    }


def draw_lengths(corpus: str, batch_size: int, pool: int, number: int) -> list[list[int]]:
    """Return the lengths of some batches of an epoch; a pool of 1 makes random batches, a larger one bucketed ones."""
    from benchmarks.composed import training_lengths
    from lstm_readout.data.samplers import LengthBatchSampler

    overrides = {
        "imdb": ("task=classify", "data=imdb", "tokenizer.lowercase=true", "tokenizer.max_length=400"),
        "multi30k": ("task=translate", "data=multi30k", "tokenizer.lowercase=true"),
    }[corpus]
    lengths = training_lengths(*overrides)[:, 0]
    batches = LengthBatchSampler(lengths, batch_size=batch_size, pool=pool, shuffle=True).batches(0)
    whole = [rows for rows in batches if len(rows) == batch_size]
    return [lengths[rows].tolist() for rows in whole[:number]]


def against(peer: str, cells: Mapping[str, tuple[Lengths, int]], worker: Worker, **options: Any) -> dict[str, Result]:
    """Return our speed over one layout's in each cell: name -> (lengths, hidden size)."""
    found = {}
    for name, (lengths, hidden_size) in cells.items():
        runs = sides(worker, ("ours", peer), None, lengths, hidden_size=hidden_size)
        found[name] = ratio(alternate(runs, **options), "ours", peer)
    return found


def engine_vs_packed(pool: int) -> Result:
    """Compare with the packed call on IMDB."""
    lengths = draw_lengths("imdb", 32, pool, 3)
    cells = {f"hidden {size}": (lengths, size) for size in (128, 256)}
    return with_both_allocators(partial(against, "packed", cells, least=3, budget=12, seconds=0.3))


def engine_vs_dense() -> Result:
    """Compare bucketed batches with batches of equal lengths."""
    cells = {
        f"{corpus} hidden {size} batch {rows}": (draw_lengths(corpus, rows, 500, 8), size)
        for corpus, rows in (("imdb", 32), ("multi30k", 64))
        for size in (128, 256)
    }
    return with_both_allocators(partial(against, "dense", cells, least=7, budget=8, seconds=0.3))


def lstm_vs_gemm() -> Result:
    """Compare 35 steps of rows of one length with its matrix products alone."""

    def measure(worker: Worker) -> dict[str, Result]:
        found = {}
        for threads in (1, 2):
            for size, rows in ((128, 64), (256, 32), (256, 64), (512, 32), (512, 64)):
                lengths = [[35] * rows]
                runs = sides(worker, ("ours",), threads, lengths, hidden_size=size)
                bound = worker.bind("benchmarks.engine:products", threads=threads, lengths=lengths, hidden_size=size)
                speeds = alternate(runs | {"products": bound}, least=7, budget=3, seconds=0.15)
                found[f"threads {threads} hidden {size} batch {rows}"] = ratio(speeds, "ours", "products")
        return found

    return with_both_allocators(measure)


ROWS = [
    *(
        Row(
            id=f"engine_vs_packed_imdb_{name}",
            measure=partial(engine_vs_packed, pool),
            wanted=f"at least {wanted}",
            unit="times the packed call's tokens/s",
            corpora=("imdb",),
        )
        for name, pool, wanted in (("random", 1, 4), ("bucketed", 500, 2))
    ),
    Row(
        id="engine_vs_dense",
        measure=engine_vs_dense,
        wanted="at least 0.95",
        unit="times equal lengths' tokens/s",
        corpora=("imdb", "multi30k"),
    ),
    Row(id="lstm_vs_gemm", measure=lstm_vs_gemm, wanted="at least 0.90", unit="share of the matrix products' speed"),
]
