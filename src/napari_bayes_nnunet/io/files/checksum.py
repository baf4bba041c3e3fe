"""Checksums of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from .special import refuse_special


def sha256(file: Path) -> str:
    """Return the SHA-256 checksum of a file's content, in hexadecimal digits. Raises OSError."""
    refuse_special(file)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def may_be_same(first: str | None, second: str | None) -> bool:
    """Return whether two checksums may be of one content; an unknown one agrees with any."""
    return first == second or not (first and second)


def sha256_of_files(files: Iterable[Path]) -> str:
    """Return a SHA-256 of several files, whatever their names and their order."""
    return hashlib.sha256("".join(sorted(map(sha256, files))).encode()).hexdigest()


def file_state(file: Path) -> tuple[int, int, int]:
    """Return numbers that change with the content of a file, all 0 if it has none to look at.

    They are its size, the time of its last change in ns and, because a file that was replaced in
    the same tick of the clock may have the same size, its inode. A missing file has none, and
    neither has a loop of links, which is reported when it is read.
    """
    try:
        stat = file.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
