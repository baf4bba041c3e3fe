"""Pipes, sockets and devices, which are neither files nor folders."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Final

SPECIAL_FILE: Final = "{path} is a pipe, a socket or a device. Give the path of a file or folder."


def is_special(path: Path) -> bool:
    """Return whether a path exists, but is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def may_be_file(path: Path) -> bool:
    """Return whether a path is a file, or permissions hide what it is: whoever opens it is told."""
    try:
        return path.is_file()
    except OSError:
        return True


def refuse_special(file: Path) -> None:
    """Raise OSError for a pipe, socket or device: reading from it may never end."""
    if is_special(file):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device", str(file))
