"""A few short rows to examine a module with: padded ids go in, ``Rows`` come out.

Every check tests a relation between two calls that holds for any text, so rows may be cut and repeated.
Shapes: B rows, T steps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_CAPS = (9, 8, 6, 4, 2)  # maximum tokens per row: enough to show a mistake, few enough for a large model


class Rows(NamedTuple):
    """A padded batch."""

    ids: Tensor  # (B, T)
    lengths: Tensor  # (B,)
    beside: tuple[Tensor, ...] = ()  # (B, ...) each: what belongs to each row, such as the other side of a translation

    def take(self, index: Tensor) -> Rows:
        """Return some of the rows, in the order of ``index``."""
        ids, lengths, *beside = (part[index.to(part.device)] for part in (self.ids, self.lengths, *self.beside))
        return Rows(ids, lengths, tuple(beside))

    def real(self) -> Tensor:
        """Return the mask of real tokens: (B, T)."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths.to(self.ids.device).unsqueeze(1)


def padding_id(rows: Rows) -> int:
    """Return the most frequent id in the padding; 0 if there is no padding."""
    padding = rows.ids[~rows.real()]
    return int(padding.mode().values) if len(padding) else 0


def small(rows: Rows) -> Rows:
    """Return five short rows, the longest first, all of different lengths if the text allows it.

    Four if the five rows would have five steps: the sizes must tell the axes apart.
    """
    order = rows.lengths.argsort(descending=True, stable=True)
    places = torch.linspace(0, len(order) - 1, len(_CAPS)).round().long()
    chosen = rows.take(order[places.to(order.device)])
    lengths = [min(length, cap) for length, cap in zip(chosen.lengths.tolist(), _CAPS, strict=True)]
    for i in range(1, len(lengths)):
        lengths[i] = max(1, min(lengths[i], lengths[i - 1] - 1))
    cut = shortened(chosen, torch.tensor(lengths, dtype=rows.lengths.dtype, device=rows.lengths.device))
    return cut.take(torch.arange(4, device=cut.ids.device)) if cut.ids.shape[1] == len(_CAPS) else cut


def even(rows: Rows, most: int, number: int) -> Rows:
    """Return ``number`` rows cut to one length of at most ``most``: no padding at all."""
    length = min(most, int(rows.lengths.max()))
    long = (rows.lengths >= length).nonzero().squeeze(1)[:number]
    index = long.repeat(number)[:number]
    return shortened(rows.take(index), torch.full_like(rows.lengths[:1], length).repeat(number))


def shortened(rows: Rows, lengths: Tensor) -> Rows:
    """Cut the rows to ``lengths`` (B,), none of them longer than before."""
    padding = padding_id(rows)
    cut = Rows(rows.ids[:, : int(lengths.max())], lengths, rows.beside)
    return cut._replace(ids=cut.ids.masked_fill(~cut.real(), padding))


def longer(rows: Rows, columns: int, padding: int) -> Rows:
    """Add columns of padding."""
    return rows._replace(ids=torch.cat((rows.ids, rows.ids.new_full((len(rows.ids), columns), padding)), dim=1))


def beside_short_ones(rows: Rows, place: int) -> Rows:
    """Return the row at ``place`` first, without padding, and the others cut to one token."""
    others = [other for other in range(len(rows.ids)) if other != place]
    turned = rows.take(torch.tensor([place, *others], device=rows.ids.device))
    lengths = torch.ones_like(turned.lengths)
    lengths[0] = turned.lengths[0]
    return shortened(turned, lengths)


def padded_on_the_left(rows: Rows) -> bool:
    """Return whether the short rows begin with padding and end with text: the other way round than ``lengths`` say."""
    missing = rows.ids.shape[1] - rows.lengths.to(rows.ids.device)
    ahead = torch.arange(rows.ids.shape[1], device=rows.ids.device) < missing.unsqueeze(1)
    padding = rows.ids[ahead].unique()
    if len(padding) != 1 or len(rows.ids[~rows.real()].unique()) < 2:
        return False
    # A text may begin with one same token in every row; then so do the rows without padding
    return int(missing.max()) > 1 or not bool((rows.ids[missing == 0, 0] == padding).any())
