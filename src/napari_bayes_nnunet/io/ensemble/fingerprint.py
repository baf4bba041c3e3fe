"""Fingerprint by which two folders, perhaps on two computers, hold the same ensemble."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Final

from ..files.limits import read_small
from .ensemble_folder import EnsembleFolder

CALIBRATION_FILE: Final = "calibration.json"


def fingerprint(folder: EnsembleFolder) -> str:
    """Return a text that is equal for equal plans, labels, calibrations and weights in order.

    Weights are compared by the checksums in the tables of contents of their files, so gigabytes
    need not be read, and torch is not needed.
    """
    # Names and paths are left out, because copies have others.
    network = [folder.configuration, folder.plans, folder.labels, folder.channels]
    members = [
        [member.fold, member.epoch, member.cycle, _content(member.path)]
        for member in folder.members
    ]
    calibrations = _text(folder.path / CALIBRATION_FILE)
    text = json.dumps([network, members, calibrations], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _content(file: Path) -> list[tuple[int, int]]:
    """Return size and checksum of each entry of a file of weights; [] if it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [(entry.file_size, entry.CRC) for entry in archive.infolist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []


def _text(file: Path) -> str:
    """Return the content of a small file, "" if it is missing or cannot be read."""
    try:
        return read_small(file).decode(errors="replace")
    except OSError:
        return ""
