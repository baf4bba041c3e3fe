"""Single images (one slice at one time) of DICOM files, read from their headers.

A classic file holds one image, an enhanced multi-frame file one per frame. Pixels are not read.
"""

from __future__ import annotations

import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pydicom
from pydicom.config import disable_value_validation
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, EnhancedMRImageStorage, MediaStorageDirectoryStorage, MRImageStorage

from ...core.heart.patient_record import PatientRecord
from .files import has_mark
from .limits import MOST_FRAMES, read_dicom_file

Vector: TypeAlias = tuple[float, ...]
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(RecursionError, struct.error, zlib.error),
)
"""Errors that pydicom raises for a truncated or damaged header."""
DERIVED = ("SEG", "SR", "PR", "KO", "RTSTRUCT", "REG", "OT")
"""Modalities of files that are derived from images."""
MONOCHROME: Final = ("MONOCHROME2", "MONOCHROME1")
"""Kinds of grey pixels: the highest value is white, or black."""
ROUGH_DIRECTION: Final = 0.01
"""Largest error of the length of a direction, and of the cosine between rows and columns."""
_SEXES: Final[dict[str, Literal["f", "m"]]] = {"F": "f", "M": "m"}
_STUDY_TAGS: Final = ["SOPClassUID", "Modality", "StudyInstanceUID"]
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
"""First part of the classes of screenshots, and of images that another program has converted.

Only the latter may have a position in the patient.
"""


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """One slice at one time: frame ``frame`` (from 0) of ``file``.

    ``position`` of the first pixel's centre and ``orientation`` (row, then column direction) are
    DICOM's, in mm to the left, back and head. ``pixel_spacing`` (between rows, between columns)
    and ``thickness`` in mm. ``trigger_time`` after the R wave and ``beat`` (R-R interval) in ms.
    A number is None if the file does not give it. ``patient`` is the ID of the patient, which
    is only compared. ``modality`` is "MR" for magnetic resonance, "" if unknown;
    ``inversion_time`` in ms is that of a prepared contrast. ``acquisition`` and
    ``acquisition_time`` are 0 and "" if unknown; the time is only compared. ``unused_bits`` lie
    below values that are left-aligned. ``sequence`` and ``variant`` are codes of the scanning
    sequence, such as "GR" and "SS" (steady state); () if unknown. ``phases`` is the number
    that its slice was taken in.
    """

    file: Path
    frame: int
    instance: str
    patient: str
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
    modality: str = ""
    inversion_time: float | None = None
    acquisition: int = 0
    acquisition_time: str = ""
    unused_bits: int = 0
    sequence: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    phases: int | None = None

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
    try:
        return images_of(file)
    except (InvalidDicomError, *DAMAGED):
        return []


def images_of(file: Path) -> list[DicomImage]:
    """Return the images of a file; [] for a DICOM file of another kind.

    Raises InvalidDicomError for a file that is not DICOM, and one of `DAMAGED` for an image that is
    damaged or has no valid position in the patient.
    """
    with tolerant_reading():
        header = read_dicom_file(file, stop_before_pixels=True)
        if not _is_image(header):
            return []
        return [_image(file, header, frame) for frame in range(_frames(header))]


def group_by_study(
    files: Sequence[Path], onerror: Callable[[OSError], object] | None = None
) -> dict[str, list[Path]]:
    """Return the images among the files of a folder, grouped by the UID of their study.

    Every file is opened, because images of different patients may be mixed; ``onerror`` is called
    for each that cannot be opened. Images without a study UID are returned, under "", only if no
    image has one.
    """
    studies: dict[str, list[Path]] = {}
    with tolerant_reading():
        for file in files:
            try:
                study = _study_of(file) if has_mark(file) else None
            except OSError as error:
                if onerror is not None:
                    onerror(error)
                continue
            if study is not None:
                studies.setdefault(study, []).append(file)
    # An image without its study's UID could be of any of the patients.
    if len(studies) > 1:
        studies.pop("", None)
    return dict(sorted(studies.items()))


