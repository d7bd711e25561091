"""A path goes in; its bytes come out, unpacked; a file whose contents do not match its name is refused."""

from __future__ import annotations

import contextlib
import gzip
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lstm_readout.errors import UserError
from lstm_readout.tokenizer.unpack import Unpacked

FORMATS = "csv, tsv, json(l), parquet or txt"  # a file of any other kind is read as txt
GZIP = b"\x1f\x8b"
_SPREADSHEETS = {".xlsx", ".xlsm", ".ods", ".numbers"}
# (offset, bytes) by which a kind of file is recognised: what it is, the command that unpacks it to stdout
PACKED = {
    (0, GZIP): ("gzip", "gzip -dc"),
    (0, b"PK\x03\x04"): ("a zip archive or an office document", "unzip -p"),
    (4, b"1AY&SY"): ("bzip2", "bzip2 -dc"),
    (0, b"\xfd7zXZ\x00"): ("xz", "xz -dc"),
    (0, b"\x28\xb5\x2f\xfd"): ("zstd", "zstd -dc"),
    (257, b"ustar\x0000"): ("a tar archive", "tar -xOf"),
    (257, b"ustar  \x00"): ("a tar archive", "tar -xOf"),
}


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked if its name ends in ``.gz``.

    Raises:
        UserError: the file is missing, empty, or not packed as its name says; or reading it inside the ``with`` fails.
    """
    try:
        _refuse_what_is_no_file(path)
        with path.open("rb") as raw:
            head = _head(raw, path)
            if path.suffix.lower() != ".gz":
                _refuse_packed(head, path)
                yield raw
                return
            if not head.startswith(GZIP):
                _refuse_packed(head, path)
                raise UserError(
                    f"data: '{path}' is named .gz, but is not gzip: it starts with {head[:16]!r}. "
                    f"Rename it to '{path.with_suffix('').name}', or pack it: gzip."
                )
            with Unpacked(raw, f"data: '{path}'") as content:
                file = cast(BinaryIO, content)
                _refuse_packed(_head(file, path), path, within="gzip that contains ")
                yield file
    except EOFError as error:
        raise UserError(
            f"data: '{path}' is truncated: its gzip has no end. Copy it again; gzip -t tests whether it is complete."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"data: '{path}' is damaged ({reason(error)}). Copy it again; gzip -t tests whether it is complete."
        ) from error
    except PermissionError as error:
        raise not_allowed(path) from error
    except OSError as error:
        raise UserError(f"data: could not read '{path}': {reason(error)}.") from error


def not_allowed(path: Path) -> UserError:
    """Return the error for a path without permission."""
    return UserError(f"data: you may not read '{path}'. Allow it: chmod u+rX {quoted(path)}.")


def quoted(path: Path) -> str:
    """Return a path quoted for the shell."""
    return shlex.quote(str(path))


def reason(error: BaseException) -> str:
    """Return the innermost cause in one line: ``datasets`` wraps what a user needs to know."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].rstrip('.')}" if text else type(error).__name__


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        names = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
        raise UserError(f"data: '{path}' is a folder, wanted a file; it contains {names}. Name one of its files.")
    if path.is_symlink():
        raise UserError(f"data: '{path}' is a link to '{path.readlink()}', which does not exist. Fix the link.")
    if path.exists():
        raise UserError(f"data: '{path}' is a pipe or a device, which cannot be read twice. Write it to a file first.")
    raise UserError(f"data: no such file: '{path}'. Give a {FORMATS} file.")


def _head(file: BinaryIO, path: Path) -> bytes:
    head = file.read(512)
    file.seek(0)
    if not head:
        raise UserError(f"data: '{path}' is empty (0 bytes). Give a file with text.")
    return head


def _refuse_packed(head: bytes, path: Path, within: str = "") -> None:
    for (offset, signature), (kind, command) in PACKED.items():
        if head[offset:].startswith(signature):
            if path.suffix.lower() in _SPREADSHEETS:
                raise UserError(f"data: '{path}' is a spreadsheet. Save it as csv (UTF-8) first.")
            rename = f"Rename it to '{path.name}.gz', or unpack" if kind == "gzip" and not within else "Unpack"
            unpack = "gzip -dc" if within else command
            raise UserError(f"data: '{path}' is {within}{kind}. {rename} it first: {unpack} {quoted(path)} > NEW_FILE")
