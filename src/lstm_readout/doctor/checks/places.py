"""Which tokens of a row are read: rows of one length go in, the places whose tokens change no logits come out.

Each place gets a token of its own; a gradient in this token's row of the embedding means that the place is read. That
holds for tokens whose influence is too small for a difference of float32. Where no embedding shows a gradient, and to
confirm what it shows, tokens are replaced.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_readout.doctor.checks.base import Examination
from lstm_readout.doctor.ragged_batch import Rows, even

_ROUNDS = 40  # of other tokens: a maximum over steps reads other places in each
_SHIFTS = (1, 2, 3)
_TRIED = 2
_DISTANCE = 12  # tokens over which a difference of float32 shows an influence


def unread(examination: Examination) -> tuple[list[int], int]:
    """Return the places whose tokens do not reach the last prediction of any row, and the length of the rows."""
    rows = examination.long
    places = _without_gradient(examination, rows)
    if places is None or any(reads(examination, rows, place) for place in places):
        rows = even(rows, _DISTANCE, len(rows.ids))
        places = [place for place in range(rows.ids.shape[1]) if not reads(examination, rows, place)]
    return places, rows.ids.shape[1]


def reads(examination: Examination, rows: Rows, place: int, *, train: bool = False) -> bool:
    """Return whether another token at ``place`` of rows of one length changes the last prediction of any of them."""
    subject = examination.subject
    before = subject.logits(rows, train=train)
    last = rows.ids.shape[1] - 1
    for shift in _SHIFTS:
        ids = rows.ids.clone()
        ids[:, place] = examination.other(ids[:, place], shift)
        after = subject.logits(rows._replace(ids=ids), train=train)
        moved = (after - before)[:, last] if subject.each_step else after - before
        if moved.abs().max() > examination.least * before.abs().max():
            return True
    return False


def described(places: list[int]) -> str:
    """Return places as ranges: 0 to 3, 8."""
    parts: list[list[int]] = []
    for place in places:
        if parts and place == parts[-1][-1] + 1:
            parts[-1].append(place)
        else:
            parts.append([place])
    told = [f"{part[0]} to {part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts]
    return ", ".join(told[:4]) + (" and more" if len(told) > 4 else "")


def _without_gradient(examination: Examination, rows: Rows) -> list[int] | None:
    """Return the places that no round gives a gradient; None: no embedding tells the tokens apart."""
    tables = _embeddings(examination, rows)
    if not tables:
        return None
    waiting = list(range(rows.ids.shape[1]))
    for seed in range(_ROUNDS):
        tokens = _tokens(examination, rows, waiting, seed)
        found = _rows_with_gradient(examination, rows._replace(ids=tokens), tables)
        read, text = set().union(*(some for _, some in found)), tokens[0].tolist()
        waiting = [place for place in waiting if text.count(text[place]) > 1 or text[place] not in read]
        if not waiting:
            break
    return waiting


def _embeddings(examination: Examination, rows: Rows) -> list[Tensor]:
    """Return the weights in which a text of one token has a gradient in the row of this token, and in no other."""
    most = int(examination.vocabulary.max())
    tables = [table for table in examination.subject.tensors() if table.dim() > 1 and len(table) > most]
    for token in examination.vocabulary[-_TRIED:].tolist():  # one of them may be a padding_idx
        one = rows._replace(ids=torch.full_like(rows.ids, token))
        found = [table for table, read in _rows_with_gradient(examination, one, tables) if read == {token}]
        if found:
            return found
    return []


def _tokens(examination: Examination, rows: Rows, waiting: list[int], seed: int) -> Tensor:
    """Return ids (B, T), alike in all rows, in which as many waiting places as possible have a token of their own."""
    vocabulary, generator = examination.vocabulary, torch.Generator().manual_seed(seed)
    order = vocabulary[torch.randperm(len(vocabulary), generator=generator).to(vocabulary.device)]
    chosen = torch.randperm(len(waiting), generator=generator)[: len(order) - 1].tolist()
    others = order[len(chosen) :]
    text = others[torch.arange(rows.ids.shape[1], device=others.device) % len(others)].clone()
    for token, place in zip(order, chosen, strict=False):
        text[waiting[place]] = token
    return text.expand(rows.ids.shape).contiguous()


def _rows_with_gradient(examination: Examination, rows: Rows, tables: list[Tensor]) -> list[tuple[Tensor, set[int]]]:
    """Return for each table which of its rows have a gradient of the last prediction."""
    last = rows.ids.shape[1] - 1
    gradients = examination.subject.gradients(rows, tables, slice(last, last + 1))
    return [
        (table, set() if found is None else set(found.flatten(1).any(1).nonzero().flatten().tolist()))
        for table, found in gradients.items()
    ]
