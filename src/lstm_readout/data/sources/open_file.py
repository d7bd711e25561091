"""A path goes in; its bytes come out, unpacked; a file of another kind than its name says is refused."""

from __future__ import annotations

import contextlib
import gzip
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lstm_readout.errors import UserError

FORMATS = "csv, tsv, json(l), parquet or txt"  # a file of any other kind is read as txt
GZIP = b"\x1f\x8b"
# Where a file is known by (offset, bytes): what it is, the command that unpacks it to stdout
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
        UserError: there is no such file, it is empty or packed in another way than its name says; and for what
            goes wrong while it is read inside the ``with``.
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
                    f"data: '{path}' is named .gz, but is no gzip: it starts with {head[:16]!r}. "
                    f"Name it '{path.with_suffix('').name}', or pack it: gzip."
                )
            with gzip.open(raw) as unpacked:
                file = cast(BinaryIO, unpacked)
                _refuse_packed(_head(file, path), path, within="gzip that holds ")
                yield file
    except EOFError as error:
        raise UserError(
            f"data: '{path}' is cut short: its gzip has no end. Copy it anew; gzip -t shows if it is whole."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"data: '{path}' is damaged ({reason(error)}). Copy it anew; gzip -t shows if it is whole."
        ) from error
    except PermissionError as error:
        raise not_allowed(path) from error
    except OSError as error:
        raise UserError(f"data: could not read '{path}': {reason(error)}.") from error


def not_allowed(path: Path) -> UserError:
    """Return the error for a path without permission."""
    return UserError(f"data: '{path}' may not be read by you. Allow it: chmod u+rX {quoted(path)}.")


def quoted(path: Path) -> str:
    """Return a path as a shell takes it."""
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
        raise UserError(f"data: '{path}' is a folder, wanted a file; it holds {names}. Name one of its files.")
    if path.is_symlink():
        raise UserError(f"data: '{path}' is a link to '{path.readlink()}', which is not there. Mend the link.")
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
            rename = f"Name it '{path.name}.gz', or unpack" if kind == "gzip" and not within else "Unpack"
            unpack = "gzip -dc" if within else command
            raise UserError(f"data: '{path}' is {within}{kind}. {rename} it first: {unpack} {quoted(path)} > NEW_FILE")
