"""Archives with a name, in ``archives.json`` in the user's config folder; no login is in it."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from platformdirs import user_config_path

from . import DataError
from .files.access import writing
from .files.atomic import write_json

PACKAGES: Final = ("dicomweb_client", "keyring", "requests")
"""Packages of the extra ``archive``."""
NO_CLIENT: Final = "The package {package} is missing. Install it with: pip install {package}"
REPAIR: Final = "Correct or delete it, then add your archives again."
UNKNOWN_ARCHIVE: Final = (
    "No archive is called {name} (known: {known}). Add it with bayes-nnunet archive add, or give "
    "an address such as https://archive.example.org/dicom-web."
)
NO_ARCHIVE_NAME: Final = "{name!r} cannot be the name of an archive. Choose a name without “://”."


@dataclass(frozen=True)
class KnownArchive:
    """An archive by its name, under which the keyring has the login.

    ``ca`` is the path of the PEM file of the authority that vouches for ``url``, or "".
    """

    name: str
    url: str
    ca: str = ""

    @property
    def ca_file(self) -> Path | None:
        """PEM file of its own authority."""
        return Path(self.ca) if self.ca else None


def archives_file() -> Path:
    """Return the path of ``archives.json``."""
    return user_config_path("napari-bayes-nnunet", appauthor=False) / "archives.json"


def read_archives() -> dict[str, KnownArchive]:
    """Return the archives by name. Raises DataError if the file is damaged or unreadable."""
    from .files.json_files import read_json  # which loads NumPy

    try:
        archives = read_json(archives_file(), list[KnownArchive], repair=REPAIR)
    except FileNotFoundError:
        archives = []
    return {archive.name: archive for archive in archives}


def find_archive(place: str) -> KnownArchive:
    """Return the archive with a name or an address. Raises DataError for an unknown name."""
    if "://" in place:
        return KnownArchive(place, place)
    known = read_archives()
    if place not in known:
        raise DataError(UNKNOWN_ARCHIVE, name=place, known=", ".join(known) or "none")
    return known[place]


def keep_archive(archive: KnownArchive) -> None:
    """Add or replace an archive. Raises DataError for an impossible name, or if writing fails."""
    if not archive.name.strip() or "://" in archive.name:
        raise DataError(NO_ARCHIVE_NAME, name=archive.name)
    _write(read_archives() | {archive.name: archive})


def forget_archive(name: str) -> None:
    """Remove an archive. Raises DataError for an unknown name, or if writing fails."""
    forgotten = find_archive(name)
    _write({key: known for key, known in read_archives().items() if known != forgotten})


def _write(archives: dict[str, KnownArchive]) -> None:
    file = archives_file()
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, [asdict(archive) for archive in archives.values()])


def check_client() -> None:
    """Raise DataError if a package is missing that talks to archives."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise DataError(NO_CLIENT, package=package)
