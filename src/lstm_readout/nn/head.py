"""Vectors go in, scores of every token come out, or the loss of the targets: the last layer of a language model.

Shapes: N rows, O features, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lstm_readout.errors import UserError, did_you_mean
from lstm_readout.nn.cross_entropy import MOST_LOGITS, linear_cross_entropy

Softmax = Literal["full", "adaptive"]
_SHRINKING = 4  # each cluster's vectors are this many times narrower than those of the cluster before
_SMALL = 1000  # tokens: below, a full softmax is as fast


class AdaptiveHead(nn.Module):
    """An adaptive softmax (Grave et al. 2017, "Efficient softmax approximation for GPUs").

    The first ``cutoffs[0]`` ids are scored on all features, those of each later cluster on 4 times fewer than the
    cluster before, and only for tokens in it. So it is fast, and as good as a full softmax, where small ids are the
    frequent ones: the ids of word, basic_english, char and unigram tokenizers are in this order, those of bpe and
    wordpiece only roughly.

    Args:
        in_features: O.
        out_features: V.
        cutoffs: the first id of each cluster after the first; None: a sixteenth and a quarter of V.

    Raises:
        UserError: for a small vocabulary, or cutoffs that do not increase within it.
    """

    def __init__(self, in_features: int, out_features: int, cutoffs: Sequence[int] | None = None) -> None:
        super().__init__()
        if cutoffs is None and out_features < _SMALL:
            raise UserError(
                f"model.softmax=adaptive: wanted {_SMALL:,} tokens or more (below it is no faster); the "
                f"vocabulary has {out_features:,}. Set model.softmax=full, or choose the clusters: model.cutoffs=[...]."
            )
        cutoffs = [out_features // 16, out_features // 4] if cutoffs is None else list(cutoffs)
        if not cutoffs or cutoffs != sorted(set(cutoffs)) or not 0 < cutoffs[0] <= cutoffs[-1] < out_features:
            raise UserError(
                f"model.cutoffs={cutoffs}: wanted increasing ids, each more than 0 and less than the vocabulary's "
                f"{out_features:,}, for example [{out_features // 16}, {out_features // 4}]."
            )
        if _SHRINKING ** len(cutoffs) > in_features:
            raise UserError(
                f"model.cutoffs={cutoffs}: each cluster reads {_SHRINKING} times fewer features than the one before, "
                f"which leaves none of {in_features}. Set fewer, or a larger model.hidden_size."
            )
        self.in_features, self.out_features = in_features, out_features
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(in_features, out_features, cutoffs, div_value=_SHRINKING)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return log probabilities: (..., O) -> (..., V)."""
        vectors = vectors.to(self.softmax.head.weight.dtype)
        return self.softmax.log_prob(vectors.flatten(0, -2)).unflatten(0, vectors.shape[:-1])

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of ``targets``, (N,), after ``vectors``, (N, O)."""
        shortlist, *others = self.softmax.cutoffs[:-1]
        cluster = (targets >= shortlist).long() + sum((targets >= cutoff).long() for cutoff in others)
        first = torch.where(cluster == 0, targets, cluster + (shortlist - 1))
        # torch's own forward does not bound its logits, and fails under autocast where log_softmax keeps half precision
        total = linear_cross_entropy(vectors, self.softmax.head.weight, None, first, reduction="sum")
        for number, (begin, tail) in enumerate(zip(self.softmax.cutoffs, self.softmax.tail, strict=False), start=1):
            narrow, scores = cast(tuple[nn.Linear, nn.Linear], tail)
            rows = (cluster == number).nonzero().squeeze(1)
            inside = targets[rows] - begin
            total = total + linear_cross_entropy(narrow(vectors[rows]), scores.weight, None, inside, reduction="sum")
        return total / len(targets)


def build_head(
    embedding: nn.Embedding, in_features: int, *, tied: bool, softmax: Softmax, cutoffs: Sequence[int] | None
) -> nn.Linear | AdaptiveHead:
    """Return the head of a language model that reads ``in_features`` features; see ``LanguageModel``."""
    classes, width = embedding.num_embeddings, embedding.embedding_dim
    if softmax not in ("full", "adaptive"):
        raise UserError(f"model.softmax: there is no '{softmax}'. {did_you_mean(str(softmax), ['full', 'adaptive'])}")
    if softmax == "adaptive":
        if tied:
            raise UserError(
                "model.tied_embeddings=true needs model.softmax=full: an adaptive softmax has no matrix of the "
                "embedding's shape."
            )
        return AdaptiveHead(in_features, classes, cutoffs)
    if cutoffs is not None:
        raise UserError(
            f"model.cutoffs={list(cutoffs)} is for model.softmax=adaptive. Set that, or model.cutoffs=null."
        )
    head = nn.Linear(in_features, classes)
    if tied:
        if in_features != width:
            # No projection is added here: nn.LSTM has one, which makes its states narrower as well
            other = f"model.proj_size={width} (with cell=lstm)" if width < in_features else f"model.hidden_size={width}"
            raise UserError(
                f"model.tied_embeddings=true: one matrix serves as both, but embedding_size is {width} and the LSTM "
                f"gives {in_features} features. Set model.embedding_size={in_features}, or {other}."
            )
        head.weight = embedding.weight
    return head


def check_label_smoothing(head: nn.Module, label_smoothing: float) -> None:
    """Raise ``UserError`` for a value that is no share, or an adaptive softmax, which does not score every token."""
    if not 0 <= label_smoothing <= 1:
        raise UserError(f"task.label_smoothing: wanted a share, 0 to 1, got {label_smoothing}. For example 0.1.")
    if label_smoothing and isinstance(head, AdaptiveHead):
        raise UserError(
            f"task.label_smoothing={label_smoothing} needs a full softmax. "
            "Set model.softmax=full, or task.label_smoothing=0."
        )


def head_loss(head: nn.Module, vectors: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Return the mean cross-entropy of ``targets``, (N,), after ``vectors``, (N, O).

    Raises:
        UserError: see ``check_label_smoothing``.
    """
    check_label_smoothing(head, label_smoothing)
    if isinstance(head, AdaptiveHead):
        return head.loss(vectors, targets)
    if type(head) is nn.Linear:
        return linear_cross_entropy(vectors, head.weight, head.bias, targets, label_smoothing=label_smoothing)
    return cross_entropy(head(vectors), targets, label_smoothing=label_smoothing)  # a module that replaced the head


def target_log_probabilities(head: nn.Module, vectors: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return the log probability of each of ``targets``, (N,), after ``vectors``, (N, O), in float32 at least.

    Args:
        head: scores the vocabulary.
        vectors: what it reads.
        targets: one per vector.
        classes: V; at most ``MOST_LOGITS`` logits exist at a time, unless a graph keeps them.
    """
    size = max(MOST_LOGITS // classes, 1)
    losses = []
    for block, chosen in zip(vectors.split(size), targets.split(size), strict=True):
        logits = head(block)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses.append(cross_entropy(wide, chosen, reduction="none"))
    return -torch.cat(losses)
