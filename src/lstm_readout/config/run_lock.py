"""A run folder goes in; it belongs to this process until the process ends, however it ends, or takes another folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lightning.fabric.utilities.rank_zero import rank_zero_only

from lstm_readout.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NAME = ".lock"
_held: dict[Path, int] = {}  # lock file -> its descriptor; one at most: the jobs of a sweep follow each other


def hold(folder: Path) -> None:
    """Take a run folder: two processes that write into one would mix two runs.

    The lock is the operating system's, so a killed process loses it. Where there is none, nothing is locked; of several
    processes that train together the first one has it.

    Raises:
        UserError: another process has the folder, or it cannot be written.
    """
    path = folder.resolve() / _NAME
    if path in _held or getattr(rank_zero_only, "rank", 0):
        return
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"hydra.run.dir: cannot write in '{folder}': {error.strerror}. Name another folder.") from error
    _lock(file, folder)
    os.truncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    for other in [*_held]:
        os.close(_held.pop(other))
    _held[path] = file


def _lock(file: int, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # a file system without locks
        number = os.read(file, 20).decode(errors="replace")
        os.close(file)
        raise UserError(
            f"resume: process {number} is still training in '{folder}'. Wait until it ends, or stop it."
        ) from error
