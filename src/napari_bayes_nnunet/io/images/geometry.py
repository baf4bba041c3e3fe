"""Where the voxels of an image lie in the patient, in the words of a NIfTI header."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import DataError
from .nibabel_types import axis_codes, nifti_kinds

LABEL_INTENT = 1002
MM_OF_UNIT = {1: 1e3, 2: 1.0, 3: 1e-3}
"""m, mm and µm, by the code in the lowest three bits of ``xyzt_units``."""
MS_OF_UNIT = {8: 1e3, 16: 1.0, 24: 1e-3}
"""s, ms and µs, by the code in the next three bits."""
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
_SAME_PLACE = 0.1
"""Two grids are one if no corner is further apart than this fraction of a voxel."""

AxisEnds: TypeAlias = tuple[str, str]
Letters: TypeAlias = tuple[AxisEnds, AxisEnds, AxisEnds]


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an image lie: its NIfTI header without the voxels, byte for byte.

    The header keeps what a rewritten file must repeat exactly (qform and sform with their codes,
    pixdim, units). Small, hashable and picklable: it can stay in the metadata of a layer.
    """

    header: bytes

    def __str__(self) -> str:
        lengths = " x ".join(str(length) for length in self.shape[:-4:-1])
        steps = " x ".join(f"{step:.4g}" for step in self.spacing[::-1])
        phases = f", {self.shape[0]} phases" if len(self.shape) == 4 else ""
        at = ", ".join(f"{place:.1f}" for place in self.affine[:3, 3])
        axes = "".join(map(str, axis_codes(self.affine)))
        return f"{lengths} voxels of {steps} mm{phases}, first voxel at {at} mm, axes {axes}"

    def parsed(self) -> Any:
        """Return a fresh nibabel header, Nifti1 or Nifti2, to read from or to change."""
        kind = next(k for k in nifti_kinds() if k.header_class.sizeof_hdr == len(self.header))
        return kind.header_class(self.header, check=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) of a volume, (T, Z, Y, X) of a cine; a single phase counts as a volume."""
        x, y, z, *rest = self.file_shape
        return (rest[0], z, y, x) if rest and rest[0] > 1 else (z, y, x)

    @property
    def file_shape(self) -> tuple[int, ...]:
        """(x, y, z, …) as the file has it, trailing axes of length 1 included."""
        return tuple(int(length) for length in self.parsed().get_data_shape())

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (z, y, x), mm; an unknown unit is taken as mm."""
        header = self.parsed()
        x, y, z = (float(step) * _mm_of_unit(header) for step in header["pixdim"][1:4])
        return z, y, x

    @property
    def frame_time(self) -> float | None:
        """Time between two phases, ms; None where the file has no time unit or no duration."""
        header = self.parsed()
        unit = MS_OF_UNIT.get(int(header["xyzt_units"]) & 0b111000)
        step = float(header["pixdim"][4])
        if len(self.shape) < 4 or unit is None or not (math.isfinite(step) and step > 0):
            return None
        return step * unit

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """(4, 4) from voxel (x, y, z) to patient (R, A, S), mm. Its scale may lie: see spacing."""
        header = self.parsed()
        affine = np.array(header.get_best_affine(), dtype=np.float64)
        affine[:3] *= _mm_of_unit(header)
        return affine

    @property
    def letters(self) -> Letters | None:
        """Patient directions of the voxel axes; None where the file does not know them."""
        header = self.parsed()
        if header["qform_code"] <= 0 and header["sform_code"] <= 0:
            return None
        return patient_letters(self.affine)

    @property
    def is_label_image(self) -> bool:
        """Whether the file says that its voxels are labels (NIfTI intent code 1002)."""
        return int(self.parsed()["intent_code"]) == LABEL_INTENT

    def frame(self) -> Geometry:
        """Geometry of one phase."""
        header = self.parsed()
        if len(self.shape) == 4:
            header.set_data_shape(self.file_shape[:3])
        return Geometry(header.binaryblock)

    def same_grid(self, other: Geometry) -> bool:
        """Whether voxels of the same index lie at the same place, as far as both files know."""
        if self.shape != other.shape or not np.allclose(self.spacing, other.spacing, rtol=1e-3):
            return False
        if self.letters is None or other.letters is None:
            return True
        lengths = self.shape[:-4:-1]
        corners = np.array([*itertools.product(*((0, length - 1) for length in lengths))]).T
        apart = (self.affine - other.affine) @ np.vstack([corners, np.ones(8)])
        # Steps as the affine has them, so that the tolerance fits an affine whose scale lies too.
        step = np.linalg.norm(self.affine[:3, :3], axis=0).min()
        return bool(np.linalg.norm(apart[:3], axis=0).max() <= _SAME_PLACE * step)


def patient_letters(affine: npt.NDArray[np.float64]) -> Letters | None:
    """Letters R L A P S I at the low and the high end of the voxel axes (z, y, x).

    ``affine`` is (4, 4), voxel (x, y, z) to (R, A, S). Only its directions count, not its scale;
    an oblique axis takes the closest direction. None where it has no three directions.
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
    """Geometry of an image that came from no NIfTI file.

    ``shape`` (Z, Y, X) or (T, Z, Y, X), ``spacing`` (z, y, x) in mm, ``frame_time`` in ms,
    ``affine`` in mm. Without ``affine`` the file claims no orientation (both form codes 0).
    Raises DataError for other shapes and for a spacing that is not above 0.
    """
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise DataError(f"An image is (z, y, x) or (t, z, y, x), none of them 0, not {shape}.")
    if not all(math.isfinite(step) and step > 0 for step in spacing):
        raise DataError(f"The spacing (z, y, x) in mm must be above 0, not {spacing}.")
    header = nifti_kinds()[0].header_class()
    header.set_data_shape(shape[::-1])
    header.set_xyzt_units("mm", "msec" if frame_time else None)
    if affine is not None:
        header.set_qform(affine, code="scanner")
        header.set_sform(affine, code="scanner")
    header.set_zooms([*spacing[::-1], *([frame_time or 0.0] if len(shape) == 4 else [])])
    return Geometry(header.as_byteswapped("<").binaryblock)


def _mm_of_unit(header: Any) -> float:
    return MM_OF_UNIT.get(int(header["xyzt_units"]) & 0b111, 1.0)
