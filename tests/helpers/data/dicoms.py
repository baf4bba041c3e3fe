"""Made DICOM files: small oblique short-axis cines as written by different scanners."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    generate_uid,
)

ROW = np.array([0.6, 0.64, -0.48])
COLUMN = np.array([-0.8, 0.48, -0.36])
"""Directions of rows and columns; slices follow the heart to the left, the front and the feet."""
ORIENTATION = (*ROW, *COLUMN)
TO_APEX = -np.cross(ROW, COLUMN)
CORNER = np.array([-40.0, -120.0, 60.0])
AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
PIXELS = (1.5, 1.25)
"""Distance between rows and between columns, mm."""
DISTANCE = 8.0
STEP = 40.0
"""Time between two phases, ms."""
SHAPE = (5, 4, 12, 10)
UP = np.array([0.0, -1.0, 1.0])
MIDDLE = CORNER + 1.5 * DISTANCE * TO_APEX + PIXELS[1] * 4.5 * ROW + PIXELS[0] * 5.5 * COLUMN
"""Centre of the short axis that `write_cine` makes, mm."""
NAME, PATIENT = "Doe^Jane", "MRN-4711"
STUDY, ROOM = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["room"])
Change = Callable[[Dataset], None]


def made_voxels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Return (T, Z, Y, X) int16 voxels, all of them different."""
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.int16).reshape(shape)


def slice_file(
    file: Path,
    pixels: np.ndarray,
    *,
    z: float = 0,
    t: int = 0,
    series: int = 5,
    number: int = 1,
    description: str = "CINE_SAX",
    **entries: Any,
) -> Path:
    """Write one image to a file; ``z`` counts slices from the base, ``t`` phases.

    ``entries`` set DICOM attributes, or delete those that are None.
    """
    image = _patient(FileDataset(str(file), {}, preamble=b"\0" * 128), MRImageStorage)
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[STUDY, str(series)])
    image.SeriesNumber = series
    image.SeriesDescription = description
    image.InstanceNumber = number
    image.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM"]
    image.ImagePositionPatient = _decimal(CORNER + z * DISTANCE * TO_APEX)
    image.ImageOrientationPatient = list(ORIENTATION)
    image.PixelSpacing = list(PIXELS)
    image.SliceThickness = 6
    image.TriggerTime = 12 + STEP * t
    image.NominalInterval = 1000
    _put_pixels(image, pixels)
    for name, value in entries.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    return _save(image, file)


def write_cine(
    folder: Path,
    voxels: np.ndarray | None = None,
    *,
    series_per_slice: bool = False,
    leave_out: Callable[[int, int], bool] = lambda z, t: False,
    order: Callable[[int], int] = lambda index: index,
    **entries: Any,
) -> np.ndarray:
    """Write one file per slice and phase in subfolders, and return the voxels (T, Z, Y, X).

    ``order`` permutes the file names, ``leave_out`` drops files.
    """
    voxels = made_voxels() if voxels is None else voxels
    phases, slices = voxels.shape[:2]
    first = entries.pop("series", 5)
    for z in range(slices):
        for t in range(phases):
            if leave_out(z, t):
                continue
            index = order(z * phases + t)
            file = folder / f"part {index % 3}" / f"IM{index:04d}"
            position = {"z": z, "t": t, "number": 1 + z * phases + t} | entries
            slice_file(file, voxels[t, z], series=first + z * series_per_slice, **position)
    return voxels


