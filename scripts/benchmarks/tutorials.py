"""The training loops around the models of ``peers.py``: an encoded corpus goes in, a tutorial's step comes out.

Only the ids are the framework's. Batches are padded random rows; the optimizer is the one tutorials use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.composed import encoded_data
from benchmarks.paired import BATCHES, Side
from benchmarks.peers import (
    State,
    TutorialClassifier,
    TutorialDecoder,
    TutorialEncoder,
    TutorialSeq2Seq,
    WordLanguageModel,
    padded,
)
from lstm_readout.data.encoding import lengths_of
from lstm_readout.data.module import TextDataModule
from lstm_readout.tokenizer import BOS
from lstm_readout.tokenizer.ragged import Ragged

Sizes = Mapping[str, Any]


def translate(data: Sequence[str], sizes: Sizes, teacher_forcing: float | None) -> Side:
    """Return the step of a translator; see ``TutorialSeq2Seq``."""
    module = encoded_data(*data)
    source, target = (len(module.vocabulary.tokenizers[role]) for role in ("source", "target"))
    encoder, decoder = TutorialEncoder(source, **sizes), TutorialDecoder(target, **sizes)
    batches, tokens = [], []
    for rows in random_rows(module):
        sources, targets = texts(module, "source", rows), texts(module, "target", rows, first=BOS)
        batches.append((padded(sources, source), padded(targets, target)))
        tokens.append(sum(map(len, sources)) + sum(map(len, targets)) - len(targets))  # <bos> is not predicted
    return _loop(TutorialSeq2Seq(encoder, decoder, target, teacher_forcing), batches, tokens, clip=1.0)


def classify(data: Sequence[str], sizes: Sizes, packed: bool) -> Side:
    """Return the step of a classifier."""
    module = encoded_data(*data)
    vocab_size, labels = len(module.vocabulary.tokenizers["text"]), module.columns["train"]["label"]
    assert isinstance(labels, np.ndarray)
    batches, tokens = [], []
    for rows in random_rows(module):
        documents = texts(module, "text", rows)
        lengths = torch.tensor([len(document) for document in documents])
        batches.append((padded(documents, vocab_size), lengths, torch.from_numpy(labels[rows])))
        tokens.append(int(lengths.sum()))
    model = TutorialClassifier(vocab_size, len(module.vocabulary.labels), packed=packed, **sizes)
    return _loop(model, batches, tokens, clip=None)


def wordlm(data: Sequence[str], sizes: Sizes, lr: float = 1.0) -> Side:
    """Return the step of the word language model example: its state is carried, its update is a loop."""
    module = encoded_data(*data)
    column, rows, steps = module.columns["train"]["text"], module.batching.batch_size, module.batching.window
    assert isinstance(column, Ragged)
    model = WordLanguageModel(len(module.vocabulary.tokenizers["text"]), **sizes)
    length = min(steps * BATCHES + 1, len(column.values) // rows)
    stream = torch.from_numpy(column.values[: rows * length].astype(np.int64))
    text = stream.view(rows, length).t().contiguous()  # a column for each row
    windows = cycle([(text[i : i + steps], text[i + 1 : i + 1 + steps].view(-1)) for i in range(0, length - 1, steps)])
    state: State | None = None

    def step() -> int:
        nonlocal state
        window, targets = next(windows)
        model.zero_grad()
        loss, state = model.loss(window, targets, state)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.data.add_(parameter.grad, alpha=-lr)
        loss.item()
        return len(targets)

    return step


def _loop(
    model: TutorialSeq2Seq | TutorialClassifier, batches: list[Any], tokens: list[int], clip: float | None
) -> Side:
    optimizer = torch.optim.Adam(model.parameters())
    turns = cycle(zip(batches, tokens, strict=True))

    def step() -> int:
        batch, number = next(turns)
        optimizer.zero_grad()
        loss = model.loss(*batch)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        loss.item()
        return number

    return step


def random_rows(module: TextDataModule) -> list[np.ndarray]:
    """Return the rows of some random batches."""
    number = len(lengths_of(module.columns["train"], module.roles))
    order = np.random.default_rng(0).permutation(number)
    return [order[i : i + module.batching.batch_size] for i in range(0, number, module.batching.batch_size)][:BATCHES]


def texts(module: TextDataModule, role: str, rows: np.ndarray, first: int | None = None) -> list[Tensor]:
    """Return rows of ids, after a first token if one is given."""
    column = module.columns["train"][role]
    assert isinstance(column, Ragged)
    start = [] if first is None else [first]
    return [torch.tensor([*start, *column.row(row).tolist()]) for row in rows]
