"""torchtext's BLEU: translations and references go in, a number between 0 and 1 comes out."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_readout.tokenizer.torchtext.library import load

KEY, INSTEAD = "task.torchtext_bleu=true", "bleu is sacreBLEU's, which papers report"


def require_bleu() -> None:
    """Raise ``UserError`` if torchtext is missing, before a model is trained for it."""
    load("torchtext.data.metrics", KEY, INSTEAD)


def torchtext_bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Return ``torchtext.data.metrics.bleu_score`` of texts with one reference each, split by its ``basic_english``.

    Raises:
        UserError: torchtext is missing.
    """
    split = load("torchtext.data", KEY, INSTEAD).get_tokenizer("basic_english")
    score = load("torchtext.data.metrics", KEY, INSTEAD).bleu_score
    return float(score([split(text) for text in translations], [[split(text)] for text in references]))
