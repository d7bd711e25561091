"""Few short rows to examine a module with: padded ids go in, ``Rows`` come out.

Every check asks for a relation between two calls, which holds for any text: rows may be cut and repeated.
Shapes: B rows, T steps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

CAPS = (9, 8, 6, 4, 2)  # most tokens of each row: enough to see a mistake, few enough for a large model


class Rows(NamedTuple):
    """A padded batch."""

    ids: Tensor  # (B, T)
    lengths: Tensor  # (B,)
    beside: tuple[Tensor, ...] = ()  # (B, ...) each: what belongs to the rows, the other side of a translation

    def take(self, index: Tensor) -> Rows:
        """Return some of the rows, in the order of ``index``."""
        ids, lengths, *beside = (part[index.to(part.device)] for part in (self.ids, self.lengths, *self.beside))
        return Rows(ids, lengths, tuple(beside))

    def real(self) -> Tensor:
        """Return where the real tokens stand: (B, T)."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths.to(self.ids.device).unsqueeze(1)


def padding_id(rows: Rows) -> int:
    """Return the id that stands behind the ends of the rows most often; 0 if nothing does."""
    padding = rows.ids[~rows.real()]
    return int(padding.mode().values) if len(padding) else 0


def small(rows: Rows) -> Rows:
    """Return five short rows, the longest first and all lengths different where there is text for it.

    Four, where five rows would have five steps: the axes must be told apart by their sizes.
    """
    order = rows.lengths.argsort(descending=True, stable=True)
    places = torch.linspace(0, len(order) - 1, len(CAPS)).round().long()
    chosen = rows.take(order[places.to(order.device)])
    lengths = [min(length, cap) for length, cap in zip(chosen.lengths.tolist(), CAPS, strict=True)]
    for i in range(1, len(lengths)):
        lengths[i] = max(1, min(lengths[i], lengths[i - 1] - 1))
    cut = shortened(chosen, torch.tensor(lengths, dtype=rows.lengths.dtype, device=rows.lengths.device))
    return cut.take(torch.arange(4, device=cut.ids.device)) if cut.ids.shape[1] == len(CAPS) else cut


def even(rows: Rows, most: int = 4) -> Rows:
    """Return as many rows, cut to one length of at most ``most``: no padding at all."""
    length = min(most, int(rows.lengths.max()))
    long = (rows.lengths >= length).nonzero().squeeze(1)
    index = long.repeat(len(rows.lengths))[: len(rows.lengths)]
    return shortened(rows.take(index), torch.full_like(rows.lengths, length))


def shortened(rows: Rows, lengths: Tensor) -> Rows:
    """Cut the rows to ``lengths`` (B,), none of them longer than before."""
    padding = padding_id(rows)
    cut = Rows(rows.ids[:, : int(lengths.max())], lengths, rows.beside)
    return cut._replace(ids=cut.ids.masked_fill(~cut.real(), padding))


def longer(rows: Rows, columns: int, padding: int) -> Rows:
    """Add columns of padding."""
    return rows._replace(ids=torch.cat((rows.ids, rows.ids.new_full((len(rows.ids), columns), padding)), dim=1))
