"""Cases of an unfinished calibration, kept in the ensemble's folder so that it can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..files.atomic import replacing
from ..files.checksum import file_state
from ..files.limits import DAMAGED_NPZ, ArrayHeader, read_npz

KEPT_CASES: Final = ".calibration"
_CONTENT: Final = "content"
_MOST: Final = 2**31
"""Bytes of an array."""


class UnfinishedCalibration:
    """Finished cases of a calibration in ``ensemble``/.calibration, a file for each.

    A file is only found again with the same ``digest`` of the recipe, and with unchanged files of
    the case.
    """

    def __init__(self, ensemble: Path, digest: str) -> None:
        self._folder = ensemble / KEPT_CASES
        self._name = digest

    def read(
        self, files: Sequence[Path], names: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return content and arrays of a case with these files; None if it must be computed."""
        file = self._file(files)
        try:
            arrays = read_npz(file, (_CONTENT, *names), _check_size)
            content = json.loads(arrays.pop(_CONTENT).tobytes())
        except DAMAGED_NPZ:
            return None
        return (content, arrays) if isinstance(content, dict) else None

    def write(
        self, files: Sequence[Path], content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Keep a case, unless the disk is full; content is JSON that may have NaN."""
        every: dict[str, Any] = {
            # An array as well, so that one file holds both.
            _CONTENT: np.frombuffer(json.dumps(content).encode(), np.uint8),
            **arrays,
        }
        with (
            suppress(OSError),
            replacing(self._file(files)) as temporary,
            temporary.open("wb") as stream,
        ):
            np.savez(stream, **every)

    def remove(self) -> None:
        """Delete the cases, also those whose files have changed, because it is finished."""
        for file in self._folder.glob(f"*{self._name}-*.npz"):  # half-written ones, too
            file.unlink(missing_ok=True)
        with suppress(OSError):  # another calibration is not finished
            self._folder.rmdir()

    def _file(self, files: Sequence[Path]) -> Path:
        states = [(str(file), *file_state(file)) for file in files]
        case = hashlib.blake2b(str(states).encode(), digest_size=16).hexdigest()
        return self._folder / f"{self._name}-{case}.npz"


def _check_size(name: str, header: ArrayHeader) -> None:
    if np.prod(header.shape, dtype=float) * header.dtype.itemsize > _MOST:
        raise ValueError(f"The array {name} is too large.")
