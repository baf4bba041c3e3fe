"""Zip files of models, as ``nnUNetv2_export_model_to_zip`` writes them, unpacked into the cache.

Only JSON files and weights are unpacked, and nothing is run. The folder is then checked like any
other.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from filelock import FileLock
from platformdirs import user_cache_path

from .. import DataError
from ..files.access import reading, writing
from ..files.appearing import appearing
from ..files.checksum import sha256
from ..files.disk import RESERVE
from ..files.limits import LARGEST_TEXT
from ..files.nnunet_names import is_plain_name

DAMAGED_ZIP: Final = "{file} is not a complete zip file. Copy or download it again."
UNSAFE_ZIP: Final = (
    "{file} was not unpacked, because its entry {entry} {reason}. Get the model again from where "
    "it was trained."
)
LEADS_OUT: Final = "leads out of the folder"
IS_LINK: Final = "is a link or another special file"
IS_TWICE: Final = "occurs twice in the file"
IS_PACKED_OTHERWISE: Final = "is encrypted or packed in a way that nnU-Net does not use"
IS_TOO_LARGE: Final = "is larger than such a file can be"
NO_ROOM_TO_UNPACK: Final = (
    "{file} unpacks to {needed:.1f} GB in {folder}, where {free:.1f} GB are free. Make room, or "
    "unpack it elsewhere and choose that folder."
)
PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MOST_PACKED: Final = 50
"""Bytes of weights from one packed byte; random weights barely shrink, zeros do by 1000."""
_KEPT: Final = (".json", ".pth")


def unpacked(file: Path) -> Path:
    """Return the folder of a zip file's models, which is unpacked once for each content.

    Raises DataError for a damaged file, entries that lead elsewhere, are links or far too large,
    and a full disk.
    """
    with reading(file):
        about = file.stat()
        name = _checksum(file, about.st_size, about.st_mtime_ns)[:32]
    folder = user_cache_path("napari-bayes-nnunet", appauthor=False) / "models" / name
    if folder.is_dir():
        return folder
    try:
        with reading(file), zipfile.ZipFile(file) as archive:
            kept = _checked(archive, file)
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):  # another process may be unpacking it
                if not folder.is_dir():
                    _unpack(archive, kept, file, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise DataError(DAMAGED_ZIP, file=file) from error
    return folder


@lru_cache(maxsize=8)
def _checksum(file: Path, size: int, changed_ns: int) -> str:
    return sha256(file)


def _checked(archive: zipfile.ZipFile, file: Path) -> list[zipfile.ZipInfo]:
    """Return the JSON files and weights. Raises DataError for an entry that cannot be trusted."""
    names: set[str] = set()
    for entry in archive.infolist():
        if reason := _why_unsafe(entry, names):
            raise DataError(UNSAFE_ZIP, file=file, entry=repr(entry.filename)[:200], reason=reason)
        names.add(entry.filename.casefold())
    return [
        entry
        for entry in archive.infolist()
        if not entry.is_dir() and PurePosixPath(entry.filename).suffix in _KEPT
    ]


def _why_unsafe(entry: zipfile.ZipInfo, names: set[str]) -> str:
    """Return why an entry cannot be trusted next to those of other ``names``, or ""."""
    # Unix modes are in the upper half; archives of Windows have 0 there.
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if not all(map(is_plain_name, entry.filename.rstrip("/").split("/"))):
        return LEADS_OUT
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return IS_LINK
    # On disks that ignore case the second would replace the first.
    if entry.filename.casefold() in names:
        return IS_TWICE
    if entry.flag_bits & 1 or entry.compress_type not in PACKINGS:
        return IS_PACKED_OTHERWISE
    most = MOST_PACKED * entry.compress_size if entry.filename.endswith(".pth") else LARGEST_TEXT
    is_kept = PurePosixPath(entry.filename).suffix in _KEPT
    return IS_TOO_LARGE if is_kept and entry.file_size > most else ""


def _unpack(
    archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], file: Path, folder: Path
) -> None:
    needed = sum(entry.file_size for entry in entries)
    free = shutil.disk_usage(folder.parent).free
    if needed + RESERVE > free:
        sizes = {"needed": needed / 1e9, "free": free / 1e9}
        raise DataError(NO_ROOM_TO_UNPACK, file=file, folder=folder.parent, **sizes)
    with writing(folder), appearing(folder) as unfinished:
        for entry in entries:
            place = unfinished / entry.filename
            place.parent.mkdir(parents=True, exist_ok=True)
            # Not more than `entry.file_size` is read, whatever the packed bytes say.
            with archive.open(entry) as packed, place.open("xb") as whole:
                shutil.copyfileobj(packed, whole, 2**20)
