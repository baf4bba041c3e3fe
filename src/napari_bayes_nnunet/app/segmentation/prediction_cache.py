"""Cache of predictions, so that another method or number of members need not compute them again.

Each prediction is a file with the exact output of the network. The least recently used files are
deleted when the cache would exceed its limit.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...io.ensemble.ensemble_folder import Member
from .forward_pass import ForwardPass

LIMIT = 2**30
"""Bytes: 30 members with 4 classes for two phases of 12 x 256 x 256 voxels take 720 MiB."""
MIRRORS = 8
"""Number of mirrored copies of a 3D image, after which they repeat; also a multiple of 1, 2, 4."""
RESERVE = 2**30
"""Bytes to leave free on the disk."""
Files = tuple[tuple[str, int, int], ...]
"""Path, time of the last change in ns, and size of each."""


class PredictionCache:
    """Probabilities (C, Z, Y, X) float32 of passes, in ``folder`` with at most ``limit`` bytes."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self._limit = limit

    def find(self, key: str) -> NDArray[np.float32] | None:
        """Return the probabilities of a `cache_key`, or None if they are not in the cache."""
        file = self._file(key)
        try:
            probabilities: NDArray[np.float32] = np.load(file)
            file.touch()
        except (OSError, ValueError, EOFError):
            return None
        return probabilities

    def store(self, key: str, probabilities: NDArray[np.float32]) -> None:
        """Store probabilities, if there is room for them."""
        if probabilities.nbytes > self._limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(probabilities.nbytes)
            if shutil.disk_usage(self.folder).free >= RESERVE + probabilities.nbytes:
                np.save(self._file(key), probabilities)
            else:
                self._drop_all()
        except OSError:
            self._drop_all()

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _drop_all(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self, needed: int) -> None:
        files = sorted(self.folder.glob("*.npy"), key=lambda file: file.stat().st_mtime_ns)
        used = sum(file.stat().st_size for file in files)
        for file in files:
            if used + needed <= self._limit:
                return
            used -= file.stat().st_size
            file.unlink()


def image_digest(image: NDArray[Any], spacing: tuple[float, ...]) -> str:
    """Return a digest of an image and its spacing."""
    digest = hashlib.blake2b(f"{image.shape} {image.dtype} {spacing}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def cache_key(
    image: str,
    network: str,
    forward_pass: ForwardPass,
    files: Files,
    *,
    mirroring: str,
    computed: str,
) -> str:
    """Return the key of a pass over an image, given its digest and the plans of the network.

    ``files`` identify the weights, so that a replaced member gets another key. ``computed`` names
    the device and the number type.
    """
    turn = None if forward_pass.turn is None else forward_pass.turn % MIRRORS
    parts = (image, network, files, forward_pass.dropout_seed, turn, mirroring, computed)
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def member_files(members: Sequence[Member]) -> Files:
    """Return the current state of the members' files; time and size of a missing file are 0."""
    return tuple(_file(member.path) for member in members)


def _file(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), stat.st_mtime_ns, stat.st_size
