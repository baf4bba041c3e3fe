"""DICOM Segmentation: writing labels with references to their images, and reading them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import highdicom as hd
import numpy as np
import pydicom
from highdicom.seg import Segmentation, SegmentDescription, segread
from highdicom.spatial import convert_affine_to_convention
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.uid import MRImageStorage, SegmentationStorage
from pydicom.valuerep import DA, TM

from ...core.heart.measurements import Structure, canonical_structure
from ...core.heart.structures import structure_colors
from ...core.problems import Action
from .. import DataError
from ..files.access import writing
from ..files.atomic import replacing
from ..images.geometry import make_geometry
from ..images.nifti import Volume
from .files import is_dicom, list_files
from .headers import DAMAGED, DicomImage, functional_group, read_images, tolerant_reading
from .limits import read_dicom_file
from .slices import SIDEWAYS_SHIFT, TO_APEX, UNEVEN_PART, mean_slice_distance

FILES_OF_AN_EXPORT: Final = 64
ABOUT_THE_PATIENT: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""Attributes that a file derived from images must repeat, even if they are empty."""
ALLOWED_VALUES: Final[dict[str, Callable[[str], object]]] = {
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), DA),
    "StudyTime": TM,
    "PatientSex": hd.PatientSexValues,
}
"""Types that raise ValueError for values of scanners and anonymisers that highdicom refuses."""
LONGEST_TEXT: Final = 64
"""Characters of a DICOM Long String."""
SERIES_NUMBER: Final = 9000
"""Number of the series of the report; those of the labels follow, end-diastole first."""
LABELMAP: Final = "1.2.840.10008.5.1.4.1.1.66.7"
"""SOP class of Label Map Segmentation Storage (Supplement 243), which pydicom does not name."""
MAKER: Final = "napari-bayes-nnunet"
UNICODE: Final = "ISO_IR 192"
"""Character set of all files, because that of the images may lack letters of the labels."""
CODES: Final[dict[Structure, Any]] = {
    "LV": codes.SCT.LeftVentricle,
    "RV": codes.SCT.RightVentricle,
    "MYO": codes.SCT.LeftVentricleMyocardium,
}
"""SNOMED CT codes, from the segmentation types in CID 7152 and 12305."""


@dataclass(frozen=True, kw_only=True)
class LabelOrigin:
    """Source of labels: ``algorithm`` and ``version``, and if a reader ``corrected`` them.

    ``review`` says how many slices were accepted, ``reader`` by whom, "" if unknown. Labels are of
    a ``phase``, "" if there is only one, and its ``number`` from 1 orders their series.
    """

    algorithm: str
    version: str
    corrected: bool = False
    review: str = ""
    reader: str = ""
    phase: str = ""
    number: int = 1


def write_seg(
    file: Path,
    labels: NDArray[Any],
    images: Sequence[DicomImage],
    structures: Mapping[str, int],
    *,
    origin: LabelOrigin,
    labelmap: bool = False,
) -> None:
    """Write the (Z, Y, X) labels of one phase as a DICOM Segmentation of ``images``, one per slice.

    The segments are the ``structures``, sorted by label, in the colours of the layers. Patient and
    study are those of the images. Each phase is a series, because OHIF shows only one file of a
    series; its description names structures and phase.
    With ``labelmap``, a frame has the labels of all segments (Supplement 243), else of one.
    Raises DataError if writing fails.
    """
    names = sorted(structures, key=lambda name: structures[name])
    colors = structure_colors(structures)
    numbers = np.zeros(int(labels.max(initial=0)) + 1, np.uint8)
    for segment, name in enumerate(names, 1):
        if structures[name] < len(numbers):
            numbers[structures[name]] = segment
    with dicom_write_errors(file):
        headers = read_source_headers(images)
        segmentation = Segmentation(
            source_images=_as_classic_series(headers),
            pixel_array=numbers[labels],
            segmentation_type="LABELMAP" if labelmap else "BINARY",
            segment_descriptions=[
                _describe_segment(name, segment, origin, color=colors[structures[name]])
                for segment, name in enumerate(names, 1)
            ],
            series_instance_uid=hd.UID(),
            series_number=SERIES_NUMBER + origin.number,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions=origin.version,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=origin.review or None,
            series_description=describe_series(", ".join(names), origin.phase, origin.review),
            specific_character_set=UNICODE,
            # Otherwise slices without labels would be missing, and the grid is read back from the
            # frames.
            omit_empty_frames=False,
        )
        if labelmap:  # OHIF 3.13 colours the segments in their order, and takes the first as 1
            segmentation.SegmentSequence.append(segmentation.SegmentSequence.pop(0))
        _refer_to_images(segmentation, headers, images)
        save_as_unicode(segmentation, file)


