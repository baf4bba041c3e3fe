"""Long-axis cines of a study, STUDY/long_axis_4CH.npz and so on; not in studies of 0.2.0."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from ...core.heart.long_axis import LONG_AXIS_KINDS, LongAxis, LongAxisKind
from ..files.atomic import replacing
from ..files.limits import DAMAGED_NPZ, ArrayHeader, read_npz

MOST_LONG_AXIS_PIXELS: Final = 2**27
"""Pixels of all phases; 60 phases of 512 x 512 are an eighth."""
_ARRAYS: Final = ("voxels", "affine")
DAMAGED_LONG_AXIS: Final = (
    "{file} is damaged or cut short, so the study has no {kind} here. Restore the file from a "
    "backup, or segment the image again."
)


def long_axis_file(kind: LongAxisKind) -> str:
    """Return the name of the file of a long axis, which holds the arrays of `LongAxis`."""
    return f"long_axis_{kind.replace(' ', '_')}.npz"


LONG_AXIS_FILES: Final = tuple(map(long_axis_file, LONG_AXIS_KINDS))


def write_long_axes(folder: Path, long_axes: Iterable[LongAxis]) -> None:
    """Write the long axes of a study. Raises OSError if that fails."""
    for plane in long_axes:
        with (
            replacing(folder / long_axis_file(plane.kind)) as temporary,
            temporary.open("wb") as stream,
        ):
            np.savez_compressed(stream, voxels=plane.voxels, affine=plane.affine)


def read_stored_long_axes(folder: Path, problems: list[str]) -> tuple[LongAxis, ...]:
    """Return the long axes of a study; those that cannot be read are added to ``problems``."""
    planes = []
    for kind in LONG_AXIS_KINDS:
        file = folder / long_axis_file(kind)
        # Most studies have no long axes, or not all of them.
        if not file.exists():
            continue
        try:
            planes.append(_read(file, kind))
        except DAMAGED_NPZ:
            problems.append(DAMAGED_LONG_AXIS.format(file=file, kind=kind))
    return tuple(planes)


def _read(file: Path, kind: LongAxisKind) -> LongAxis:
    arrays = read_npz(file, _ARRAYS, _check_size)
    # In this direction, because NaN fails every comparison.
    if not abs(np.linalg.det(arrays["affine"])) > 0:
        raise ValueError("The plane has no place in the patient.")
    return LongAxis(kind=kind, voxels=arrays["voxels"], affine=arrays["affine"])


def _check_size(name: str, header: ArrayHeader) -> None:
    """Raise ValueError before an array is unpacked that is not that of a cine."""
    if name == "affine":
        fits = header.shape == (4, 4) and header.dtype == np.float64
    else:
        is_cine = len(header.shape) == 3 and 0 < math.prod(header.shape) <= MOST_LONG_AXIS_PIXELS
        fits = is_cine and header.dtype.kind in "uif"
    if not fits:
        raise ValueError("The array has another shape.")
