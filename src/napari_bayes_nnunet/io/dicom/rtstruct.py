"""DICOM RT Structure Set: the smooth contours of one phase, slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import highdicom as hd
import numpy as np
from highdicom.base import SOPClass
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from ...core.editing.closed_curve import join_holes
from ...core.heart.structures import structure_colors
from .headers import DicomImage
from .seg import (
    MAKER,
    SERIES_NUMBER,
    UNICODE,
    LabelOrigin,
    describe_series,
    dicom_write_errors,
    read_source_headers,
    save_as_unicode,
)

Contours = Mapping[int, Sequence[NDArray[np.float64]]]
"""Closed (m, 2) contours of each label in one slice, (y, x) in voxels."""
SERIES_OFFSET: Final = 100
"""Distance of the number of a series of contours from that of the labels of the same phase."""
STUDY_CLASS: Final = "1.2.840.10008.3.1.2.3.1"
"""Retired class of a study, by which a structure set still refers to it."""


def write_rtstruct(
    file: Path,
    contours: Sequence[Contours],
    images: Sequence[DicomImage],
    structures: Mapping[str, int],
    *,
    origin: LabelOrigin,
) -> None:
    """Write the contours of each slice as a DICOM RT Structure Set of ``images``, one per slice.

    A hole is joined to the contour around it, see `join_holes`. Names, colours and description are
    those of `write_seg`. Raises DataError if writing fails.
    """
    names = sorted(structures, key=lambda name: structures[name])
    description = describe_series(", ".join(names), origin.phase, origin.review)
    with dicom_write_errors(file):
        headers = read_source_headers(images)
        written = _structure_set(headers[0], description, origin)
        written.ReferencedFrameOfReferenceSequence = [_refer_to_images(headers, images)]
        written.StructureSetROISequence, written.ROIContourSequence = [], []
        written.RTROIObservationsSequence = []
        colors = structure_colors(structures)
        for roi, name in enumerate(names, 1):
            label = structures[name]
            found = [
                _contour(points, header, image)
                for slice_contours, header, image in zip(contours, headers, images, strict=True)
                for points in join_holes(slice_contours.get(label, ()))
            ]
            _add_roi(written, roi, name, found, color=colors[label], origin=origin)
        save_as_unicode(written, file)


def _structure_set(source: Dataset, description: str, origin: LabelOrigin) -> SOPClass:
    """Return a structure set without contours, with patient and study of a header."""
    written = SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER + SERIES_OFFSET + origin.number,
        sop_instance_uid=hd.UID(),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=origin.version,
        device_serial_number="0",
        # An explicit VR would limit a contour to 64 KiB, which are about 2,400 points.
        transfer_syntax_uid=ImplicitVRLittleEndian,
        patient_birth_date="",
        series_description=description,
        specific_character_set=UNICODE,
    )
    written.copy_patient_and_study_information(source)
    made = datetime.now()
    written.StructureSetLabel, written.StructureSetName = "CONTOURS", description
    written.StructureSetDate, written.StructureSetTime = f"{made:%Y%m%d}", f"{made:%H%M%S}"
    written.FrameOfReferenceUID, written.PositionReferenceIndicator = source.FrameOfReferenceUID, ""
    written.OperatorsName = ""
    return written


def _refer_to_images(headers: Sequence[Dataset], images: Sequence[DicomImage]) -> Dataset:
    """Return the frame of reference with the study, the series and the images in it."""
    series: dict[str, Dataset] = {}
    for header, image in zip(headers, images, strict=True):
        item = series.setdefault(header.SeriesInstanceUID, Dataset())
        item.SeriesInstanceUID = header.SeriesInstanceUID
        item.setdefault("ContourImageSequence", [])
        item.ContourImageSequence.append(_image(header, image))
    study = Dataset()
    study.ReferencedSOPClassUID = STUDY_CLASS
    study.ReferencedSOPInstanceUID = headers[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = list(series.values())
    frame = Dataset()
    frame.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(header: Dataset, image: DicomImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if "NumberOfFrames" in header:
        item.ReferencedFrameNumber = image.frame + 1
    return item


def _contour(points: NDArray[np.float64], header: Dataset, image: DicomImage) -> Dataset:
    """Return a contour (m, 2) of (y, x) in voxels as points of the patient, in mm."""
    along = np.array(header.ImageOrientationPatient, np.float64).reshape(2, 3)
    steps = points[:, ::-1] * np.array(header.PixelSpacing, np.float64)[::-1]
    places = np.array(header.ImagePositionPatient, np.float64) + steps @ along
    item = Dataset()
    item.ContourImageSequence = [_image(header, image)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    # A decimal string of DICOM has at most 16 characters.
    item.ContourData = [f"{value:.4f}" for value in places.ravel()]
    return item


def _add_roi(
    written: Dataset,
    number: int,
    name: str,
    contours: list[Dataset],
    *,
    color: str,
    origin: LabelOrigin,
) -> None:
    roi, drawn, observation = Dataset(), Dataset(), Dataset()
    roi.ROINumber = drawn.ReferencedROINumber = observation.ReferencedROINumber = number
    roi.ReferencedFrameOfReferenceUID = written.FrameOfReferenceUID
    roi.ROIName = name
    roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC" if origin.corrected else "AUTOMATIC"
    drawn.ROIDisplayColor = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    if contours:
        drawn.ContourSequence = contours
    observation.ObservationNumber = number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", ""
    written.StructureSetROISequence.append(roi)
    written.ROIContourSequence.append(drawn)
    written.RTROIObservationsSequence.append(observation)
