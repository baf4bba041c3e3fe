"""The pixels of DICOM images: decoded, and scaled to what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from .. import DataError
from .headers import DAMAGED, DicomImage, functional_group, syntax_name, tolerant


def read_pixels(images: Sequence[DicomImage]) -> NDArray[Any]:
    """(images, Y, X): the stored integers, or float32 where a file has a slope or intercept.

    Raises DataError for a damaged file and for a compression that nothing here can unpack.
    """
    wanted: dict[Path, list[int]] = {}
    for place, image in enumerate(images):
        wanted.setdefault(image.file, []).append(place)
    found: list[NDArray[Any]] = [np.empty(0)] * len(images)
    for file, places in wanted.items():
        frames = [images[place].frame for place in places]
        for place, pixels in zip(places, _frames_of(file, frames), strict=True):
            found[place] = pixels
    return np.stack(found)


def _frames_of(file: Path, frames: Sequence[int]) -> list[NDArray[Any]]:
    with tolerant():
        try:
            content = pydicom.dcmread(file)
            _check_decodable(file, content)
            pixels = pixel_array(content).reshape(-1, content.Rows, content.Columns)
            return [_scaled(pixels[frame], content, frame) for frame in frames]
        except (InvalidDicomError, RuntimeError, IndexError, *DAMAGED) as error:
            raise DataError(
                f"{file.name} is cut short, damaged or badly compressed: its pixels cannot be read "
                f"({type(error).__name__}). Export the series again, uncompressed."
            ) from error


def _check_decodable(file: Path, content: pydicom.Dataset) -> None:
    try:
        decodable = get_decoder(content.file_meta.TransferSyntaxUID).is_available
    except NotImplementedError:
        decodable = False
    if not decodable:
        raise DataError(
            f"{file.name} is compressed as {syntax_name(content)}, which cannot be unpacked here: "
            "export the series uncompressed (Explicit VR Little Endian)."
        )


def _scaled(pixels: NDArray[Any], content: pydicom.Dataset, frame: int) -> NDArray[Any]:
    scaling = functional_group(content, frame, "PixelValueTransformationSequence") or content
    slope, intercept = scaling.get("RescaleSlope"), scaling.get("RescaleIntercept")
    as_stored = (1.0 if slope is None else float(slope)) == 1 and not float(intercept or 0)
    if as_stored and "ModalityLUTSequence" not in scaling:
        return pixels
    return apply_modality_lut(pixels, scaling).astype(np.float32)
