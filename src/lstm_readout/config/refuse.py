"""A user's mistake goes in; one message on standard error and exit code 2 come out."""

from __future__ import annotations

import sys
from typing import NoReturn

from lstm_readout.errors import UserError, printable


class Refused(SystemExit):
    """The end of a command after a user's mistake: exit code 2.

    Attributes:
        began: whether a training had begun.
    """

    def __init__(self, *, began: bool) -> None:
        super().__init__(2)
        self.began = began


def refuse(error: UserError) -> NoReturn:
    """Print a user's mistake as one message and exit with 2."""
    print_error(error)
    raise Refused(began=error.began) from None


def print_error(error: UserError) -> None:
    """Print a user's mistake as one message."""
    print("error: " + printable(str(error)).replace("\n", "\n       "), file=sys.stderr)
