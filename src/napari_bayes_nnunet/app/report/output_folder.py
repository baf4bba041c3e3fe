"""The folder a report is written into."""

from __future__ import annotations

import os
from pathlib import Path

from .. import AppError


def check_writable(report: Path) -> None:
    """Raise AppError where the folder cannot be made or written: before long work ends there."""
    try:
        place = next(place for place in (report, *report.absolute().parents) if place.exists())
    except OSError as error:  # a name that is too long
        raise unwritable(report, error) from error
    if not place.is_dir():
        raise AppError(f"{place} is no folder: choose another one for the report.")
    if not os.access(place, os.W_OK):
        raise AppError(f"{place} cannot be written to: choose another folder for the report.")


def unwritable(report: Path, error: OSError) -> AppError:
    """The sentence for a folder that cannot be written."""
    return AppError(
        f"{report} cannot be used as a folder for the report: {error.strerror or error}."
    )
