"""NIfTI headers, and a quick check that a file was written to its end."""

from __future__ import annotations

import gzip
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from ..files.special import refuse_special
from .geometry import LABEL_INTENT, slices_on_fourth_axis
from .nibabel_types import nifti_classes, nifti_errors

HEADER_BYTES = 540
"""Length of the longest header, that of NIfTI-2."""


def is_whole(file: Path) -> bool:
    """Return whether a .nii.gz or .npz file has its full length; any other file must just exist.

    The voxels are not unpacked: this detects a truncated file, not a changed byte in the middle.
    """
    try:
        refuse_special(file)
        if file.name.endswith(".npz"):
            with zipfile.ZipFile(file) as archive:
                # The list of its files stands at its end.
                return bool(archive.namelist())
        if file.name.endswith(".nii.gz"):
            header = nifti_header(file)
            return header is not None and _unpacked_length(file) == _length(header)
        return file.is_file()
    except nifti_errors(OSError, zipfile.BadZipFile, KeyError, ValueError):
        return False


def nifti_header(file: Path) -> Any:
    """Return the nibabel header of a NIfTI file, compressed or not; None for any other file."""
    try:
        refuse_special(file)
        with file.open("rb") as content:
            # By its first bytes, because endings may be wrong.
            packed = content.read(2) == b"\x1f\x8b"
            content.seek(0)
            unpacked = gzip.GzipFile(fileobj=content) if packed else content
            start = unpacked.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return None
    kind = next((k for k in nifti_classes() if k.header_class.may_contain_header(start)), None)
    if kind is None:
        return None
    return kind.header_class(start[: kind.header_class.sizeof_hdr], check=False)


def is_image(file: Path) -> bool:
    """Return whether a file is a NIfTI file whose header does not mark it as labels."""
    header = nifti_header(file)
    return header is not None and int(header["intent_code"]) != LABEL_INTENT


def phase_count(header: Any) -> int:
    """Return the number of phases of the image with this header; 1 for a volume."""
    lengths = [int(length) for length in header["dim"]]
    return lengths[4] if lengths[0] > 3 and not slices_on_fourth_axis(header) else 1


def _length(header: Any) -> int:
    """Return the length of the unpacked file in bytes, computed from its header."""
    voxels = math.prod(int(side) for side in header.get_data_shape())
    return int(header["vox_offset"]) + voxels * int(header.get_data_dtype().itemsize)


def _unpacked_length(file: Path) -> int:
    """Return the length of the unpacked file in bytes, which gzip stores at the end."""
    with file.open("rb") as content:
        content.seek(-4, os.SEEK_END)
        return int.from_bytes(content.read(4), "little")
