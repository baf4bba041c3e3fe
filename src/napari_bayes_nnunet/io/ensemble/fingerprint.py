"""Fingerprint by which two folders, perhaps on two computers, hold the same ensemble."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from .ensemble_folder import EnsembleFolder


def fingerprint(folder: EnsembleFolder) -> str:
    """Return a text that is equal for equal plans, labels and weights in the same order.

    Weights are compared by the checksums in the tables of contents of their files, so gigabytes
    need not be read, and torch is not needed.
    """
    network = [folder.configuration, folder.plans, folder.labels, folder.channels]
    members = [
        [member.fold, member.epoch, member.cycle, _content(member.path)]
        for member in folder.members
    ]
    text = json.dumps([network, members], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _content(file: Path) -> list[tuple[int, int]]:
    """Return size and checksum of each entry of a file of weights; [] if it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [(entry.file_size, entry.CRC) for entry in archive.infolist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []
