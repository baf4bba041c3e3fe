"""Pixels of DICOM images, decoded and scaled."""

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
from .headers import (
    DAMAGED,
    MONOCHROME,
    DicomImage,
    count_unused_bits,
    functional_group,
    syntax_name,
    tolerant_reading,
)
from .limits import check_pixels, read_dicom_file


def read_pixels(images: Sequence[DicomImage]) -> NDArray[Any]:
    """Return (images, Y, X) stored integers, or float32 if a file has a slope or intercept.

    Pixels outside of the image get the lowest value of the other pixels of all ``images``. Raises
    DataError for a damaged file and for a compression without an installed decoder.
    """
    indices_of_file: dict[Path, list[int]] = {}
    for index, image in enumerate(images):
        indices_of_file.setdefault(image.file, []).append(index)
    frames: dict[int, tuple[NDArray[Any], NDArray[np.bool_]]] = {}
    for file, indices in indices_of_file.items():
        read = _read_frames(file, [images[index].frame for index in indices])
        frames.update(zip(indices, read, strict=True))
    parts = zip(*(frames[index] for index in range(len(images))), strict=True)
    pixels, padding = map(np.stack, parts)
    if padding.any() and not padding.all():
        pixels[padding] = pixels[~padding].min()
    return pixels


def _read_frames(file: Path, frames: Sequence[int]) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Return the values of each frame, and a mask of the pixels outside of the image."""
    with tolerant_reading():
        try:
            content = read_dicom_file(file)
            _check_decodable(file, content)
            check_pixels(content)
            pixels = _stored_values(content)
            padding = _find_padding(pixels, content)
            pixels = pixels >> count_unused_bits(content)
            if content.PhotometricInterpretation == MONOCHROME[1]:
                pixels = _with_high_values_white(pixels, bits=int(content.BitsStored))
            return [(_scaled(pixels[frame], content, frame), padding[frame]) for frame in frames]
        except (InvalidDicomError, RuntimeError, IndexError, MemoryError, *DAMAGED) as error:
            raise DataError(
                "{file} is truncated or damaged ({reason}). Export the series again, uncompressed.",
                file=file.name,
                reason=type(error).__name__,
            ) from error


def _check_decodable(file: Path, content: pydicom.Dataset) -> None:
    try:
        decodable = get_decoder(content.file_meta.TransferSyntaxUID).is_available
    except NotImplementedError:
        decodable = False
    if not decodable:
        raise DataError(
            "{file} uses an unsupported compression ({syntax}). Export the series uncompressed "
            "(Explicit VR Little Endian).",
            file=file.name,
            syntax=syntax_name(content),
        )


def _stored_values(content: pydicom.Dataset) -> NDArray[Any]:
    """Return (frames, Y, X) values, with the unused bits below them."""
    # Otherwise pydicom removes the highest bits.
    pixels = pixel_array(content, correct_unused_bits=not count_unused_bits(content))
    return pixels.reshape(-1, content.Rows, content.Columns)


def _find_padding(pixels: NDArray[Any], content: pydicom.Dataset) -> NDArray[np.bool_]:
    """Return a mask of the pixels outside of the image, by PixelPaddingValue and its range."""
    value = content.get("PixelPaddingValue")
    if value is None:
        return np.zeros(pixels.shape, bool)
    limit = content.get("PixelPaddingRangeLimit")
    # Some files have 63536 for -2000, or the reverse.
    ends = np.array([int(value), int(value if limit is None else limit)]).astype(pixels.dtype)
    return np.asarray((pixels >= ends.min()) & (pixels <= ends.max()))


def _with_high_values_white(pixels: NDArray[Any], *, bits: int) -> NDArray[Any]:
    """Return pixels whose high values were black, reversed within the same range."""
    if pixels.dtype.kind == "i":
        return ~pixels
    return np.asarray((1 << bits) - 1 - pixels.astype(np.int64)).astype(pixels.dtype)


def _scaled(pixels: NDArray[Any], content: pydicom.Dataset, frame: int) -> NDArray[Any]:
    scaling = functional_group(content, frame, "PixelValueTransformationSequence") or content
    slope, intercept = scaling.get("RescaleSlope"), scaling.get("RescaleIntercept")
    as_stored = (1.0 if slope is None else float(slope)) == 1 and not float(intercept or 0)
    if as_stored and "ModalityLUTSequence" not in scaling:
        return pixels
    return apply_modality_lut(pixels, scaling).astype(np.float32)
