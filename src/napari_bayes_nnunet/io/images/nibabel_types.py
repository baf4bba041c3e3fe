"""Types and functions of nibabel, imported with the first file and not with a dock.

nibabel also imports pydicom; together they take a quarter of a second.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt


@cache
def nifti_classes() -> tuple[Any, Any]:
    """Return the classes of NIfTI-1 and NIfTI-2 images."""
    from nibabel import Nifti1Image, Nifti2Image

    return Nifti1Image, Nifti2Image


def axis_codes(affine: npt.NDArray[np.float64]) -> tuple[str | None, ...]:
    """Return the letter R L A P S I that each voxel axis (x, y, z) points to, or None."""
    if not np.isfinite(affine).all():
        return None, None, None
    from nibabel import orientations

    to_codes: Any = orientations.aff2axcodes
    return tuple(to_codes(affine))


def nifti_errors(*further: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the errors that nibabel raises for damaged headers and files, and ``further``."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    return HeaderDataError, ImageFileError, *further
