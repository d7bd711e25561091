"""The bundled sample corpora: the task's column roles go in, generated rows and their ceiling come out.

Each corpus is generated from a seed, without a download, and the score of a perfect model on its test split is known,
so that a trained LSTM can be compared with it.

- ``text, label``: reviews whose label depends on negation and on the last "but"; ceiling accuracy 1.
- ``source, target``: dates in words and their written form; ceiling BLEU 100.
- ``text``: sentences of a probabilistic grammar; the ceiling is the loss of the grammar itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lstm_readout.data.synthetic.base import Sample
from lstm_readout.data.synthetic.dates import dates
from lstm_readout.data.synthetic.grammar import grammar
from lstm_readout.data.synthetic.reviews import reviews
from lstm_readout.errors import UserError

__all__ = ["Sample", "sample"]


def sample(roles: Sequence[str], seed: int = 0) -> Sample:
    """Return the sample corpus that has exactly these column roles, in any order.

    Raises ``UserError`` for any other set of roles.
    """
    for known, make in _CORPORA.items():
        if sorted(roles) == sorted(known):
            return make(seed)
    existing = "; ".join(", ".join(known) for known in _CORPORA)
    raise UserError(
        f"There is no sample corpus with the roles {', '.join(roles) or '(none)'}. "
        f"The three that exist have: {existing}. For other columns use your own text: data=files."
    )


_CORPORA: dict[tuple[str, ...], Callable[[int], Sample]] = {
    ("text", "label"): reviews,
    ("source", "target"): dates,
    ("text",): grammar,
}
