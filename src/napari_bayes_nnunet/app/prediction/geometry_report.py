"""Report entries and notes on the geometry of an image file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final

from ...core.problems import Action, Statement, statement
from ...core.types import Spacing
from ...io.images.geometry import FILE_AXES, Geometry

SLICES_STORED: Final = (
    "The image file stores its slices along the {axis} axis, so its axes were reordered when it "
    "was read. The files of results have the axes of the image."
)
TWO_VOXEL_SIZES: Final = (
    "The header of the image gives two voxel sizes (z, y, x), {affine} mm in its affine and "
    "{pixdim} mm in its pixdim. The affine was used. With pixdim, all volumes would be "
    "{factor:.3g} times as large."
)
CLOSE_SLICES: Final = (
    "By the header, the distance between slices is {distance:.4g} mm, as if it were unknown. Check "
    "the voxel size, because all volumes depend on it."
)
_CLOSE: Final = 3.0
"""Distance in mm below which no scanner puts the slices of a cine."""
_SHALLOW: Final = 25.0
"""Depth in mm below which a stack was not resampled to such a distance."""
SKEWED: Final = (
    "The axes of the image are not perpendicular in its header, but were treated as if they were. "
    "By the affine, all volumes would be {factor:.3g} times as large. Resample the image to "
    "perpendicular axes."
)


def with_geometry(
    report: Mapping[str, Any],
    geometry: Geometry,
    *,
    word: Callable[[Statement], str] = str,
) -> dict[str, Any]:
    """Return the report with the grid and spacing used, and notes on an unusual image file.

    If pixdim and affine differ, the report has the volumes for both. If a spacing was given, the
    header's does not count. ``word`` turns a statement into text for the command line or the
    window.
    """
    about: dict[str, Any] = {
        "spacing_mm": list(geometry.spacing),
        "spacing_from": geometry.spacing_source,
        "grid": str(geometry.frame()),
    }
    notes = [] if geometry.slice_axis == 2 else [_slices_stored(geometry)]
    distance, *_ = geometry.spacing
    is_shallow = distance < _CLOSE and geometry.shape[-3] * distance < _SHALLOW
    if is_shallow and geometry.given_spacing is None:
        notes.append(statement(CLOSE_SLICES, Action.GIVE_SPACING, distance=distance))
    pixdim = geometry.other_spacing
    if pixdim is not None and geometry.given_spacing is None:
        factor = prod(pixdim) / prod(geometry.spacing)
        about["pixdim_mm"] = list(pixdim)
        about["volumes_ml_by_pixdim"] = {
            name: volume["ensemble"] * factor
            for name, volume in report.get("volumes_ml", {}).items()
        }
        notes.append(_two_spacings(geometry.spacing, pixdim, factor))
    if geometry.skew is not None and geometry.given_spacing is None:
        notes.append(statement(SKEWED, factor=geometry.skew))
    return {**report, **about, "notes": [*report.get("notes", ()), *map(word, notes)]}


def _slices_stored(geometry: Geometry) -> Statement:
    return statement(SLICES_STORED, axis=FILE_AXES[geometry.slice_axis])


def _two_spacings(affine: Spacing, pixdim: Spacing, factor: float) -> Statement:
    texts = (" × ".join(f"{step:.4g}" for step in spacing) for spacing in (affine, pixdim))
    sizes = dict(zip(("affine", "pixdim"), texts, strict=True))
    return statement(TWO_VOXEL_SIZES, Action.GIVE_SPACING, factor=factor, **sizes)
