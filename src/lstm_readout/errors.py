"""The one exception that means: the input, not the program, is wrong; and text that is safe to print."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MOST_NAMED = 24  # a message stays readable


class UserError(ValueError):
    """A mistake that the user can mend; the command line prints its text without a traceback.

    The text names what came, what was wanted and what to do.

    Attributes:
        began: whether a training had begun, so that its folder is worth keeping.
    """

    began: bool = False

    def __init__(self, text: str) -> None:
        # A worker of torch's loader hands its error on as the text of a whole traceback
        super().__init__(text.rpartition(f"{__name__}.{type(self).__name__}: ")[2].rstrip("\n"))


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? Valid: a, b, x.`` for a name that is none of ``valid``."""
    choices = sorted(valid)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    hint = f"Did you mean '{nearest[0]}'? " if nearest else ""
    more = f" and {len(choices) - MOST_NAMED} more" if len(choices) > MOST_NAMED else ""
    return f"{hint}Valid: {', '.join(choices[:MOST_NAMED]) or '(none)'}{more}."


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line end


def printable(text: str) -> str:
    """Return a text that a terminal shows and does not obey: a control character becomes its JSON escape, ``\\u001b``.

    Labels, texts of the data and what a model generates may hold such characters.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