def save_as_unicode(content: pydicom.Dataset, file: Path) -> None:
    """Write a data set that says it is Unicode, with text from images in other character sets."""
    for _ in content.iterall():
        pass  # decodes sequences of the images, whose bytes would be written as they are
    with replacing(file) as temporary:
        content.save_as(temporary)


def describe_series(content: str, *details: str) -> str:
    """Return a description such as "ED · reviewed · LV", with its content shortened to fit.

    Lists of series cut descriptions at their end, so what differs most comes first.
    """
    before = "".join(f"{detail} · " for detail in details if detail)
    return before + content[: LONGEST_TEXT - len(before)].rstrip()


@contextmanager
def dicom_write_errors(file: Path) -> Iterator[None]:
    """Raise a DataError if writing a file from the headers of images fails in the block."""
    try:
        with writing(file, Action.OTHER_OUTPUT), tolerant_reading():
            yield
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise DataError(
            "{file} cannot be written as DICOM, because a header of the images is invalid "
            "({reason}).",
            file=file.name,
            reason=error,
        ) from error


def find_seg_files(path: Path) -> list[Path]:
    """Return the segmentations of a file or a folder; [] if the folder also holds images."""
    files = sorted(file for file in list_files(path) if is_dicom(file))
    # A folder with more files is not an export of this program, and reading all headers takes long.
    segs = [file for file in files if is_seg(file)] if len(files) <= FILES_OF_AN_EXPORT else []
    return [] if any(read_images(file) for file in set(files) - set(segs)) else segs


