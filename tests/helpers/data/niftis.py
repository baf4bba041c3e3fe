"""NIfTI files with made headers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

nib: Any = nibabel

# A double-oblique short axis as scanners store it (Sunnybrook SCD0000301).
OBLIQUE = np.array(
    [
        [-0.918124, 0.396677, -5.047266, 14.07],
        [-0.903803, -0.345218, 5.286889, 185.21],
        [-0.044338, -1.176968, -3.251833, 110.47],
        [0, 0, 0, 1],
    ]
)
XYZ = np.arange(1, 61, dtype=np.int16).reshape(5, 4, 3)
XYZT = np.arange(1, 121, dtype=np.int16).reshape(5, 4, 3, 2)
Change = Callable[[Any], None]


def save(path: Path, voxels: Any, affine: Any = OBLIQUE, change: Change | None = None) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm", "msec")
    if change is not None:
        change(image)
    nib.save(image, path)
    return path


def edit_header(path: Path, change: Change) -> Path:
    """Change header fields in the file itself, without nibabel's repairs."""
    content = path.read_bytes()
    header = nib.Nifti1Header(content[:348], check=False)
    change(header)
    path.write_bytes(header.binaryblock + content[348:])
    return path


def acdc_like(header: Any) -> None:
    header["pixdim"][1:4] = (1.40625, 1.40625, 10)
    header["sform_code"] = 2
    header["qform_code"] = 0
