"""Checks beyond single calls of the module: a translator's beam search, and unknown tokens in the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstm_readout.doctor.checks.base import Check, Examination, Verdict, failed, passed, skipped, warned

_UNKNOWN_SHARE = 0.2
BEAM, MOST_SOURCES = 3, 3


class Decoding(NamedTuple):
    """How a translator decodes; each function gets the module, source ids (B, T) and source lengths (B,).

    A text is a list of all ids that its score covers, including ``<eos>`` if the text has ended.
    """

    greedy: Callable[[nn.Module, Tensor, Tensor], list[list[int]]]  # -> B texts
    beam: Callable[[nn.Module, Tensor, Tensor, int], Sequence[Sequence[tuple[list[int], float]]]]
    # with the beam's size -> for each source (text, log probability), the best first
    forced: Callable[[nn.Module, Tensor, Tensor, list[list[int]]], Sequence[float]]
    # with B texts -> the log probability of each


def beam(decoding: Decoding) -> Check:
    """Return the check of a beam search."""

    @torch.no_grad()
    def run(examination: Examination) -> Verdict:
        subject, rows = examination.subject, examination.rows
        subject.fresh()
        few = rows.take(torch.arange(min(MOST_SOURCES, len(rows.ids)), device=rows.ids.device))
        module, given = subject.module.eval(), (few.ids, few.lengths)
        greedy = decoding.greedy(module, *given)
        first = [list(found[0][0]) for found in decoding.beam(module, *given, 1)]
        if first != greedy:
            scores = zip(decoding.forced(module, *given, greedy), decoding.forced(module, *given, first), strict=True)
            for row, (by_greedy, by_beam) in enumerate(scores):
                if first[row] != greedy[row] and not _near(by_greedy, by_beam):  # else it is a tie
                    return failed(f"source {row}: beam 1 wrote {first[row][:8]}, greedy wrote {greedy[row][:8]}")
        hypotheses = decoding.beam(module, *given, BEAM)
        for place in range(max(map(len, hypotheses))):
            texts = [list(found[min(place, len(found) - 1)][0]) for found in hypotheses]
            forced = decoding.forced(module, *given, texts)
            for row, found in enumerate(hypotheses):
                score = found[min(place, len(found) - 1)][1]
                if not _near(score, forced[row]):
                    return failed(f"source {row}: a hypothesis has score {score:.4g}, forced {forced[row]:.4g}")
        return passed(f"{sum(map(len, hypotheses))} hypotheses of beam {BEAM}")

    return Check(
        "beam",
        "compared a beam of 1 with greedy, and each hypothesis' score with the decoder forced along it",
        "the same texts and the same scores",
        "Reorder h and c by the hypothesis that each one continues: h[:, parents], c[:, parents]; add log_softmax "
        "of every token, including <eos>.",
        run,
        ("logits", "random"),
    )


def unknown(ids: Tensor, unknown_id: int) -> Check:
    """Return the check of how many of ``ids`` (tokens,), real ones, are unknown."""

    def run(examination: Examination) -> Verdict:
        if not len(ids):
            return skipped("no tokens")
        rate = float((ids == unknown_id).float().mean())
        finding = f"{100 * rate:.1f} % of {len(ids):,} tokens"
        return warned(finding) if rate > _UNKNOWN_SHARE else passed(finding)

    return Check(
        "unknown",
        f"counted the tokens that are id {unknown_id}",
        f"{100 * _UNKNOWN_SHARE:.0f} % of them or fewer",
        "Another tokenizer (bpe knows every text), a larger vocabulary, the same lowercase setting, or more text to "
        "fit it on.",
        run,
    )


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= 1e-3 * max(1.0, abs(first), abs(second))
