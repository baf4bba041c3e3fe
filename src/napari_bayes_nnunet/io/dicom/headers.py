"""Single images (one slice at one time) of DICOM files, read from their headers.

A classic file holds one image, an enhanced multi-frame file one per frame. Pixels are not read.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pydicom
from pydicom.config import disable_value_validation
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from .limits import MOST_FRAMES, read_dicom_file

Vector: TypeAlias = tuple[float, ...]
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, struct.error, zlib.error),
)
"""Errors that pydicom raises for a truncated or damaged header."""
DERIVED = ("SEG", "SR", "PR", "KO", "RTSTRUCT", "REG", "OT")
"""Modalities of files that are derived from images."""


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """One slice at one time: frame ``frame`` (from 0) of ``file``.

    ``position`` of the first pixel's centre and ``orientation`` (row, then column direction) are
    DICOM's, in mm to the left, back and head. ``pixel_spacing`` (between rows, between columns)
    and ``thickness`` in mm. ``trigger_time`` after the R wave and ``beat`` (R-R interval) in ms.
    A number is None if the file does not give it.
    """

    file: Path
    frame: int
    instance: str
    study: str
    series: str
    series_number: int | None
    description: str
    frame_of_reference: str
    kind: tuple[str, ...]
    shape: tuple[int, int]
    position: Vector
    orientation: Vector
    pixel_spacing: Vector
    thickness: float | None
    number: int | None
    trigger_time: float | None
    temporal_position: int | None
    beat: float | None

    @property
    def acquired(self) -> tuple[int, int, int]:
        """Sort key for the order of acquisition."""
        return self.series_number or 0, self.number or 0, self.frame


@contextmanager
def tolerant_reading() -> Iterator[None]:
    """Accept invalid values of scanners and anonymisers, without warnings that could quote them."""
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore", UserWarning)
        yield


def read_images(file: Path) -> list[DicomImage]:
    """Return the images of a file that have a position in the patient; [] for any other file."""
    with tolerant_reading():
        try:
            header = read_dicom_file(file, stop_before_pixels=True)
            if not _is_image(header):
                return []
            return [_image(file, header, frame) for frame in range(_frames(header))]
        except (InvalidDicomError, *DAMAGED):
            return []


def functional_group(header: pydicom.Dataset, frame: int, name: str) -> pydicom.Dataset:
    """Return a functional group of a frame, its own or the shared one, or an empty data set."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for groups in (*own[frame : frame + 1], *shared[:1]):
        if groups.get(name):
            return groups[name].value[0]  # type: ignore[no-any-return]
    return pydicom.Dataset()


def _is_image(header: pydicom.Dataset) -> bool:
    grey = header.get("SamplesPerPixel", 1) == 1
    return "Rows" in header and grey and header.get("Modality") not in DERIVED


def _frames(header: pydicom.Dataset) -> int:
    """Return the number of frames. Raises ValueError for more than any file has."""
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > MOST_FRAMES:
        raise ValueError("NumberOfFrames")
    return frames


def _image(file: Path, header: pydicom.Dataset, frame: int) -> DicomImage:
    def group(name: str) -> pydicom.Dataset:
        return functional_group(header, frame, name)

    heart, measures = group("CardiacSynchronizationSequence"), group("PixelMeasuresSequence")
    location, plane = group("PlanePositionSequence"), group("PlaneOrientationSequence")
    content, kind = group("FrameContentSequence"), group("MRImageFrameTypeSequence")
    rate = _number("HeartRate", header)
    return DicomImage(
        file=file,
        frame=frame,
        instance=str(header.get("SOPInstanceUID", "")),
        study=str(header.get("StudyInstanceUID", "")),
        series=str(header.get("SeriesInstanceUID", "")),
        series_number=_whole("SeriesNumber", header),
        description=str(header.get("SeriesDescription") or header.get("ProtocolName") or ""),
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        kind=tuple(map(str, kind.get("FrameType") or header.get("ImageType") or ())),
        shape=(int(header.Rows), int(header.Columns)),
        position=_vector("ImagePositionPatient", 3, location, header),
        orientation=_vector("ImageOrientationPatient", 6, plane, header),
        pixel_spacing=_vector("PixelSpacing", 2, measures, header),
        thickness=_number("SpacingBetweenSlices", measures, header)
        or _number("SliceThickness", measures, header),
        number=_whole("InstanceNumber", header),
        trigger_time=_number("NominalCardiacTriggerDelayTime", heart)
        if heart
        else _number("TriggerTime", header),
        temporal_position=_whole("TemporalPositionIndex", content)
        or _whole("TemporalPositionIdentifier", header),
        beat=_number("RRIntervalTimeNominal", heart)
        or _number("NominalInterval", header)
        or (60000 / rate if rate else None),
    )


def _vector(name: str, length: int, *datasets: pydicom.Dataset) -> Vector:
    """Return ``length`` numbers of the first data set that has them, or raise ValueError."""
    for dataset in datasets:
        if dataset.get(name):
            values = tuple(float(value) for value in dataset[name].value)
            if len(values) == length:
                return values
    raise ValueError(name)


def _number(name: str, *datasets: pydicom.Dataset) -> float | None:
    for dataset in datasets:
        value: Any = dataset.get(name)
        if value not in (None, ""):
            return float(value)
    return None


def _whole(name: str, *datasets: pydicom.Dataset) -> int | None:
    value = _number(name, *datasets)
    return None if value is None else int(value)


def has_valid_uids(image: DicomImage) -> bool:
    """Return whether the standard allows the UIDs by which SEG and SR refer to the image."""
    uids = (image.instance, image.series, image.study, image.frame_of_reference)
    with tolerant_reading():
        return all(UID(uid).is_valid for uid in uids if uid)


def syntax_name(header: pydicom.Dataset) -> str:
    """Return DICOM's name for the encoding of a file's pixels."""
    return str(UID(header.file_meta.get("TransferSyntaxUID", "")).name or "an unnamed syntax")
