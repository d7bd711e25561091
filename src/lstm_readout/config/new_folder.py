"""A folder that a run is about to write into goes in; it is found writable, and a refused run leaves nothing there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lstm_readout.config.refuse import Refused
from lstm_readout.errors import UserError


def check_writable(setting: str, folder: Path) -> None:
    """Raise ``UserError`` where the folder of ``setting`` cannot be made or written into."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{setting}: '{there}' is a file, so there can be no folder '{folder}'. Name another.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{setting}: you may not write into '{there}'. Name another folder: {setting}=...")


class NewFolder:
    """Remember what a folder holds, and which of its parents exist."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._before = {*folder.iterdir()} if folder is not None and folder.is_dir() else None
        self._new_parents = [parent for parent in folder.parents if not parent.exists()] if folder else []

    @contextlib.contextmanager
    def removed_after_refusal(self) -> Iterator[None]:
        """Leave nothing where a run is refused before its first step."""
        try:
            yield
        except Refused as refused:
            if not refused.began:
                self.remove()
            raise

    def remove(self) -> None:
        """Remove what is new, unless a checkpoint is among it: then there is something to keep."""
        if self.folder is None or not self.folder.is_dir() or next(self.folder.rglob("*.ckpt"), None) is not None:
            return
        for path in self.folder.iterdir():
            if self._before is None or path not in self._before:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        with contextlib.suppress(OSError):  # a parent may hold another run by now
            for folder in [self.folder, *self._new_parents] if self._before is None else []:
                folder.rmdir()
