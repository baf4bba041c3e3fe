"""Paths that a user gives."""

from __future__ import annotations

from pathlib import Path

from .. import DataError

NO_PATH = "The path is empty. Give the path of a file or folder."


def given_path(path: Path | str) -> Path:
    """Return a path. Raises DataError for an empty text, which would mean the current folder."""
    if isinstance(path, str) and not path.strip():
        raise DataError(NO_PATH)
    return Path(path)


def is_same_path(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one file or folder.

    On a disk that ignores upper and lower case, ``Images`` and ``images`` do.
    """
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist
        return first.resolve() == second.resolve()


def is_within(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder, or lies in it."""
    whole = path.resolve()
    return any(is_same_path(part, folder) for part in (whole, *whole.parents))
