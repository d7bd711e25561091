"""Standard output goes in; one that takes every letter, and survives a reader that leaves, takes its place."""

from __future__ import annotations

import codecs
import io
import os
import sys

_ESCAPE = "lstm_readout.escape"
_SIGPIPE = 141  # what a shell reports for a program that a closed pipe ended


class _Output(io.TextIOWrapper):
    """A stream whose writes go nowhere once the reader of the pipe has left (``| head -1``)."""

    last_words = False  # whether the command ends then, since nobody reads what it computes

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._go_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._go_nowhere()

    def _go_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if self.last_words:
            raise SystemExit(_SIGPIPE)


def open_streams(*, ends_with_reader: bool) -> None:
    """Let standard output and error escape letters outside their encoding, as JSON does, and survive a closed pipe.

    Args:
        ends_with_reader: stop once nobody reads the output; otherwise, as in a training, go on.
    """
    codecs.register_error(_ESCAPE, _escaped)
    for name in ("stdout", "stderr"):
        before = getattr(sys, name)
        if type(before) is not io.TextIOWrapper:  # a test's, a notebook's, or closed
            continue
        buffering, encoding = before.line_buffering, before.encoding
        stream = _Output(before.detach(), encoding=encoding, errors=_ESCAPE, line_buffering=buffering)
        stream.last_words = ends_with_reader
        setattr(sys, name, stream)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)), error.end