def _study_of(file: Path) -> str | None:
    """Return the study UID of an image, "" if it is damaged, None if it is not an image."""
    try:
        header = read_dicom_file(file, stop_before_pixels=True, specific_tags=_STUDY_TAGS)
        kind = header.file_meta.get("MediaStorageSOPClassUID")
        if kind == MediaStorageDirectoryStorage or header.get("Modality") in DERIVED:
            return None
        return str(header.get("StudyInstanceUID") or "")
    except (InvalidDicomError, *DAMAGED):
        return ""


def patient_record(header: pydicom.Dataset) -> PatientRecord:
    """Return whose heart a file shows. Values that the standard does not allow are left out."""

    def text(name: str) -> str:
        return " ".join(str(header.get(name) or "").split()).strip("^ ")

    birth, day = _iso_date(text("PatientBirthDate")), _iso_date(text("StudyDate"))
    stated = re.fullmatch(r"(\d{3})Y", text("PatientAge"))
    age = _years_between(birth, day)
    height = _measure("PatientSize", header)
    return PatientRecord(
        name=text("PatientName"),
        patient_id=text("PatientID"),
        birth=birth,
        age=int(stated[1]) if age is None and stated else age,
        sex=_SEXES.get(text("PatientSex")),
        date=day,
        series=text("SeriesDescription") or text("ProtocolName"),
        height_cm=None if height is None else round(100 * height, 1),
        weight_kg=_measure("PatientWeight", header),
        heart_rate=_measure("HeartRate", header),
        scanner=f"{text('Manufacturer')} {text('ManufacturerModelName')}".strip(),
    )


def _iso_date(text: str) -> str:
    """Return a date as in "2024-03-12", the year of one like 20120000, "" for other texts."""
    if not re.fullmatch(r"[12]\d{7}", text):
        return ""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return text[:4]


def _years_between(birth: str, day: str) -> int | None:
    """Return the full years between two ISO dates, None if one of them is not a whole date."""
    if not len(birth) == len(day) == len("2024-03-12"):
        return None
    return int(day[:4]) - int(birth[:4]) - (day[5:] < birth[5:])


def _measure(name: str, header: pydicom.Dataset) -> float | None:
    try:
        return _positive(_number(name, header))
    except (TypeError, ValueError):
        return None


