"""Labels as a NIfTI file in the geometry of their image, read back before they replace another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.files.atomic import replacing
from ...io.images.geometry import Geometry
from ...io.images.nifti import read_labels, write_labels

_GRID: Final = (
    "dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c",
    "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


def export_labels(
    file: Path, labels: NDArray[Any], geometry: Geometry, *, source: Path | None = None
) -> None:
    """Write (Z, Y, X) or (T, Z, Y, X) labels in the ``geometry`` of the image in ``source``.

    They are written beside ``file`` and read back; only where voxels, lengths, spacing, units,
    qform and sform are the same bit for bit does the new file replace an old one. Raises DataError
    where they are not, where ``file`` is the image itself, and where it cannot be written.
    """
    if source is not None and source.exists() and file.exists() and file.samefile(source):
        raise DataError(f"{file.name} is the image itself: choose another name or folder.")
    try:
        with replacing(file) as temporary:
            write_labels(temporary, labels, geometry)
            _check_same(temporary, file.name, labels, geometry)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error


def _check_same(written: Path, name: str, labels: NDArray[Any], geometry: Geometry) -> None:
    found = read_labels(written)
    header, expected = found.geometry.parsed(), geometry.parsed()
    other = [field for field in _GRID if header[field].tobytes() != expected[field].tobytes()]
    if other:
        raise DataError(
            f"{name} was not written: read back, it would lie elsewhere than its image "
            f"({', '.join(other)} differ)."
        )
    if not np.array_equal(found.voxels, labels):
        changed = np.count_nonzero(found.voxels != labels)
        raise DataError(f"{name} was not written: read back, {changed} voxels are others.")
