"""Paths that a user gives."""

from __future__ import annotations

import os
from pathlib import Path

from .. import DataError

NOT_A_FOLDER = "{folder} is not a folder. Choose the folder of the {contents}."
NO_PATH = "The path is empty. Give the path of a file or folder."


def check_folder(folder: Path, contents: str) -> None:
    """Raise DataError unless the folder of ``contents``, such as "images", exists."""
    if not folder.is_dir():
        raise DataError(NOT_A_FOLDER, folder=folder, contents=contents)


def given_path(path: Path | str) -> Path:
    """Return a path. Raises DataError for an empty text, which would mean the current folder."""
    if isinstance(path, str) and not path.strip():
        raise DataError(NO_PATH)
    return Path(path)


def expand_home(path: Path | str) -> Path:
    """Return a path with ``~`` replaced, or as it is if that names no user.

    Unlike `Path.expanduser`, this raises no RuntimeError.
    """
    return Path(os.path.expanduser(path))


def resolve_links(path: Path) -> Path:
    """Return an absolute path without links; a link in a loop stays as it is.

    `Path.resolve` raises RuntimeError for a loop before Python 3.13.
    """
    return Path(os.path.realpath(path))


def file_identity(path: Path) -> tuple[int, int] | Path:
    """Return what tells a file or folder from all others, whichever path leads to it.

    That is the number of its disk and its own; without a number, as on some network drives of
    Windows, its path without links. Raises OSError if it does not exist.
    """
    status = path.stat()
    return (status.st_dev, status.st_ino) if status.st_ino else resolve_links(path)


def is_same_path(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one file or folder.

    On a disk that ignores upper and lower case, ``Images`` and ``images`` do.
    """
    try:
        return file_identity(first) == file_identity(second)
    except OSError:  # one of them does not exist
        return resolve_links(first) == resolve_links(second)
