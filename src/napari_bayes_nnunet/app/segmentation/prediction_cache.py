"""Answers of passes to an image, kept so that another method or number of members is there at once.

Every answer is a file of its own; where they would take more than a limit, those go that were not
used for longest. They are exact: what is taken from here is what the network said.
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
"""Mirrors of a 3D image, after which they are the same again; 1, 2 or 4 go into it."""
RESERVE = 2**30
"""Bytes that are left to others on the disk."""
Files = tuple[tuple[str, int, int], ...]
"""Path, time of the last change in ns, and size of each."""


class PredictionCache:
    """Probabilities (C, Z, Y, X) float32 of passes, in ``folder`` with at most ``limit`` bytes."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        self.folder = folder
        self._limit = limit

    def find(self, question: str) -> NDArray[np.float32] | None:
        """The answer to a `cache_key`, None where it was never given or has been dropped."""
        file = self._file(question)
        try:
            answer: NDArray[np.float32] = np.load(file)
            file.touch()
        except (OSError, ValueError, EOFError):
            return None
        return answer

    def keep(self, question: str, answer: NDArray[np.float32]) -> None:
        """Keep an answer; where there is no room for it, do without."""
        if answer.nbytes > self._limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(answer.nbytes)
            if shutil.disk_usage(self.folder).free >= RESERVE + answer.nbytes:
                np.save(self._file(question), answer)
            else:
                self._drop_all()
        except OSError:
            self._drop_all()

    def _file(self, question: str) -> Path:
        return self.folder / f"{question}.npy"

    def _drop_all(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self, needed: int) -> None:
        files = sorted(self.folder.glob("*.npy"), key=lambda file: file.stat().st_mtime_ns)
        taken = sum(file.stat().st_size for file in files)
        for file in files:
            if taken + needed <= self._limit:
                return
            taken -= file.stat().st_size
            file.unlink()


def image_digest(image: NDArray[Any], spacing: tuple[float, ...]) -> str:
    """What tells an image and its spacing from others."""
    digest = hashlib.blake2b(f"{image.shape} {image.dtype} {spacing}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def cache_key(
    image: str, network: str, one: ForwardPass, files: Files, *, mirroring: str, computed: str
) -> str:
    """What tells a pass over an image (its digest) with a network (its plans') from others.

    ``files`` are those the members' weights were read from: a member written anew is another.
    ``computed`` says on which device, and with which numbers.
    """
    turn = None if one.turn is None else one.turn % MIRRORS
    asked = repr((image, network, files, one.dropout_seed, turn, mirroring, computed))
    return hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()


def member_files(members: Sequence[Member]) -> Files:
    """The members' files as they are now; time and size are 0 where one is gone."""
    return tuple(_file(member.path) for member in members)


def _file(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), stat.st_mtime_ns, stat.st_size
