"""Entries and notes of a report on the geometry of the image's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final

from ...core.problems import Action, Statement, statement
from ...core.types import Spacing
from ...io.images.geometry import FILE_AXES, Geometry

SLICES_STORED: Final = (
    "The slices of the image are stored along its axis {axis}, so its axes were put in order. "
    "Files of results have the axes of the image."
)
TWO_VOXEL_SIZES: Final = (
    "The header of the image has two voxel sizes, {affine} mm in its affine and {pixdim} mm in its "
    "pixdim. The affine was used. By pixdim all volumes would be {factor:.3g} times as large."
)


def with_geometry(
    report: Mapping[str, Any],
    geometry: Geometry,
    *,
    word: Callable[[Statement], str] = str,
) -> dict[str, Any]:
    """Return a report with the spacing used, and notes on a file that is stored unusually.

    A file whose pixdim and affine differ gets the volumes by both, until the spacing is given.
    ``word`` turns a statement into text, here or in the window.
    """
    about: dict[str, Any] = {
        "spacing_mm": list(geometry.spacing),
        "spacing_from": geometry.spacing_source,
    }
    notes = [] if geometry.slice_axis == 2 else [_slices_stored(geometry)]
    pixdim = geometry.other_spacing
    if pixdim is not None and geometry.given_spacing is None:
        factor = prod(pixdim) / prod(geometry.spacing)
        about["pixdim_mm"] = list(pixdim)
        about["volumes_ml_by_pixdim"] = {
            name: volume["ensemble"] * factor
            for name, volume in report.get("volumes_ml", {}).items()
        }
        notes.append(_two_spacings(geometry.spacing, pixdim, factor))
    return {**report, **about, "notes": [*report.get("notes", ()), *map(word, notes)]}


def _slices_stored(geometry: Geometry) -> Statement:
    return statement(SLICES_STORED, axis=FILE_AXES[geometry.slice_axis])


def _two_spacings(affine: Spacing, pixdim: Spacing, factor: float) -> Statement:
    texts = (" × ".join(f"{step:.4g}" for step in spacing) for spacing in (affine, pixdim))
    sizes = dict(zip(("affine", "pixdim"), texts, strict=True))
    return statement(TWO_VOXEL_SIZES, Action.GIVE_SPACING, factor=factor, **sizes)
