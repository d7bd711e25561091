"""Word vectors in a text file: a path and a set of words go in, their vectors come out.

The formats are GloVe (a word and its numbers per line), fastText and word2vec (the same after a header: the number of
words, and of numbers per word), gzip'd or not. The file is read line by line, and only lines of wanted words are
parsed: the file is never held in memory.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import zipfile
import zlib
from array import array
from collections.abc import Collection, Iterator
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.unpack import Unpacked

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # bytes
_LONGEST_LINE = 1 << 22  # bytes
_TOO_LARGE = 1e30  # no word vector has a number this large, and float32 can still hold it
GIVE = "Give the text file of GloVe, fastText (.vec) or word2vec, gzip'd or not."


class WordVectors(NamedTuple):
    """The words that were found."""

    words: dict[str, int]  # word -> its row
    values: np.ndarray  # (words, size) float32


class VectorFile:
    """A file of word vectors.

    Args:
        path: the file.
        key: the configuration's key that named it, for messages.

    Raises:
        UserError: while reading: there is no such file, it is broken, or not made of words and their numbers.
    """

    def __init__(self, path: str | Path, key: str = "vectors.path") -> None:
        self.path, self.key = Path(path).expanduser(), key
        self.name = f"'{path}'"

    @property
    def size(self) -> int:
        """Numbers per word."""
        return self._beginning[0]

    def read(self, words: Collection[str]) -> WordVectors:
        """Return the vectors of those ``words`` that the file has; if it has a word twice, the first."""
        _ = self._beginning  # raises if there is no such file
        stat = self.path.stat()
        return _read(self.path, self.key, (stat.st_size, stat.st_mtime_ns), frozenset(words))

    @cached_property
    def _beginning(self) -> tuple[int, int | None]:
        """Numbers per word, and the number of words if the file has a header."""
        with self._opened() as file:
            head = file.read(BLOCK)
        if not head.strip():
            raise UserError(f"{self.key}: {self.name} is empty. {GIVE}")
        if b"\0" in head or (b"\n" not in head and len(head) == BLOCK):
            raise UserError(f"{self.key}: {self.name} is binary, not text. {GIVE}")
        line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
        header = re.fullmatch(rb"[ \t]*(\d+)[ \t]+(\d+)[ \t\r]*", line)
        if header and int(header[2]) > 0:
            return int(header[2]), int(header[1])
        size = 0
        # From the end, because a word may contain spaces; by spaces only, as in ``_wanted``: it may be other whitespace
        for field in reversed(line.rstrip(b" \r").split(b" ")[1:]):
            if not _is_number(field):
                break
            size += 1
        if not size:
            raise self._malformed(1, head.partition(b"\n")[0], "a word and its numbers")
        return size, None

    def _wanted(self, words: Collection[str]) -> WordVectors:
        wanted = {word.encode("utf-8", "surrogatepass") for word in words}
        begins = wanted | {word.partition(b" ")[0] for word in wanted}
        (size, announced), found, values = self._beginning, {}, array("f")
        number = foreign = 0
        with self._opened() as file:
            for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), b""), 1):
                if len(line) == _LONGEST_LINE:
                    raise self._malformed(number, line[:60], f"a word and {size:,} numbers on one line")
                if number == 1:
                    if announced is not None:
                        continue
                    line = line.removeprefix(b"\xef\xbb\xbf")
                word = line[: line.find(b" ")]
                if line.count(b" ") < size:
                    if line.isspace():
                        continue
                    raise self._malformed(number, line, f"a word and {size} numbers")
                if not word.isascii() and not _is_utf8(word):
                    foreign += 1
                elif word in begins:
                    word, *fields = line.rstrip(b" \r\n").rsplit(b" ", size)
                    if word in wanted and word not in found:
                        values.frombytes(self._parsed(number, line, fields).tobytes())
                        found[word] = len(found)
                        if len(found) == len(wanted):
                            break
            else:
                self._check_whole(number, announced)
        if foreign:
            log.warning("%s: in %s, skipped %s word(s) that are not UTF-8", self.key, self.name, f"{foreign:,}")
        decoded = {word.decode("utf-8", "surrogatepass"): row for word, row in found.items()}
        return WordVectors(decoded, np.frombuffer(values, dtype=np.float32).reshape(-1, size))

    def _parsed(self, number: int, line: bytes, fields: list[bytes]) -> np.ndarray:
        """Return the numbers of one line: (size,) float32."""
        try:
            row = np.array([float(field) for field in fields])
        except ValueError:
            raise self._malformed(number, line, f"a word and {self.size} numbers") from None
        if len(row) != self.size:
            raise self._malformed(number, line, f"a word and {self.size} numbers")
        if not (np.abs(row) < _TOO_LARGE).all():  # nor is nan
            raise self._malformed(number, line, "finite numbers")
        return row.astype(np.float32)

    def _check_whole(self, lines: int, announced: int | None) -> None:
        """Warn about a file that ends too early, or is longer than its header says."""
        if announced is not None and lines - 1 != announced:
            message = "%s: the header of %s announces %s words, the file has %s. Is it complete?"
            log.warning(message, self.key, self.name, f"{announced:,}", f"{lines - 1:,}")

    def _malformed(self, number: int, line: bytes, wanted: str) -> UserError:
        text = line.strip().decode("utf-8", "replace")
        shown = text if len(text) <= 60 else f"{text[:30]} ... {text[-25:]}"
        return UserError(
            f"{self.key}: {self.name}, line {number:,}: wanted {wanted}, separated by spaces, got '{shown}'. "
            f"Is the file complete? {GIVE}"
        )

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Open the file, unpacked; errors while reading it become a ``UserError``."""
        try:
            with self.path.open("rb", BLOCK) as file:
                magic = file.read(2)
                file.seek(0)
                if magic == b"PK" and zipfile.is_zipfile(file):
                    names = ", ".join(zipfile.ZipFile(file).namelist()[:5])
                    raise UserError(f"{self.key}: {self.name} is a zip archive of {names}. Unpack it, and name one.")
                if magic == b"\x1f\x8b":
                    content: Any = Unpacked(file, f"{self.key}: {self.name}")
                    yield io.BufferedReader(content, BLOCK)  # faster per line than gzip's own
                else:
                    yield file
        except FileNotFoundError as error:
            raise UserError(f"{self.key}: no such file: {self.name}. {GIVE}") from error
        except IsADirectoryError as error:
            raise UserError(f"{self.key}: {self.name} is a folder. {GIVE}") from error
        except (EOFError, zlib.error, OSError) as error:
            raise UserError(f"{self.key}: {self.name} could not be read ({error}). {GIVE}") from error


@lru_cache(maxsize=2)  # every run of a comparison reads the same words
def _read(path: Path, key: str, stamp: tuple[int, int], words: frozenset[str]) -> WordVectors:
    return VectorFile(path, key)._wanted(words)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
