"""Voxel grid of an image and its place in the patient, as a NIfTI header describes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import DataError
from .nibabel_types import axis_codes, nifti_classes

LABEL_INTENT = 1002
MM_OF_UNIT = {1: 1e3, 2: 1.0, 3: 1e-3}
"""m, mm and µm, by the code in the lowest three bits of ``xyzt_units``."""
MS_OF_UNIT = {8: 1e3, 16: 1.0, 24: 1e-3}
"""s, ms and µs, by the code in the next three bits."""
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
_SAME_PLACE = 0.1
"""Two grids are the same if all corners agree to this fraction of a voxel."""

AxisEnds: TypeAlias = tuple[str, str]
Letters: TypeAlias = tuple[AxisEnds, AxisEnds, AxisEnds]


@dataclass(frozen=True)
class Geometry:
    """NIfTI header of an image, byte for byte, without its voxels.

    The header keeps what a rewritten file must repeat exactly (qform and sform with their codes,
    pixdim, units). It is small, hashable and picklable, so a layer can keep it in its metadata.
    """

    header: bytes

    def __str__(self) -> str:
        lengths = " x ".join(str(length) for length in self.shape[:-4:-1])
        steps = " x ".join(f"{step:.4g}" for step in self.spacing[::-1])
        phases = f", {self.shape[0]} phases" if len(self.shape) == 4 else ""
        origin = ", ".join(f"{coordinate:.1f}" for coordinate in self.affine[:3, 3])
        axes = "".join(map(str, axis_codes(self.affine)))
        return f"{lengths} voxels of {steps} mm{phases}, first voxel at {origin} mm, axes {axes}"

    def parsed(self) -> Any:
        """Return a fresh nibabel header, Nifti1 or Nifti2, to read from or to change."""
        kind = next(k for k in nifti_classes() if k.header_class.sizeof_hdr == len(self.header))
        return kind.header_class(self.header, check=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) of a volume, (T, Z, Y, X) of a cine; a single phase counts as a volume."""
        x, y, z, *rest = self.file_shape
        return (rest[0], z, y, x) if rest and rest[0] > 1 else (z, y, x)

    @property
    def file_shape(self) -> tuple[int, ...]:
        """(x, y, z, …) as in the file, including trailing axes of length 1."""
        return tuple(int(length) for length in self.parsed().get_data_shape())

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (z, y, x), mm. An unknown unit is read as mm."""
        header = self.parsed()
        x, y, z = (float(step) * _mm_of_unit(header) for step in header["pixdim"][1:4])
        return z, y, x

    @property
    def frame_time(self) -> float | None:
        """Time between two phases, ms; None if the file has no time unit or no duration."""
        header = self.parsed()
        unit = MS_OF_UNIT.get(int(header["xyzt_units"]) & 0b111000)
        step = float(header["pixdim"][4])
        if len(self.shape) < 4 or unit is None or not (math.isfinite(step) and step > 0):
            return None
        return step * unit

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """(4, 4) from voxel (x, y, z) to patient (R, A, S), mm. Its scale may not be `spacing`."""
        header = self.parsed()
        affine = np.array(header.get_best_affine(), dtype=np.float64)
        affine[:3] *= _mm_of_unit(header)
        return affine

    @property
    def letters(self) -> Letters | None:
        """Patient directions of the voxel axes; None if the file does not give them."""
        header = self.parsed()
        if header["qform_code"] <= 0 and header["sform_code"] <= 0:
            return None
        return patient_letters(self.affine)

    @property
    def is_label_image(self) -> bool:
        """Whether the header marks the voxels as labels (NIfTI intent code 1002)."""
        return int(self.parsed()["intent_code"]) == LABEL_INTENT

    def frame(self) -> Geometry:
        """Return the geometry of one phase."""
        header = self.parsed()
        if len(self.shape) == 4:
            header.set_data_shape(self.file_shape[:3])
        return Geometry(header.binaryblock)

    def same_grid(self, other: Geometry) -> bool:
        """Return whether voxels of the same index lie at the same place.

        If one of the files gives no orientation, only shape and spacing are compared.
        """
        if self.shape != other.shape or not np.allclose(self.spacing, other.spacing, rtol=1e-3):
            return False
        if self.letters is None or other.letters is None:
            return True
        lengths = self.shape[:-4:-1]
        corners = np.array([*itertools.product(*((0, length - 1) for length in lengths))]).T
        shifts = (self.affine - other.affine) @ np.vstack([corners, np.ones(8)])
        # The step of the affine keeps the tolerance right if the scale of the affine is wrong.
        step = np.linalg.norm(self.affine[:3, :3], axis=0).min()
        return bool(np.linalg.norm(shifts[:3], axis=0).max() <= _SAME_PLACE * step)


def patient_letters(affine: npt.NDArray[np.float64]) -> Letters | None:
    """Return the letters R L A P S I at the low and the high end of the voxel axes (z, y, x).

    ``affine`` is (4, 4), voxel (x, y, z) to (R, A, S). Only its directions count, not its scale;
    an oblique axis takes the closest direction. None if it does not have three directions.
    """
    codes = axis_codes(affine) if np.isfinite(affine).all() else (None,)
    if None in codes:
        return None
    x, y, z = ((OPPOSITE[str(code)], str(code)) for code in codes)
    return z, y, x


def make_geometry(
    shape: Sequence[int],
    spacing: Sequence[float],
    *,
    frame_time: float | None = None,
    affine: npt.NDArray[np.float64] | None = None,
) -> Geometry:
    """Return the geometry of an image that was not read from a NIfTI file.

    ``shape`` (Z, Y, X) or (T, Z, Y, X), ``spacing`` (z, y, x) in mm, ``frame_time`` in ms,
    ``affine`` in mm. Without ``affine`` the header gives no orientation (both form codes 0).
    Raises DataError for other shapes and for a spacing that is not above 0.
    """
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise DataError(
            "The shape of an image must be (z, y, x) or (t, z, y, x) without zeros, not {shape}.",
            shape=tuple(shape),
        )
    if not all(math.isfinite(step) and step > 0 for step in spacing):
        raise DataError(
            "The spacing (z, y, x) in mm must be above 0, not {spacing}.", spacing=tuple(spacing)
        )
    header = nifti_classes()[0].header_class()
    header.set_data_shape(shape[::-1])
    header.set_xyzt_units("mm", "msec" if frame_time else None)
    if affine is not None:
        header.set_qform(affine, code="scanner")
        header.set_sform(affine, code="scanner")
    header.set_zooms([*spacing[::-1], *([frame_time or 0.0] if len(shape) == 4 else [])])
    return Geometry(header.as_byteswapped("<").binaryblock)


def _mm_of_unit(header: Any) -> float:
    return MM_OF_UNIT.get(int(header["xyzt_units"]) & 0b111, 1.0)
