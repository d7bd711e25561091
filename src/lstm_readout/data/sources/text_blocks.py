"""A path goes in; its text comes out in blocks of whole lines: decoded and checked, in the memory of one block."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lstm_readout.data.sources.open_file import FORMATS, open_bytes, quoted
from lstm_readout.errors import UserError

BLOCK = 1 << 18  # bytes that are read at once
LONGEST_LINE = 1 << 26  # bytes; a stream holds one line at a time
# The four bytes of UTF-32 begin with the two of UTF-16
_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def text_blocks(path: Path, longest: int | None = None) -> Iterator[tuple[int, str]]:
    """Yield blocks of whole lines, with the number of their first line (from 1); a byte order mark is dropped.

    Args:
        longest: maximum bytes per line; None: no limit.

    Raises:
        UserError: the file cannot be opened, or a line is not UTF-8 text; names the line.
    """
    line, wide, rest = 1, False, []  # wide: a non-ASCII character was read; rest: pieces of a line
    with open_bytes(path) as file:
        _skip_byte_order_mark(file, path)
        while chunk := file.read(BLOCK):
            if 0 in chunk:
                raise _no_text(path, line + chunk.count(b"\n", 0, chunk.index(0)))
            end = chunk.rfind(b"\n") + 1
            if end:
                raw = b"".join([*rest, chunk[:end]])
                text = _decode(raw, line, wide, path)
                yield line, text
                line, wide, rest = line + raw.count(b"\n"), wide or not text.isascii(), []
            rest.append(chunk[end:])
            if longest is not None and len(rest) * BLOCK > longest + BLOCK:
                raise _too_long(path, line, longest)
        if raw := b"".join(rest):
            yield line, _decode(raw, line, wide, path)


def _skip_byte_order_mark(file: BinaryIO, path: Path) -> None:
    head = file.read(4)
    for mark, encoding in _WIDE.items():
        if head.startswith(mark):
            unpack = f"gzip -dc {quoted(path)} | " if path.suffix.lower() == ".gz" else ""
            convert = f"{unpack}iconv -f {encoding} -t UTF-8{'' if unpack else ' ' + quoted(path)}"
            raise UserError(f"data: '{path}' is {encoding} text, wanted UTF-8. Convert it: {convert} > NEW_FILE")
    if head == b"PAR1":
        raise UserError(f"data: '{path}' is a parquet file, not text. Rename it so that it ends in .parquet.")
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)


def _decode(raw: bytes, line: int, wide: bool, path: Path) -> str:
    """Decode whole lines; ``line`` is the number of the first, ``wide``: earlier ones had UTF-8 beyond ASCII."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        number = line + raw.count(b"\n", 0, error.start)
        where = f"line {number:,}, byte 0x{raw[error.start]:02x}"
        readable = [_is_utf_8(one) for one in raw.split(b"\n") if not one.isascii()]
        if wide or 2 * sum(readable) >= len(readable):
            raise UserError(
                f"data: '{path}' mixes encodings: {where} is not UTF-8, though other lines are. Rewrite that line; "
                "iconv -c -f UTF-8 -t UTF-8 drops what is not UTF-8."
            ) from error
        raise UserError(
            f"data: '{path}' is not UTF-8 text ({where}). Wanted a {FORMATS} file; "
            "convert another encoding first, for example: iconv -f LATIN1 -t UTF-8."
        ) from error


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _no_text(path: Path, line: int) -> UserError:
    return UserError(
        f"data: '{path}' is not text: line {line:,} has a NUL byte. Wanted a {FORMATS} file. "
        "iconv -f UTF-16LE -t UTF-8 converts UTF-16 text; tr -d '\\000' removes a stray NUL."
    )


def _too_long(path: Path, line: int, longest: int) -> UserError:
    return UserError(
        f"data: line {line:,} of '{path}' is longer than {longest:,} bytes; a line is a row, which a stream reads "
        f"whole. Split it, for example: fold -s -w 1000 {quoted(path)} > NEW_FILE"
    )
