"""Full disks: their errors, and what caches leave free."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Final

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_LEAST_FREE: Final = 2**20
"""Free bytes of a disk that counts as full."""
RESERVE: Final = 2**30
"""Bytes that caches leave free on the disk."""


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is that of a full disk or a used-up quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def has_filled_disk(error: BaseException, folder: Path) -> bool:
    """Return whether writing into a folder failed with an error because its disk is full.

    Libraries such as blosc2 do not say why they could not write, so the free space is checked too.
    """
    return is_disk_full(error) or shutil.disk_usage(folder).free < _LEAST_FREE
