"""Checks of the folder to write a report into."""

from __future__ import annotations

import os
from pathlib import Path

from ...core.problems import Action
from .. import AppError


def check_writable(report: Path) -> None:
    """Raise AppError, before long work, if the folder cannot be created or written to."""
    try:
        existing = next(path for path in (report, *report.absolute().parents) if path.exists())
    except OSError as error:  # a name that is too long
        raise unwritable(report, error) from error
    if not existing.is_dir():
        raise unwritable(existing, NotADirectoryError("it is not a folder"))
    if not os.access(existing, os.W_OK):
        raise unwritable(existing, PermissionError("it is read-only"))


def unwritable(folder: Path, error: OSError) -> AppError:
    """Return the error for a folder that cannot be written to."""
    return AppError(
        "{folder} cannot be used for the report ({reason}).",
        Action.OTHER_OUTPUT,
        folder=folder,
        reason=error.strerror or error,
    )
