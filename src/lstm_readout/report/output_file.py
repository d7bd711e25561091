"""Where a result goes: a path is checked before the work, and its file is written after it, whole or not at all."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lstm_readout.errors import UserError


def checked_output(value: Any, *, key: str = "output", overwrite: bool = False) -> Path:
    """Return the path of a file that can be written, and that replaces nothing unless asked to.

    Args:
        value: what the user gave as ``key``.
        key: names it in messages.
        overwrite: whether an existing file may be replaced.

    Raises:
        UserError: something is there already; it is, or would be, anything but a plain file; or its folder is missing
            or cannot be written.
    """
    text = str(value)
    given = Path(text).expanduser()
    if given.name in ("", "..") or text.endswith("/"):
        raise UserError(f"{key}: wanted the name of a file, got '{text}'. For example {key}=result.json.")
    try:
        path = given.resolve() if given.is_symlink() else given
        if path.is_dir():
            raise UserError(f"{key}: '{given}' is a folder. Name a file in it.")
        if given.is_symlink() and not path.exists():
            raise UserError(f"{key}: '{given}' is a link to '{path}', which does not exist. Name another file.")
        if path.exists() and not path.is_file():
            raise UserError(f"{key}: '{given}' is a device or a pipe, not a plain file. Name another file.")
        if path.exists() and not overwrite:
            or_replace = ", remove it first, or set overwrite=true" if key == "output" else ", or remove it first"
            raise UserError(f"{key}: '{given}' already exists. Name another file{or_replace}.")
        if not path.parent.is_dir():
            raise UserError(f"{key}: no such folder: '{path.parent}'. Make it first.")
        with tempfile.TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{key}: cannot write '{given}': {reason}. Name another file: {key}=...") from error


def write_file(path: Path, content: str | bytes) -> None:
    """Write beside the path and rename: an interrupted call leaves what was there before.

    Raises:
        UserError: the file cannot be written.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write '{path}': {error.strerror or error}.") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
