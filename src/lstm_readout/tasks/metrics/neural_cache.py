"""A neural cache: what the head reads and the tokens that follow go in, their probabilities with the cache come out.

Grave, Joulin and Usunier 2017, "Improving Neural Language Models with a Continuous Cache". A token that followed a
similar ``output`` a short while ago is likely to come again.

Shapes: n tokens of a window, m tokens in the cache, O width of ``output``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_readout.tasks.metrics.adaptation_settings import check_number, check_share, check_whole_number

_WHERE = "task.neural_cache"


@dataclass(frozen=True)
class NeuralCache:
    """How the cache is read: ``p = (1 - share) * p_model + share * p_cache``.

    ``p_cache`` of a token is the share that its earlier places have in the sum of ``exp(theta * output @ earlier)``.

    Args:
        share: of the cache; None: no cache. lambda in the paper.
        theta: how much a similar ``output`` counts for; 0: all places count the same.
        window: the number of last tokens in the cache.

    Raises:
        UserError: a value is out of range.
    """

    share: float | None = None
    theta: float = 0.3
    window: int = 2000

    def __post_init__(self) -> None:
        if self.share is not None:
            check_share(f"{_WHERE}.share", self.share)
        check_number(f"{_WHERE}.theta", self.theta)
        check_whole_number(f"{_WHERE}.window", self.window)


class Cache:
    """The last tokens of one row."""

    def __init__(self, how: NeuralCache) -> None:
        self.how = how
        share = how.share or 0.0
        self.shares = math.log1p(-share) if share < 1 else -math.inf, math.log(share) if share else -math.inf
        self.forget()

    def forget(self) -> None:
        """Forget all tokens: another row begins."""
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def mix(self, log_probabilities: Tensor, output: Tensor, targets: Tensor) -> Tensor:
        """Return the log probabilities with the cache, each from the tokens before it, and keep the window's tokens.

        Args:
            log_probabilities: of the model, (n,).
            output: what the head read for them, (n, O).
            targets: the tokens, (n,).
        """
        keys, tokens = torch.cat([*self.outputs, output]), torch.cat([*self.targets, targets])  # (m, O), (m,)
        n, m = len(targets), len(tokens)
        place = torch.arange(m, device=output.device)
        age = place[m - n :, None] - place  # (n, m)
        usable = (age > 0) & (age <= self.how.window)
        scores = (self.how.theta * (output @ keys.T)).masked_fill(~usable, -torch.inf)
        same = scores.masked_fill(tokens != targets[:, None], -torch.inf)
        cached = same.logsumexp(1) - scores.logsumexp(1)
        mixed = torch.logaddexp(log_probabilities + self.shares[0], cached + self.shares[1])
        self.outputs, self.targets = [keys[-self.how.window :]], [tokens[-self.how.window :]]
        return torch.where(usable.any(1), mixed, log_probabilities)  # the first token has no cache
