"""Limits for DICOM files, whose headers can ask for more memory than their pixels need."""

from __future__ import annotations

import errno
import os
import zlib
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ..files.limits import CHUNK

MOST_UNPACKED: Final = 2**29
"""Bytes of a data set that is deflated as a whole; one with 600 frames of 512 x 512 has 3e8."""
MOST_FRAMES: Final = 20_000
MOST_PIXELS: Final = 2**24
"""Pixels of one frame: 4096 x 4096."""
MOST_PIXELS_OF_A_FILE: Final = 2**29

_JPEG, _JPEG_2000, _JP2 = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
_SIZE_MARKERS: Final = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Second bytes of the markers that begin a frame of JPEG or JPEG-LS; the first is 0xFF."""


def read_dicom_file(file: Path, **options: Any) -> pydicom.FileDataset:
    """Return the content of a file; the ``options`` are those of `pydicom.dcmread`.

    Raises OSError (EFBIG) for a deflated file that unpacks to more than ``MOST_UNPACKED`` bytes,
    and otherwise what pydicom raises.
    """
    # pydicom unpacks such a file at once, whatever is in it.
    if read_file_meta_info(file).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        _check_unpacked(file)
    return pydicom.dcmread(file, **options)


def check_pixels(content: pydicom.Dataset) -> None:
    """Raise ValueError if decoding would take more memory than the frames of a file can need."""
    rows, columns = int(content.Rows), int(content.Columns)
    frames = int(content.get("NumberOfFrames") or 1)
    pixels = rows * columns
    if not (0 < pixels <= MOST_PIXELS and 0 < frames * pixels <= MOST_PIXELS_OF_A_FILE):
        raise ValueError("The image has too many pixels.")
    if not content.file_meta.TransferSyntaxUID.is_compressed:
        return
    # Decoders allocate what the coded frame states, not what the header does.
    for frame in generate_frames(content.PixelData, number_of_frames=frames):
        if (size := _coded_size(frame)) and size != (rows, columns):
            raise ValueError(f"A frame has {size} instead of {(rows, columns)} pixels.")


def _check_unpacked(file: Path) -> None:
    """Unpack a deflated data set without keeping it."""
    with file.open("rb") as stream:
        pydicom.filereader.read_preamble(stream, False)
        pydicom.filereader.read_dataset(  # the meta information, which is never deflated
            stream, False, True, stop_when=lambda tag, *_: tag.group != 2
        )
        unpacker, length, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, stream.read(CHUNK)
        while rest:
            length += len(unpacker.decompress(rest, CHUNK))
            if length > MOST_UNPACKED:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(file))
            rest = unpacker.unconsumed_tail or stream.read(CHUNK)


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Return the rows and columns stated in a compressed frame, None if it states none."""
    if frame.startswith(_JP2):
        frame = frame[max(0, frame.find(_JPEG_2000)) :]
    if frame.startswith(_JPEG_2000):
        right, bottom, left, top = (
            int.from_bytes(frame[start : start + 4]) for start in range(8, 24, 4)
        )
        return bottom - top, right - left
    if not frame.startswith(_JPEG):
        return None
    start = 2
    while start + 9 < len(frame):
        if frame[start] != 0xFF or frame[start + 1] == 0xFF:  # a second 0xFF is padding
            start += 1
        elif frame[start + 1] in _SIZE_MARKERS:
            sides = (int.from_bytes(frame[start + n : start + n + 2]) for n in (5, 7))
            return next(sides), next(sides)
        else:
            start += 2 + int.from_bytes(frame[start + 2 : start + 4])
    return None