def functional_group(header: pydicom.Dataset, frame: int, name: str) -> pydicom.Dataset:
    """Return a functional group of a frame, its own or the shared one, or an empty data set."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    # The frame's own groups come first, because they replace the shared ones.
    for groups in (*own[frame : frame + 1], *shared[:1]):
        if groups.get(name):
            return groups[name].value[0]  # type: ignore[no-any-return]
    return pydicom.Dataset()


def _is_image(header: pydicom.Dataset) -> bool:
    kind = str(header.get("SOPClassUID", ""))
    if header.get("Modality") in DERIVED:
        return False
    # A screenshot has no position in the patient, a converted image may have one.
    if kind.startswith(SECONDARY_CAPTURE) and not _has_position(header):
        return False
    grey = str(header.get("PhotometricInterpretation", MONOCHROME[0])) in MONOCHROME
    has_pixels = "Rows" in header or kind in (MRImageStorage, EnhancedMRImageStorage)
    return has_pixels and grey and header.get("SamplesPerPixel", 1) == 1


def _has_position(header: pydicom.Dataset) -> bool:
    in_frame = functional_group(header, 0, "PlanePositionSequence")
    return any("ImagePositionPatient" in source for source in (in_frame, header))


def _frames(header: pydicom.Dataset) -> int:
    """Return the number of frames. Raises ValueError if it is implausible or not as described."""
    frames = int(header.get("NumberOfFrames") or 1)
    described = len(header.get("PerFrameFunctionalGroupsSequence") or [])
    if frames > MOST_FRAMES or described not in (0, frames):
        raise ValueError("NumberOfFrames")
    return frames


def _image(file: Path, header: pydicom.Dataset, frame: int) -> DicomImage:
    def group(name: str) -> pydicom.Dataset:
        return functional_group(header, frame, name)

    heart, measures = group("CardiacSynchronizationSequence"), group("PixelMeasuresSequence")
    location, plane = group("PlanePositionSequence"), group("PlaneOrientationSequence")
    content, kind = group("FrameContentSequence"), group("MRImageFrameTypeSequence")
    rate = _positive(_number("HeartRate", header))
    return DicomImage(
        file=file,
        frame=frame,
        instance=str(header.get("SOPInstanceUID", "")),
        patient=str(header.get("PatientID", "")),
        study=str(header.get("StudyInstanceUID", "")),
        series=str(header.get("SeriesInstanceUID", "")),
        series_number=_whole("SeriesNumber", header),
        description=str(header.get("SeriesDescription") or header.get("ProtocolName") or ""),
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        kind=tuple(map(str, kind.get("FrameType") or header.get("ImageType") or ())),
        shape=(int(header.Rows), int(header.Columns)),
        position=_vector("ImagePositionPatient", 3, location, header),
        orientation=_orientation(plane, header),
        pixel_spacing=_pixel_spacing(measures, header),
        thickness=_positive(_number("SliceThickness", measures, header))
        or _positive(_number("SpacingBetweenSlices", measures, header)),
        number=_whole("InstanceNumber", header),
        trigger_time=_number("NominalCardiacTriggerDelayTime", heart)
        if heart
        else _number("TriggerTime", header),
        temporal_position=_whole("TemporalPositionIndex", content)
        or _whole("TemporalPositionIdentifier", header),
        # The R-R interval itself comes before the heart rate, which is rounded to whole beats.
        beat=_positive(_number("RRIntervalTimeNominal", heart))
        or _positive(_number("NominalInterval", header))
        or (60000 / rate if rate else None),
        modality=str(header.get("Modality", "")),
        inversion_time=_positive(_number("InversionTime", header)),
        acquisition=_whole("AcquisitionNumber", header) or 0,
        acquisition_time=str(
            header.get("AcquisitionDateTime") or header.get("AcquisitionTime") or ""
        ),
        unused_bits=count_unused_bits(header),
        sequence=_codes("ScanningSequence", header),
        variant=_codes("SequenceVariant", header),
        phases=_whole("CardiacNumberOfImages", header),
    )


def count_unused_bits(header: pydicom.Dataset) -> int:
    """Return the number of bits below the values, which are left-aligned in some old files."""
    if "HighBit" not in header or header.file_meta.TransferSyntaxUID.is_compressed:
        return 0
    return max(0, int(header.HighBit) + 1 - int(header.BitsStored))


def _vector(name: str, length: int, *datasets: pydicom.Dataset) -> Vector:
    """Return ``length`` finite numbers of the first data set that has them, or raise ValueError."""
    for dataset in datasets:
        if dataset.get(name):
            values = tuple(float(value) for value in dataset[name].value)
            if len(values) == length and all(map(math.isfinite, values)):
                return values
    raise ValueError(name)


def _orientation(*datasets: pydicom.Dataset) -> Vector:
    """Return the directions of rows and columns. Raises ValueError if they are not perpendicular.

    Both have the length 1, apart from rounding. Other lengths also raise ValueError.
    """
    name = "ImageOrientationPatient"
    values = _vector(name, 6, *datasets)
    row, column = values[:3], values[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    across = sum(first * second for first, second in zip(row, column, strict=True))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(across)) > ROUGH_DIRECTION:
        raise ValueError(name)
    return values


def _pixel_spacing(*datasets: pydicom.Dataset) -> Vector:
    """Return the distances of rows and columns. Raises ValueError if one is not above 0."""
    values = _vector("PixelSpacing", 2, *datasets)
    if min(values) <= 0:
        raise ValueError("PixelSpacing")
    return values


def _number(name: str, *datasets: pydicom.Dataset) -> float | None:
    for dataset in datasets:
        value: Any = dataset.get(name)
        if value not in (None, "") and math.isfinite(float(value)):
            return float(value)
    return None


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _codes(name: str, header: pydicom.Dataset) -> tuple[str, ...]:
    value = header.get(name) or ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))


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
