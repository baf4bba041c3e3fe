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
