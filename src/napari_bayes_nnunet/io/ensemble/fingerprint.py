"""Whether two folders, perhaps on two computers, hold the same ensemble."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from .ensemble_folder import EnsembleFolder


def fingerprint(folder: EnsembleFolder) -> str:
    """The same for equal plans, labels and weights in the same order, wherever they are.

    Weights are told apart by the checksums in their files' tables of contents: no gigabytes are
    read, and no torch is needed.
    """
    said = [folder.configuration, folder.plans, folder.labels, folder.channels]
    members = [
        [member.fold, member.epoch, member.cycle, _content(member.path)]
        for member in folder.members
    ]
    text = json.dumps([said, members], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _content(file: Path) -> list[tuple[int, int]]:
    """Size and checksum of what is in a file of weights; [] where it is damaged, or refused."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [(entry.file_size, entry.CRC) for entry in archive.infolist()]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []
