"""Short-axis cines of DICOM folders, read as volumes like those of NIfTI files.

Slices and phases are found by their headers, never by file names or the order of files. The volume
is named by a pseudonym of its series; only its `PatientRecord` says whose heart it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from ...core.counts import format_count
from ...core.heart.long_axis import LONG_AXIS_KINDS, LongAxis
from ...core.heart.patient_record import PatientRecord
from ...core.problems import Statement, change, statement
from .. import DataError
from ..files.special import may_be_file
from ..images.geometry import Geometry, make_geometry
from ..images.nifti import BLANK_IMAGE, Volume
from .examination import SeriesView, classify_series
from .files import is_dicom, list_files
from .headers import (
    DAMAGED,
    MONOCHROME,
    DicomImage,
    count_unused_bits,
    functional_group,
    has_valid_uids,
    images_of,
    patient_record,
    syntax_name,
    tolerant_reading,
)
from .limits import check_pixels, read_dicom_file
from .series import Stack, find_stacks
from .slices import phase_interval, stack_affine

NO_DICOM = "{path} does not contain DICOM images with a position in the patient."
NO_SHORT_AXIS = "No short-axis cine was found among {stacks}."
SEVERAL_SHORT_AXES = "{count} short-axis cines were found ({stacks})."
INVALID_UIDS = (
    "{count} of {images} DICOM images have UIDs that the standard does not allow. Some anonymisers "
    "write such UIDs. DICOM SEG and SR repeat them to refer to the images, so an archive may "
    "refuse the files."
)
LEFT_ALIGNED = (
    "The values of {count} of {images} DICOM images are left-aligned, as in old files. Their "
    "unused bits were removed."
)
IMAGES_LEFT_OUT = (
    "The image was read without {files}, because of missing permission, damage or an invalid "
    "position in the patient. Check that no slice of the heart is missing."
)
FOLDERS_LEFT_OUT = (
    "The image was read without {folders} that cannot be opened ({reason}). Check that no slice of "
    "the heart is missing."
)
NO_LONG_AXIS = "The {kind} was left out. {reason}"
NO_SUCH_SERIES = "Series {series} is not among {stacks}."


def read_stacks(*paths: Path, study: str | None = None) -> list[Stack]:
    """Return all stacks in files, and in folders with their subfolders; candidates first.

    With the UID of a ``study``, only stacks of this study are returned. Raises DataError if a path
    does not exist, or if no stack is found.
    """
    for path in paths:
        if not (may_be_file(path) or path.exists()):
            raise DataError("{path} does not exist.", path=path)
    closed: list[OSError] = []
    files = sorted(file for path in paths for file in list_files(path, closed.append))
    images, unusable = _read_all(files)
    of_study = [image for image in images if study in (None, image.study)]
    if not of_study:
        raise DataError(NO_DICOM, path=paths[0] if len(paths) == 1 else "The study")
    notes = []
    if unusable:
        notes.append(statement(IMAGES_LEFT_OUT, files=format_count(unusable, "DICOM file")))
    if closed:
        folders, reason = format_count(len(closed), "folder"), closed[0].strerror
        notes.append(statement(FOLDERS_LEFT_OUT, folders=folders, reason=reason))
    return [replace(stack, notes=(*notes, *stack.notes)) for stack in find_stacks(of_study)]


def _read_all(files: Sequence[Path]) -> tuple[list[DicomImage], int]:
    """Return the images of all files, and the number of files whose images cannot be used."""
    images: list[DicomImage] = []
    unusable = 0
    for file in files:
        try:
            images += images_of(file)
        except InvalidDicomError:  # no DICOM file, such as a text beside the images
            continue
        except OSError:  # it cannot be opened, and may be a slice
            unusable += 1
        except DAMAGED:
            # Other files may end in any of these errors, too, and are no lost slices.
            unusable += is_dicom(file)
    return images, unusable


def choose_stack(
    stacks: Sequence[Stack],
    *,
    series: int | None = None,
    describe: Callable[[Stack], str] = str,
    guess: bool = True,
) -> Stack:
    """Return the short-axis cine: the only candidate, or the one with slices in ``series``.

    With ``guess``, a single stack is returned whatever it shows. Raises DataError if no stack or
    several remain, with a list of the stacks in the words of ``describe``.
    """
    selected = [stack for stack in stacks if series is None or series in stack.series_numbers]
    candidates = [stack for stack in selected if stack.is_short_axis_cine]
    if len(candidates) == 1:
        return candidates[0]
    alone = len(selected) == 1 and (guess or selected[0].may_be_short_axis)
    # A series that was asked for is read even if nothing says that it is a short axis.
    if alone or (series is not None and selected and not candidates):
        return selected[0]
    choices = "; ".join(map(describe, candidates or stacks))
    if series is not None and not selected:
        raise DataError(NO_SUCH_SERIES, change("series"), series=series, stacks=choices)
    if not candidates:
        raise DataError(NO_SHORT_AXIS, change("series"), stacks=choices)
    raise DataError(SEVERAL_SHORT_AXES, change("series"), count=len(candidates), stacks=choices)


def read_dicom(path: Path, *, series: int | None = None) -> Volume:
    """Read the short-axis cine of a DICOM folder.

    Parameters
    ----------
    path : Path
        A folder, which is searched with its subfolders, or a DICOM file.
    series : int, optional
        Number of the series to read. Needed if the folder has several short-axis cines.

    Returns
    -------
    Volume
        (T, Z, Y, X) voxels, or (Z, Y, X) of a single phase, from base to apex, and in
        ``long_axes`` the long-axis cines of the same study.

    Raises
    ------
    DataError
        If the folder does not have exactly one short-axis cine, or if images are missing or
        damaged.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_bayes_nnunet import read_dicom
    >>> from napari_bayes_nnunet.io import DataError
    >>> try:
    ...     read_dicom(Path("no such folder"))
    ... except DataError as error:
    ...     print(error)
    no such folder does not exist.
    """
    stacks = read_stacks(path)
    stack = choose_stack(stacks, series=series)
    return read_stack(stack, path, views=classify_series(stacks, stack))


def read_stack(
    stack: Stack,
    path: Path,
    *,
    name: str = "",
    describe: Callable[[Stack], str] = str,
    views: Sequence[SeriesView] = (),
) -> Volume:
    """Read a stack found in ``path``: (T, Z, Y, X), or (Z, Y, X) of a single phase.

    Its long axes are those of the ``views``. Its ``source`` is not a file, but ``name`` or the
    pseudonym next to the folder; its ``notes`` say if images were left out or UIDs are invalid.
    Raises DataError, which names the stack in the words of ``describe``, if slices or phases are
    missing, or if pixels cannot be read.
    """
    title = describe(stack)
    title = title[:1].upper() + title[1:]
    if stack.problem:
        raise DataError(
            "{stack} cannot be read, because {problem}. Export the series again.",
            stack=title,
            problem=stack.problem,
        )
    geometry = stack_geometry(stack)
    images = [of_slice[phase] for phase in range(stack.phases) for of_slice in stack.slices]
    voxels = read_pixels(images).reshape(geometry.shape)
    if not np.isfinite(voxels).all() or not voxels.any():
        raise DataError(BLANK_IMAGE, file=title)
    source = path.absolute().parent / (name or stack.pseudonym)
    long_axes, unreadable = read_long_axes(views)
    notes = (*stack.notes, *_notes_on_files(images), *unreadable)
    doubt = stack.no_cine_because or stack.doubt
    return Volume(voxels, geometry, source, notes, doubt, _read_patient(stack), long_axes)


def read_long_axes(
    views: Sequence[SeriesView],
) -> tuple[tuple[LongAxis, ...], list[Statement]]:
    """Return the long axes among the views, and notes on those that cannot be read."""
    long_axes, notes = [], []
    for series in views:
        if series.view not in LONG_AXIS_KINDS:
            continue
        stack, of_slice = series.stack, series.stack.slices[series.z]
        affine = stack_affine((of_slice,), stack.spacing)
        try:
            voxels = read_pixels(of_slice)
        except DataError as error:
            notes.append(statement(NO_LONG_AXIS, kind=series.view, reason=error))
        else:
            long_axes.append(LongAxis(kind=series.view, voxels=voxels, affine=affine))
    return tuple(long_axes), notes


def read_thumbnail(stack: Stack) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Return the (Y, X) middle slice of the first phase. Raises DataError if it is unreadable."""
    middle: DicomImage = stack.slices[len(stack.slices) // 2][0]
    return np.asarray(read_pixels([middle])[0])


def _read_patient(stack: Stack) -> PatientRecord:
    """Return whose heart a readable stack shows."""
    with tolerant_reading():
        record = patient_record(read_dicom_file(stack.first.file, stop_before_pixels=True))
    beat = stack.first.beat
    rate = record.heart_rate or (round(60000 / beat) if beat else None)
    return replace(record, series=record.series or stack.series_name, heart_rate=rate)


def read_study_date(stack: Stack) -> str:
    """Return the date of the study, as in "2004-03-12", or "" if it is missing or unreadable."""
    try:
        return _read_patient(stack).date
    except (*DAMAGED, InvalidDicomError):
        return ""


def stack_geometry(stack: Stack) -> Geometry:
    """Return the geometry of a stack."""
    shape = (len(stack.slices), *stack.first.shape)
    return make_geometry(
        (stack.phases, *shape) if stack.phases > 1 else shape,
        stack.spacing,
        frame_time=phase_interval(stack.slices),
        affine=stack_affine(stack.slices, stack.spacing),
    )


def _notes_on_files(images: Sequence[DicomImage]) -> tuple[Statement, ...]:
    counts = {
        INVALID_UIDS: sum(not has_valid_uids(image) for image in images),
        LEFT_ALIGNED: sum(image.unused_bits > 0 for image in images),
    }
    return tuple(
        statement(template, count=count, images=len(images))
        for template, count in counts.items()
        if count
    )


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
        # Of all images together: a slice may be nothing but padding.
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
            # The padding value is compared before the unused bits go, as it has them, too.
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
    # The complement reverses signed values within their range.
    if pixels.dtype.kind == "i":
        return ~pixels
    return np.asarray((1 << bits) - 1 - pixels.astype(np.int64)).astype(pixels.dtype)


def _scaled(pixels: NDArray[Any], content: pydicom.Dataset, frame: int) -> NDArray[Any]:
    scaling = functional_group(content, frame, "PixelValueTransformationSequence") or content
    slope, intercept = scaling.get("RescaleSlope"), scaling.get("RescaleIntercept")
    as_stored = (1.0 if slope is None else float(slope)) == 1 and not float(intercept or 0)
    # Integers stay integers, which take half of the memory of float32.
    if as_stored and "ModalityLUTSequence" not in scaling:
        return pixels
    return apply_modality_lut(pixels, scaling).astype(np.float32)
