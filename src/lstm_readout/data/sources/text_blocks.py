"""A path goes in; its text comes out in blocks of whole lines: decoded and checked, in the memory of one block.

Text is UTF-8, or what a byte order mark or the user says. A line ends at ``\\n``; only in a file that begins with lines
that end in ``\\r`` alone, as old Macs wrote them, it ends there.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lstm_readout.data.sources.open_file import FORMATS, open_bytes, quoted
from lstm_readout.errors import UserError

BLOCK = 1 << 18  # bytes that are read at once
LONGEST_LINE = 1 << 26  # bytes; a stream holds one line at a time
_HEAD = 1 << 16  # bytes that show how lines end
# The four bytes of UTF-32 begin with the two of UTF-16
_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text_blocks(path: Path, longest: int | None = None, encoding: str = "auto") -> Iterator[tuple[int, str]]:
    """Yield blocks of whole lines, with the number of their first line (from 1); a byte order mark is dropped.

    Args:
        longest: maximum bytes per line; None: no limit.
        encoding: of the file; ``auto``: UTF-8, or what its byte order mark says.

    Raises:
        UserError: the file cannot be opened, or a line is not text of this encoding; names the line.
    """
    with open_bytes(path) as file:
        head = file.read(_HEAD)
        file.seek(0)
        encoding = _encoding_of(head, encoding)
        if head[:4] == b"PAR1":
            raise UserError(f"data: '{path}' is a parquet file, not text. Rename it so that it ends in .parquet.")
        first = head.decode(encoding, errors="ignore")
        mac = "\r" in first and "\n" not in first
        if codecs.lookup(encoding).name != "utf-8":
            yield from _other_blocks(file, path, encoding, longest, mac)
            return
        if head.startswith(codecs.BOM_UTF8):
            file.seek(len(codecs.BOM_UTF8))
        yield from _blocks(file, path, longest, mac)


def first_characters(path: Path, encoding: str) -> str:
    """Return the beginning of a file, whatever is wrong with it."""
    with open_bytes(path) as file:
        head = file.read(_HEAD)
    return head.decode(_encoding_of(head, encoding), errors="replace").removeprefix("\ufeff")


def _encoding_of(head: bytes, encoding: str) -> str:
    marked = next((name for mark, name in _WIDE.items() if head.startswith(mark)), "utf-8")
    return marked if encoding == "auto" else encoding


def _blocks(file: BinaryIO, path: Path, longest: int | None, mac: bool) -> Iterator[tuple[int, str]]:
    line, wide, rest = 1, False, []  # wide: a non-ASCII character was read; rest: pieces of a line
    while chunk := file.read(BLOCK):
        if 0 in chunk:
            raise _no_text(path, line + chunk.count(b"\n", 0, chunk.index(0)))
        if mac:
            chunk = chunk.replace(b"\r", b"\n")
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


def _other_blocks(
    file: BinaryIO, path: Path, encoding: str, longest: int | None, mac: bool
) -> Iterator[tuple[int, str]]:
    """Yield the blocks of a file that is not UTF-8."""
    decoder, line, rest = codecs.getincrementaldecoder(encoding)(), 1, []
    while True:
        chunk = file.read(BLOCK)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise UserError(
                f"data: '{path}' is not {encoding} text (line {line:,} or below, byte "
                f"0x{error.object[error.start]:02x}). Name its encoding: data.format.encoding=..."
            ) from error
        if mac:
            text = text.replace("\r", "\n")
        end = text.rfind("\n") + 1 if chunk else len(text)
        whole = "".join([*rest, text[:end]]) if end or not chunk else ""
        if "\0" in whole:
            raise _no_text(path, line + whole.count("\n", 0, whole.index("\0")))
        if whole:
            yield line, whole
            line, rest = line + whole.count("\n"), []
        if not chunk:
            return
        rest.append(text[end:])
        if longest is not None and sum(map(len, rest)) > longest:
            raise _too_long(path, line, longest)


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
            f"data: '{path}' is not UTF-8 text ({where}). Wanted a {FORMATS} file; name another encoding, for example "
            "data.format.encoding=cp1252 (Windows) or latin-1."
        ) from error


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _no_text(path: Path, line: int) -> UserError:
    return UserError(
        f"data: '{path}' is not text: line {line:,} has a NUL byte. Wanted a {FORMATS} file. If it is UTF-16: "
        "data.format.encoding=utf-16-le; tr -d '\\000' removes a stray NUL."
    )


def _too_long(path: Path, line: int, longest: int) -> UserError:
    return UserError(
        f"data: line {line:,} of '{path}' is longer than {longest:,} bytes; a line is a row, which a stream reads "
        f"whole. Split it, for example: fold -s -w 1000 {quoted(path)} > NEW_FILE"
    )
