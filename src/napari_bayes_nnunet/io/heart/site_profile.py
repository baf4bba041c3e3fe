"""File of a site's profile."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from ...core.heart.site_profile import SiteProfile
from .. import DataError
from ..files.access import writing
from ..files.atomic import write_json
from ..files.json_files import read_json

NO_FILE: Final = "The profile {file} does not exist. Make one with bayes-nnunet profile."
SITE_FILE: Final = "site.json"
"""Name of the profile that is learnt in a window, in the folder of its studies."""
_FORMAT: Final = 1
_REPAIR: Final = "Make or learn the profile again with bayes-nnunet profile."


def read_profile(file: Path) -> SiteProfile:
    """Return the profile in a file. Raises DataError if it is missing or damaged."""
    try:
        return read_json(file, SiteProfile, repair=_REPAIR, newest=_FORMAT)
    except FileNotFoundError as error:
        raise DataError(NO_FILE, file=file) from error


def write_profile(file: Path, profile: SiteProfile) -> None:
    """Write a profile. Raises DataError if it cannot be written."""
    with writing(file):
        write_json(file, {"format": _FORMAT, **asdict(profile)})
