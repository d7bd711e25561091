"""A checkpoint goes in, a file comes out: the new one or the one before it, but never a part of one.

Lightning writes into ``TMPDIR`` and moves the file from there. If that is another file system the move is a copy, and
a kill or a full disk in the middle of it leaves neither the old file nor the new one.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lstm_readout.errors import UserError

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"  # the newest state of a run, and the one before it


class WholeFiles(TorchCheckpointIO):
    """Write a checkpoint beside its place, wait until the disk has it, and rename it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint; a ``last.ckpt`` that was there before becomes ``previous.ckpt``.

        Raises:
            UserError: it cannot be written: the disk is full, or the folder is read-only.
        """
        if "://" in str(path):
            return super().save_checkpoint(checkpoint, path, storage_options)
        path = Path(path)
        partial = path.with_name(f"{path.name}.partial")
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(partial, content.getbuffer())
            if path.name == LAST and path.exists():
                _link(path, path.with_name(PREVIOUS))
            partial.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise UserError(
                f"checkpoint: could not write '{path}': {error.strerror}. "
                "What was saved before is whole: mend this, then resume the run."
            ) from error
        finally:
            _remove(partial)


def _write(path: Path, content: memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(path: Path, other: Path) -> None:
    """Give a file a second name in place of another file; ``path`` exists throughout."""
    partial = other.with_name(f"{other.name}.partial")
    _remove(partial)
    try:
        partial.hardlink_to(path)
    except OSError:  # a file system without links
        path.replace(partial)
    partial.replace(other)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # the folder is read-only, which is reported where the file is written
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the new name as well, where folders can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
