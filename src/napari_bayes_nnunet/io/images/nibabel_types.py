"""What we need of nibabel, which is loaded with the first file and not with a dock.

It takes pydicom along, which is a quarter of a second in all.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def nifti_kinds() -> tuple[Any, Any]:
    """The classes of NIfTI-1 and NIfTI-2 images."""
    from nibabel import Nifti1Image, Nifti2Image

    return Nifti1Image, Nifti2Image


def axis_codes(affine: Any) -> tuple[Any, ...]:
    """The letter R L A P S I that each voxel axis (x, y, z) points to; None where it has none."""
    from nibabel import orientations

    to_codes: Any = orientations.aff2axcodes
    return tuple(to_codes(affine))


def damaged_nifti(*further: type[Exception]) -> tuple[type[Exception], ...]:
    """What nibabel raises for headers and files it cannot make sense of, and ``further`` errors."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    return HeaderDataError, ImageFileError, *further
