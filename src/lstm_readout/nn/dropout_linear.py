"""Vectors go in, scores come out: a linear layer that drops features of its input while training."""

from __future__ import annotations

from torch import Tensor, nn


class DropoutLinear(nn.Linear):
    """``nn.Dropout`` and ``nn.Linear`` as one layer, whose ``state_dict`` is that of the ``nn.Linear``.

    Args:
        in_features, out_features: see ``nn.Linear``.
        dropout: probability for each input feature.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Tensor) -> Tensor:
        """Return (..., in_features) -> (..., out_features)."""
        return super().forward(self.dropout(input))