def is_seg(file: Path) -> bool:
    """Return whether a file is a DICOM Segmentation."""
    try:
        with tolerant_reading():
            header = read_dicom_file(file, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            return header.get("SOPClassUID") in (SegmentationStorage, LABELMAP)
    except (InvalidDicomError, *DAMAGED):
        return False


def read_seg(file: Path) -> Volume:
    """Read the labels of a DICOM Segmentation, (Z, Y, X) uint8 from base to apex.

    Raises DataError if the file is not a complete segmentation of parallel slices.
    """
    with tolerant_reading():
        try:
            segmentation = segread(file)
            volume = segmentation.get_volume(
                combine_segments=True, rtol=UNEVEN_PART, perpendicular_tol=SIDEWAYS_SHIFT
            )
            affine = np.array(volume.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
            if (steps := len(volume.array) - 1) > 0:  # they need not be exactly along the normal
                affine[:3, 2] = _end_to_end(segmentation, affine[:3, 2]) / steps
        except (InvalidDicomError, RuntimeError, *DAMAGED) as error:
            raise DataError(
                "{file} is damaged or is not a segmentation of evenly spaced slices ({reason}).",
                file=file.name,
                reason=error,
            ) from error
    voxels = np.asarray(volume.array).astype(np.uint8)
    if affine[:3, 2] @ TO_APEX < 0:
        voxels = voxels[::-1]
        affine[:3, 3] += (len(voxels) - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    affine = convert_affine_to_convention(affine, "LPH", "RAH")
    geometry = make_geometry(voxels.shape, [float(step) for step in spacing], affine=affine)
    return Volume(np.ascontiguousarray(voxels), geometry, file)


def _end_to_end(
    segmentation: pydicom.Dataset, direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (3,) in mm from the first slice to the last one in a direction."""
    frames = segmentation.PerFrameFunctionalGroupsSequence
    positions = np.array(
        [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames], np.float64
    )
    along = positions @ direction
    return np.asarray(positions[along.argmax()] - positions[along.argmin()])


def read_source_headers(images: Sequence[DicomImage]) -> list[pydicom.Dataset]:
    """Read a header of one frame for each image, for a file that refers to them.

    The grid is that of the reader: the distance of slices is that of their positions, whatever the
    files say. The direction is that of the first image, as a series per slice may differ in its
    last digit, and so is the frame of reference, because some anonymisers give every image its own.
    """
    files: dict[Path, pydicom.Dataset] = {
        image.file: read_dicom_file(image.file, stop_before_pixels=True) for image in images
    }
    first, file = images[0], files[images[0].file]
    # highdicom needs a thickness, which some files lack.
    measures = functional_group(file, first.frame, "PixelMeasuresSequence")
    distance = round(mean_slice_distance([(image,) for image in images]), 6)
    thickness = measures.get("SliceThickness") or file.get("SliceThickness") or distance
    frame_of_reference = first.frame_of_reference or hd.UID()
    for header in files.values():
        _repair(header)
    headers = [copy.deepcopy(files[image.file]) for image in images]
    for header, image in zip(headers, images, strict=True):
        header.FrameOfReferenceUID = frame_of_reference
        header.ImagePositionPatient = list(image.position)
        header.ImageOrientationPatient = list(first.orientation)
        header.PixelSpacing = list(first.pixel_spacing)
        header.SliceThickness, header.SpacingBetweenSlices = thickness, distance
    return headers


def _repair(header: pydicom.Dataset) -> None:
    """Remove frames, and empty attributes that are missing or have values that are not allowed."""
    for name in ABOUT_THE_PATIENT:
        if name not in header:
            setattr(header, name, "")
    # Values that are not allowed would end the export in an error of highdicom.
    for name, allowed in ALLOWED_VALUES.items():
        try:
            allowed(str(header[name].value or ""))
        except ValueError:
            setattr(header, name, "")
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        header.pop(name, None)


def _as_classic_series(headers: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Return copies of the headers as those of classic files in one series, for highdicom.

    Their UIDs are their indices, because the frames of one file share its UID.
    """
    copies = copy.deepcopy(list(headers))
    for index, header in enumerate(copies):
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, str(index)
        header.SeriesInstanceUID = copies[0].SeriesInstanceUID
    return copies


def _refer_to_images(
    segmentation: Segmentation, headers: Sequence[pydicom.Dataset], images: Sequence[DicomImage]
) -> None:
    """Refer to the real files, series and frames instead of `_as_classic_series`."""
    series: dict[str, dict[str, pydicom.Dataset]] = {}
    for header in headers:
        instance = pydicom.Dataset()
        instance.ReferencedSOPClassUID = header.SOPClassUID
        instance.ReferencedSOPInstanceUID = header.SOPInstanceUID
        series.setdefault(header.SeriesInstanceUID, {})[header.SOPInstanceUID] = instance
    references = []
    for uid, instances in series.items():
        references.append(pydicom.Dataset())
        references[-1].SeriesInstanceUID = uid
        references[-1].ReferencedInstanceSequence = list(instances.values())
    segmentation.ReferencedSeriesSequence = references
    segmentation.SourceImageSequence = [
        instance for instances in series.values() for instance in instances.values()
    ]
    sources = {  # the frames of all segments of a slice share one item
        id(source): source
        for groups in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in groups.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }
    for source in sources.values():
        index = int(source.ReferencedSOPInstanceUID)
        source.ReferencedSOPClassUID = headers[index].SOPClassUID
        source.ReferencedSOPInstanceUID = headers[index].SOPInstanceUID
        if "NumberOfFrames" in headers[index]:
            source.ReferencedFrameNumber = images[index].frame + 1


def _describe_segment(
    name: str, segment: int, origin: LabelOrigin, *, color: str
) -> SegmentDescription:
    meaning = canonical_structure(name)
    return SegmentDescription(
        segment_number=segment,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=CODES[meaning] if meaning else codes.SCT.AnatomicalStructure,
        algorithm_type="SEMIAUTOMATIC" if origin.corrected else "AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=origin.algorithm,
            family=codes.DCM.ArtificialIntelligence,
            version=origin.version,
            source=MAKER,
        ),
        display_color=hd.color.CIELabColor.from_string(color),
    )
