"""What the ends of a file tell: its NIfTI header, and whether it was written to its end."""

from __future__ import annotations

import gzip
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from .geometry import LABEL_INTENT
from .nibabel_types import damaged_nifti, nifti_kinds

HEADER_BYTES = 540
"""The longest header, that of NIfTI-2."""


def is_whole(file: Path) -> bool:
    """Whether a .nii.gz or .npz file is as long as it says; any other only has to be there.

    Nothing is unpacked: this finds what was cut short, not a changed byte in the middle.
    """
    try:
        if file.name.endswith(".npz"):
            with zipfile.ZipFile(file) as archive:
                return bool(archive.namelist())
        if file.name.endswith(".nii.gz"):
            header = nifti_header(file)
            return header is not None and _unpacked_length(file) == _length(header)
        return file.is_file()
    except damaged_nifti(OSError, zipfile.BadZipFile, KeyError, ValueError):
        return False


def nifti_header(file: Path) -> Any:
    """The nibabel header of a NIfTI file, packed or not; None of any other and a damaged one."""
    try:
        with file.open("rb") as content:
            packed = content.read(2) == b"\x1f\x8b"
            content.seek(0)
            unpacked = gzip.GzipFile(fileobj=content) if packed else content
            start = unpacked.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return None
    kind = next((k for k in nifti_kinds() if k.header_class.may_contain_header(start)), None)
    if kind is None:
        return None
    return kind.header_class(start[: kind.header_class.sizeof_hdr], check=False)


def is_image(file: Path) -> bool:
    """Whether it is a NIfTI file of something else than labels."""
    header = nifti_header(file)
    return header is not None and int(header["intent_code"]) != LABEL_INTENT


def phases_of(header: Any) -> int:
    """Phases of the image with this header; 1 of a volume."""
    return int(header["dim"][4]) if int(header["dim"][0]) > 3 else 1


def _length(header: Any) -> int:
    """Bytes of the unpacked file, by its header."""
    voxels = math.prod(int(side) for side in header.get_data_shape())
    return int(header["vox_offset"]) + voxels * int(header.get_data_dtype().itemsize)


def _unpacked_length(file: Path) -> int:
    """Bytes of the unpacked file, by the end of the packed one: there gzip notes the length."""
    with file.open("rb") as content:
        content.seek(-4, os.SEEK_END)
        return int.from_bytes(content.read(4), "little")
