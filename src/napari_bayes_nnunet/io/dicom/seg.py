"""Labels as DICOM Segmentation that refers to the images they were drawn on, and read back."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import DA

from ...core.heart.measurements import Structure, canonical_structure
from .. import DataError
from ..files.atomic import replacing
from ..images.geometry import make_geometry
from ..images.nifti import Volume
from .files import files_in, is_dicom
from .headers import DAMAGED, DicomImage, images_of, tolerant
from .slice_positions import TO_APEX

FILES_OF_AN_EXPORT: Final = 64
ABOUT_THE_PATIENT: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
"""What a file made of images must repeat, be it empty."""
MAKER: Final = "napari-bayes-nnunet"
CODES: Final[dict[Structure, Any]] = {
    "LV": codes.SCT.LeftVentricle,
    "RV": codes.SCT.RightVentricle,
    "MYO": codes.SCT.LeftVentricleMyocardium,
}
"""SNOMED CT, of the segmentation types in CID 7152 and 12305."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who drew the labels: ``algorithm`` and its ``version``, ``corrected`` by a reader or not.

    All files of one export share ``series``, a UID, and its ``series_number``.
    """

    algorithm: str
    version: str
    corrected: bool = False
    series: str = field(default_factory=hd.UID)
    series_number: int = 9000


def write_seg(
    file: Path,
    labels: NDArray[Any],
    images: Sequence[DicomImage],
    structures: Mapping[str, int],
    *,
    origin: Origin,
    number: int = 1,
) -> None:
    """Write the (Z, Y, X) labels of one phase, drawn on ``images``, one a slice.

    A label becomes the segment of its place in ``structures``, sorted by number. The patient and
    the study are those of the images. Raises DataError where it cannot be written.
    """
    names = sorted(structures, key=lambda name: structures[name])
    numbers = np.zeros(int(labels.max(initial=0)) + 1, np.uint8)
    for segment, name in enumerate(names, 1):
        if structures[name] < len(numbers):
            numbers[structures[name]] = segment
    with written_as_dicom(file):
        written = Segmentation(
            source_images=_as_one_series(sources_of(images)),
            pixel_array=numbers[labels],
            segmentation_type="BINARY",
            segment_descriptions=[_described(n, s, origin) for s, n in enumerate(names, 1)],
            series_instance_uid=origin.series,
            series_number=origin.series_number,
            sop_instance_uid=hd.UID(),
            instance_number=number,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions=origin.version,
            device_serial_number="0",
            content_label="SEGMENTATION",
            series_description=f"Labels of {origin.algorithm}",
            omit_empty_frames=False,
        )
        _refer_to_frames(written, images)
        _refer_to_series(written, images)
        with replacing(file) as temporary:
            written.save_as(temporary)


@contextmanager
def written_as_dicom(file: Path) -> Iterator[None]:
    """Make and write a file of what headers say. Raises DataError where that fails."""
    try:
        with tolerant():
            yield
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{file.name} cannot be written as DICOM, because a header of the images is not "
            f"as it should be: {error}"
        ) from error


def seg_files(path: Path) -> list[Path]:
    """The file, or the files of a folder, if they are segmentations; none where images are."""
    files = sorted(file for file in files_in(path) if is_dicom(file))
    found = [file for file in files if is_seg(file)] if len(files) <= FILES_OF_AN_EXPORT else []
    return [] if any(images_of(file) for file in set(files) - set(found)) else found


def is_seg(file: Path) -> bool:
    """Whether a file is a DICOM Segmentation."""
    try:
        with tolerant():
            header = pydicom.dcmread(file, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            return bool(header.get("SOPClassUID") == SegmentationStorage)
    except (InvalidDicomError, *DAMAGED):
        return False


def read_seg(file: Path) -> Volume:
    """The labels of a DICOM Segmentation, (Z, Y, X) uint8 from base to apex.

    Raises DataError where it is no whole segmentation of parallel slices.
    """
    with tolerant():
        try:
            volume = segread(file).get_volume(combine_segments=True)
        except (InvalidDicomError, RuntimeError, *DAMAGED) as error:
            raise DataError(
                f"{file.name} is no segmentation of evenly stacked slices, or is damaged: {error}"
            ) from error
    voxels = np.asarray(volume.array).astype(np.uint8)
    affine = np.array(volume.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    if affine[:3, 2] @ TO_APEX < 0:
        voxels = voxels[::-1]
        affine[:3, 3] += (len(voxels) - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
    spacing = np.linalg.norm(affine[:3, :3], axis=0)[::-1]
    affine = convert_affine_to_convention(affine, "LPH", "RAH")
    geometry = make_geometry(voxels.shape, [float(step) for step in spacing], affine=affine)
    return Volume(np.ascontiguousarray(voxels), geometry, file)


def sources_of(images: Sequence[DicomImage]) -> list[pydicom.Dataset]:
    """The headers of images that a file may refer to; of frames of one file, only of those.

    Anonymisers that give every image its own frame of reference have broken what the images
    share: the first one's then stands for all.
    """
    headers = {image.file: pydicom.dcmread(image.file, stop_before_pixels=True) for image in images}
    room = images[0].frame_of_reference or hd.UID()
    for header in headers.values():
        header.FrameOfReferenceUID = room
        _repair(header)
    if len(headers) == len(images):
        return [headers[image.file] for image in images]
    (header,) = headers.values()
    frames = header.PerFrameFunctionalGroupsSequence
    header.PerFrameFunctionalGroupsSequence = [copy.deepcopy(frames[i.frame]) for i in images]
    header.NumberOfFrames = len(images)
    return [header]


def _repair(header: pydicom.Dataset) -> None:
    """Leave empty what anonymisers have removed or filled with dates that are none."""
    for name in ABOUT_THE_PATIENT:
        if name not in header:
            setattr(header, name, "")
    for name in ("PatientBirthDate", "StudyDate"):
        try:
            DA(str(header[name].value or ""))
        except ValueError:
            setattr(header, name, "")
    if "NumberOfFrames" not in header and "PerFrameFunctionalGroupsSequence" in header:
        del header.PerFrameFunctionalGroupsSequence


def _as_one_series(headers: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """The same images as if of one series: scanners that write one a slice differ in nothing else.

    Directions that differ in their last digit are taken from the first image too.
    """
    first, *others = copy.deepcopy(list(headers))
    for header in others:
        header.SeriesInstanceUID = first.SeriesInstanceUID
        header.ImageOrientationPatient = first.ImageOrientationPatient
    return [first, *others]


def _refer_to_series(written: Segmentation, images: Sequence[DicomImage]) -> None:
    """Name the series that the images are really of."""
    (together,) = written.ReferencedSeriesSequence
    found: dict[str, pydicom.Dataset] = {}
    series = {image.instance: image.series for image in images}
    for one in together.ReferencedInstanceSequence:
        uid = series[one.ReferencedSOPInstanceUID]
        if uid not in found:
            found[uid] = pydicom.Dataset()
            found[uid].SeriesInstanceUID = uid
            found[uid].ReferencedInstanceSequence = []
        found[uid].ReferencedInstanceSequence.append(one)
    written.ReferencedSeriesSequence = list(found.values())


def _refer_to_frames(written: Segmentation, images: Sequence[DicomImage]) -> None:
    """Name the frames by their numbers in the whole file, not among those of this phase."""
    if len({image.file for image in images}) == len(images):
        return
    sources = {  # the frames of all segments of a slice share one item
        id(source): source
        for groups in written.PerFrameFunctionalGroupsSequence
        for derivation in groups.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }
    for source in sources.values():
        place = int(source.ReferencedFrameNumber) - 1
        source.ReferencedFrameNumber = images[place].frame + 1


def _described(name: str, segment: int, origin: Origin) -> SegmentDescription:
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
    )