def write_plane(
    folder: Path, angle: float, beside: float, *, series: int, tilt: float = 0.0, **about: Any
) -> None:
    """Write a cine of one plane at an angle about the heart, so many mm to the left of its LV."""
    apex = TO_APEX
    up = UP - apex * (UP @ apex)
    up /= np.linalg.norm(up)
    left = np.cross(apex, up)
    left *= np.sign(left[0])
    radians, lean = np.radians(angle), np.radians(tilt)
    row = np.cos(radians) * up + np.sin(radians) * left
    normal = np.cos(radians) * left - np.sin(radians) * up
    normal *= 1 if normal @ left >= 0 else -1
    column = np.cos(lean) * apex + np.sin(lean) * normal
    centre = MIDDLE + beside * normal
    orientation = [float(value) for value in (*row, *column)]
    for t in range(about.pop("phases", 3)):
        spots = {
            "ImagePositionPatient": [float(value) for value in centre - 4 * row - 4 * column],
            "ImageOrientationPatient": orientation,
            "PixelSpacing": [1.0, 1.0],
        }
        file = folder / f"plane {series} {t}"
        slice_file(file, made_voxels((9, 9)), t=t, series=series, **spots | about)


def write_enhanced(
    file: Path, voxels: np.ndarray | None = None, *, first: int = 0, **entries: Any
) -> np.ndarray:
    """Write slices and phases as frames of one file, the last phase first; return the voxels.

    ``first`` is the number of the first slice, counted from the base.
    """
    voxels = made_voxels() if voxels is None else voxels
    phases, slices = voxels.shape[:2]
    image = _patient(FileDataset(str(file), {}, preamble=b"\0" * 128), EnhancedMRImageStorage)
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[STUDY, "enhanced"])
    image.SeriesNumber, image.InstanceNumber = 7, 1
    image.SeriesDescription = "CINE_SAX"
    image.ImageType = ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"]
    places = [(t, z) for z in range(slices) for t in reversed(range(phases))]
    _put_pixels(image, np.stack([voxels[t, z] for t, z in places]))
    image.SharedFunctionalGroupsSequence = [
        _dataset(
            PixelMeasuresSequence=[_dataset(PixelSpacing=list(PIXELS), SliceThickness=6)],
            PlaneOrientationSequence=[_dataset(ImageOrientationPatient=list(ORIENTATION))],
        )
    ]
    image.PerFrameFunctionalGroupsSequence = [_frame(t, first + z) for t, z in places]
    for name, value in entries.items():
        setattr(image, name, value)
    _save(image, file)
    return voxels


def write_disc_index(file: Path) -> None:
    """Write a DICOMDIR, as found next to the images on a disc."""
    index = _patient(FileDataset(str(file), {}, preamble=b"\0" * 128), MediaStorageDirectoryStorage)
    index.FileSetID = "DISC"
    record = _dataset(DirectoryRecordType="PATIENT", PatientName=NAME, PatientID=PATIENT)
    index.DirectoryRecordSequence = [record]
    _save(index, file)


def _frame(t: int, z: int) -> Dataset:
    position = _decimal(CORNER + z * DISTANCE * TO_APEX)
    heart = _dataset(NominalCardiacTriggerDelayTime=12 + STEP * t, RRIntervalTimeNominal=1000.0)
    return _dataset(
        PlanePositionSequence=[_dataset(ImagePositionPatient=position)],
        FrameContentSequence=[_dataset(TemporalPositionIndex=t + 1)],
        CardiacSynchronizationSequence=[heart],
    )


def _dataset(**entries: Any) -> Dataset:
    dataset = Dataset()
    for name, value in entries.items():
        setattr(dataset, name, value)
    return dataset


def _patient(image: FileDataset, kind: str) -> FileDataset:
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = kind
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.PatientName, image.PatientID = NAME, PATIENT
    image.PatientBirthDate, image.PatientSex = "19500101", "F"
    image.StudyInstanceUID, image.FrameOfReferenceUID = STUDY, ROOM
    image.StudyID, image.AccessionNumber = "1", "A-1"
    image.StudyDate, image.StudyTime = "20200101", "120000"
    image.ReferringPhysicianName = ""
    image.Modality, image.Manufacturer = "MR", "made"
    return image


def _put_pixels(image: Dataset, pixels: np.ndarray) -> None:
    if pixels.ndim == 3:
        image.NumberOfFrames = len(pixels)
    image.Rows, image.Columns = pixels.shape[-2:]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def _decimal(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def _save(image: FileDataset, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(file, enforce_file_format=True)
    return file
