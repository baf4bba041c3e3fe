"""Voxel grid of an image and its place in the patient, as a NIfTI header describes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...core.slice_axis import (
    axis_with_few_voxels,
    contradicts_shape,
    find_slice_axis,
    fourth_axis_holds_slices,
)
from ...core.types import Spacing
from .. import DataError
from .nibabel_types import axis_codes, nifti_classes

LABEL_INTENT = 1002
MM_OF_UNIT = {1: 1e3, 2: 1.0, 3: 1e-3}
"""m, mm and µm, by the code in the lowest three bits of ``xyzt_units``."""
MS_OF_UNIT = {8: 1e3, 16: 1.0, 24: 1e-3}
"""s, ms and µs, by the code in the next three bits."""
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
_FORM_CODES: Final = range(6)
"""Values of ``qform_code`` and ``sform_code`` that NIfTI defines."""
_SAME_PLACE = 0.1
"""Two grids are the same if all corners agree to this fraction of the smallest spacing."""

SAME_SPACING: Final = 0.01
"""Relative difference up to which pixdim and affine agree, because headers are rounded."""
_ALONG_THE_HEART: Final = 0.7
"""Least cosine between a short-axis stack and the direction to the apex.

It was 0.96 to 0.99 in three hearts of two scanners; straight axes have 0.58.
"""
FILE_AXES: Final = "xyz"
SpacingSource: TypeAlias = Literal["pixdim", "affine", "given"]

AxisEnds: TypeAlias = tuple[str, str]
Letters: TypeAlias = tuple[AxisEnds, AxisEnds, AxisEnds]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Geometry:
    """NIfTI header of an image, byte for byte, without its voxels.

    The header keeps what a rewritten file must repeat exactly (qform and sform with their codes,
    pixdim, units). It is small, hashable and picklable, so a layer can keep it in its metadata.

    All else describes the image as this program holds it, with the slices first. ``slice_axis`` is
    the axis of the file, 0 (x) to 2 (z), that holds the slices. Only the code that reads and writes
    voxels uses `from_file_order` and `to_file_order`. ``given_spacing`` (z, y, x) in mm replaces
    that of the header.
    """

    header: bytes
    slice_axis: int = 2
    given_spacing: Spacing | None = None

    def __str__(self) -> str:
        lengths = " x ".join(str(length) for length in self.shape[:-4:-1])
        steps = " x ".join(f"{step:.4g}" for step in self.spacing[::-1])
        phases = f", {self.shape[0]} phases" if len(self.shape) == 4 else ""
        origin = ", ".join(f"{coordinate:.1f}" for coordinate in self.affine[:3, 3])
        axes = "".join(code or "?" for code in axis_codes(self.affine))
        return f"{lengths} voxels of {steps} mm{phases}, first voxel at {origin} mm, axes {axes}"

    def parsed(self) -> Any:
        """Return a fresh nibabel header, Nifti1 or Nifti2, to read from or to change."""
        kind = next(k for k in nifti_classes() if k.header_class.sizeof_hdr == len(self.header))
        header = kind.header_class(self.header, check=False)
        for form in ("qform_code", "sform_code"):
            # nibabel also takes an undefined code for 0, when it loads a file or writes it.
            if int(header[form]) not in _FORM_CODES:
                header[form] = 0
        return header

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X) of a volume, (T, Z, Y, X) of a cine; a single phase counts as a volume."""
        *time, z, y, x = self.stored_shape
        return (*time, *self._slices_first((z, y, x)))

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """`shape` in the order of the file, which need not have its slices first."""
        x, y, z, *rest = self.file_shape
        return (rest[0], z, y, x) if rest and rest[0] > 1 else (z, y, x)

    @property
    def file_shape(self) -> tuple[int, ...]:
        """(x, y, z, …) as in the file, including trailing axes of length 1."""
        return tuple(int(length) for length in self.parsed().get_data_shape())

    @property
    def spacing(self) -> Spacing:
        """Distance between voxel centres along (z, y, x), mm. An unknown unit is read as mm.

        It is that of pixdim, or that of the affine if the two differ. An affine whose steps are all
        1, as in ACDC, does not count.
        """
        if self.given_spacing is not None:
            return self.given_spacing
        own, other = self._spacings()
        return own if other is None else other

    @property
    def spacing_source(self) -> SpacingSource:
        """Part of the header that `spacing` is from, or "given"."""
        if self.given_spacing is not None:
            return "given"
        return "pixdim" if self.other_spacing is None else "affine"

    @property
    def other_spacing(self) -> Spacing | None:
        """(z, y, x) of pixdim in mm if the affine has another scale; None if both agree."""
        own, other = self._spacings()
        return None if other is None else own

    def _spacings(self) -> tuple[Spacing, Spacing | None]:
        """Return (z, y, x) of pixdim in mm, and that of the affine if it differs and counts."""
        header = self.parsed()
        pixdim = np.array(header["pixdim"][1:4], dtype=np.float64)
        affine = np.linalg.norm(np.array(header.get_best_affine())[:3, :3], axis=0)
        is_scale = np.isfinite(affine).all() and affine.min() > 0
        # Programs that know no position write an affine of ones, as in ACDC.
        is_unit = np.allclose(affine, 1, rtol=1e-3)
        agree = np.allclose(affine, pixdim, rtol=SAME_SPACING, atol=0)
        unit = _mm_of_unit(header)
        own, other = (
            self._slices_first((float(z) * unit, float(y) * unit, float(x) * unit))
            for x, y, z in (pixdim, affine)
        )
        return own, other if is_scale and not is_unit and not agree else None

    @property
    def skew(self) -> float | None:
        """Volume of a voxel by the affine as a share of that of a box with the same steps.

        None if the axes are perpendicular, as those of scanners are, or the affine has no volume.
        """
        affine = np.array(self.parsed().get_best_affine(), dtype=np.float64)[:3, :3]
        box = float(np.linalg.norm(affine, axis=0).prod())
        if not (math.isfinite(box) and box > 0):
            return None
        share = abs(float(np.linalg.det(affine))) / box
        return share if share < 1 - SAME_SPACING else None

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
        """(4, 4) from voxel (x, y, z) to patient (R, A, S), mm.

        Its scale may differ from `spacing`. z counts the slices, as everywhere but in the file.
        """
        header = self.parsed()
        affine = np.array(header.get_best_affine(), dtype=np.float64)
        affine[:3] *= _mm_of_unit(header)
        x, y, z = self._slices_first((2, 1, 0))[::-1]
        return affine[:, [x, y, z, 3]]

    @property
    def affine_in_mm(self) -> npt.NDArray[np.float64]:
        """`affine` with the lengths of `spacing`."""
        return _with_scale(self.affine, self.spacing)

    @property
    def letters(self) -> Letters | None:
        """Patient directions of the voxel axes; None if the file does not give them."""
        header = self.parsed()
        if header["qform_code"] <= 0 and header["sform_code"] <= 0:
            return None
        return patient_letters(self.affine)

    @property
    def reliable_letters(self) -> Letters | None:
        """`letters`, or None if the affine is the default of a program that knew no position.

        Such files, ACDC among them, have straight axes and the first voxel at the origin. They
        would name the directions of an axial stack, which a short-axis stack is not.
        """
        affine = self.affine
        turned = affine[:3, :3] - np.diag(affine[:3, :3].diagonal())
        return self.letters if turned.any() or affine[:3, 3].any() else None

    @property
    def starts_at_base(self) -> bool | None:
        """Whether the first slice of a short-axis stack is at the base; None if that is unclear.

        The apex of a heart points to the left, forward and down.
        """
        if self.letters is None:
            return None
        to_last = self.affine[:3, 2] / np.linalg.norm(self.affine[:3, 2])
        towards_apex = float(to_last @ (-1, 1, -1)) / 3**0.5
        return towards_apex > 0 if abs(towards_apex) > _ALONG_THE_HEART else None

    @property
    def is_right_handed(self) -> bool | None:
        """Whether x, y and z turn as right, anterior and superior do; None if that is unknown.

        Slices with x to the right and y down are then seen in the direction of z.
        """
        if self.reliable_letters is None:
            return None
        return bool(np.linalg.det(self.affine[:3, :3]) > 0)

    @property
    def is_label_image(self) -> bool:
        """Whether the header marks the voxels as labels (NIfTI intent code 1002)."""
        return int(self.parsed()["intent_code"]) == LABEL_INTENT

    def frame(self) -> Geometry:
        """Return the geometry of one phase."""
        header = self.parsed()
        # A fourth axis of length 1 stays, so that a rewritten file has it too.
        if len(self.shape) == 4:
            header.set_data_shape(self.file_shape[:3])
        return replace(self, header=header.binaryblock)

    def with_phases(self, count: int) -> Geometry:
        """Return the geometry of a cine with so many phases at unknown times on this 3D grid."""
        header = self.parsed()
        header.set_data_shape((*self.file_shape[:3], count))
        header["pixdim"][4] = 0
        return replace(self, header=header.binaryblock)

    def with_slices_found(self) -> Geometry:
        """Return the geometry with the axis of the slices found from spacing and shape.

        If they contradict each other, the shape counts. If they do not show it, the axis is z.
        """
        # Shape and spacing are then in the order of the file.
        stored = replace(self, slice_axis=2)
        shape, spacing = stored.shape, stored.spacing
        if contradicts_shape(shape, spacing):
            axis = axis_with_few_voxels(shape)
        else:
            axis = find_slice_axis(shape, spacing)
        return stored if axis is None else replace(stored, slice_axis=2 - axis)

    def held_like(self, other: Geometry) -> Geometry:
        """Return the geometry with the axis of the slices and the given spacing of another."""
        return replace(self, slice_axis=other.slice_axis, given_spacing=other.given_spacing)

    def with_stored_spacing(self) -> Geometry:
        """Return the geometry with its `spacing` in both pixdim and affine of the header."""
        header = self.parsed()
        of_axis = dict(zip(self._slices_first((2, 1, 0)), self.spacing, strict=True))
        steps = np.array([of_axis[axis] for axis in range(3)]) / _mm_of_unit(header)
        sform = np.array(header.get_sform(), dtype=np.float64)
        scale = np.linalg.norm(sform[:3, :3], axis=0)
        if int(header["sform_code"]) > 0 and np.isfinite(scale).all() and scale.min() > 0:
            sform[:3, :3] *= steps / scale
            header.set_sform(sform, code=int(header["sform_code"]))
        header["pixdim"][1:4] = steps
        return replace(self, header=header.binaryblock, given_spacing=None)

    def from_file_order(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return (…, z, y, x) voxels of the file with the slices on the third axis from the end."""
        return np.ascontiguousarray(np.moveaxis(voxels, self._stored_axis, -3))

    def to_file_order(self, voxels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return voxels with the slices first in the order of the file, (…, z, y, x)."""
        return np.ascontiguousarray(np.moveaxis(voxels, -3, self._stored_axis))

    @property
    def _stored_axis(self) -> int:
        """Axis of the slices in an array in the order of the file, from the end: -3, -2 or -1."""
        return -1 - self.slice_axis

    def _slices_first(self, of_axes: tuple[_T, _T, _T]) -> tuple[_T, _T, _T]:
        """Return values of the axes (z, y, x) of the file, with that of the slices first."""
        rest = list(of_axes)
        slices = rest.pop(self._stored_axis)
        return slices, rest[0], rest[1]

    def same_grid(self, other: Geometry) -> bool:
        """Return whether voxels of the same index lie at the same place.

        If one of the files gives no orientation, only shape and spacing are compared.
        """
        if self.shape != other.shape or not np.allclose(self.spacing, other.spacing, rtol=1e-3):
            return False
        return self.largest_shift(other) <= _SAME_PLACE * min(self.spacing)

    def largest_shift(self, other: Geometry) -> float:
        """Return the largest distance of corners with the same index, mm; 0 without a position.

        Both grids have the same shape. The scale of the affines, which may be wrong, is replaced by
        the spacing.
        """
        if self.letters is None or other.letters is None:
            return 0.0
        lengths = self.shape[:-4:-1]
        # The distance of two grids is largest at a corner.
        corners = np.array([*itertools.product(*((0, length - 1) for length in lengths))]).T
        scaled = (self.affine_in_mm, other.affine_in_mm)
        places = [affine[:3, :3] @ corners + affine[:3, 3:] for affine in scaled]
        return float(np.linalg.norm(places[0] - places[1], axis=0).max())


def slices_on_fourth_axis(header: Any) -> bool | None:
    """Return whether an image of one slice has further slices on its fourth axis.

    Some programs join slices along a new axis, where phases are expected. False for phases and for
    other images, None if the header of an image (x, y, 1, n) does not show it.
    """
    axes, _, _, z, count = (int(length) for length in header["dim"][:5])
    if axes < 4 or z != 1 or count < 2:
        return False
    mm = _mm_of_unit(header)
    x, y, _, step = (float(value) * mm for value in header["pixdim"][1:5])
    return fourth_axis_holds_slices(count, step, max(x, y))


def with_slices_on_third_axis(header: Any) -> Any:
    """Return the header (x, y, n) of an image (x, y, 1, n) whose fourth axis holds slices."""
    changed, step = header.copy(), float(header["pixdim"][4])
    x, y, _, count = (int(length) for length in header["dim"][1:5])
    changed.set_data_shape((x, y, count))
    changed["pixdim"][3] = step
    sform = np.array(changed.get_sform(), dtype=np.float64)
    length = float(np.linalg.norm(sform[:3, 2]))
    # An affine of ones gives no distances.
    is_unit = np.allclose(np.linalg.norm(sform[:3, :3], axis=0), 1, rtol=1e-3)
    if int(changed["sform_code"]) > 0 and length > 0 and not is_unit:
        sform[:3, 2] *= step / length
        changed.set_sform(sform, code=int(changed["sform_code"]))
    return changed


def patient_letters(affine: npt.NDArray[np.float64]) -> Letters | None:
    """Return the letters R L A P S I at the low and the high end of the voxel axes (z, y, x).

    ``affine`` is (4, 4), voxel (x, y, z) to (R, A, S). Only its directions count, not its scale;
    an oblique axis takes the closest direction. None if it does not have three directions.
    """
    codes = [code for code in axis_codes(affine) if code]
    if len(codes) < 3:
        return None
    x, y, z = ((OPPOSITE[code], code) for code in codes)
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
    ``affine`` in mm, whose scale is made that of ``spacing``. Without it the header gives no
    orientation (both form codes 0). Raises DataError for a spacing that is not above 0.
    """
    if not all(math.isfinite(step) and step > 0 for step in spacing):
        raise DataError(
            "The spacing (z, y, x) in mm must be above 0, not {spacing}.", spacing=tuple(spacing)
        )
    header = nifti_classes()[0].header_class()
    header.set_data_shape(shape[::-1])
    header.set_xyzt_units("mm", "msec" if frame_time else None)
    if affine is not None:
        scaled = _with_scale(affine, spacing)
        # Some programs read only one of the two forms.
        header.set_qform(scaled, code="scanner")
        header.set_sform(scaled, code="scanner")
    # After the forms, because setting one changes pixdim.
    header.set_zooms([*spacing[::-1], *([frame_time or 0.0] if len(shape) == 4 else [])])
    # Always little endian, so that equal geometries are equal bytes.
    return Geometry(header.as_byteswapped("<").binaryblock)


def _with_scale(
    affine: npt.NDArray[np.float64], spacing: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Return an affine of voxels (x, y, z) scaled to the spacing (z, y, x), if it differs."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(steps, spacing[::-1], rtol=SAME_SPACING, atol=0):
        return affine
    scaled = np.array(affine, dtype=np.float64)
    scaled[:3, :3] *= np.array(spacing[::-1]) / steps
    return scaled


def _mm_of_unit(header: Any) -> float:
    return MM_OF_UNIT.get(int(header["xyzt_units"]) & 0b111, 1.0)
