"""A folder goes in; a link out of it, or anything but plain files and folders in it, comes out as a refusal."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lstm_readout.errors import UserError


def check_plain(folder: Path) -> None:
    """Check a run folder before anything is written to it: through a link it would be written elsewhere.

    Raises:
        UserError: it holds a link that leads out of it, a device, a pipe or a socket.
    """
    root = folder.resolve()
    for parent, folders, names in os.walk(root):
        for path in (Path(parent, name) for name in (*folders, *names)):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) and not path.resolve().is_relative_to(root):
                raise UserError(
                    f"resume: '{path}' is a link to '{path.readlink()}', outside of the run folder, where the run "
                    "would write. Put what it points to in its place."
                )
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                raise UserError(f"resume: '{path}' is neither a file nor a folder. Remove it.")
