"""DICOM files with odd headers: repeated UIDs, left out images, invalid geometry, other pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.headers import tolerant_reading
from napari_bayes_nnunet.io.dicom.reader import (
    FOLDERS_LEFT_OUT,
    IMAGES_LEFT_OUT,
    NO_DICOM,
    SEVERAL_SHORT_AXES,
    read_dicom,
    read_stacks,
)
from napari_bayes_nnunet.io.dicom.series import FEWER_PHASES, REPEATS_LEFT_OUT, SLICES_LEFT_OUT
from napari_bayes_nnunet.io.images.nifti import Volume

from ...helpers.checks.problems import says
from ...helpers.data.dicoms import made_voxels, slice_file, write_cine, write_enhanced

UNREADABLE = Path("/proc/self/mem")
"""A regular file that opens, but whose first byte cannot be read, as on a damaged disk."""
SHAPE = (5, 6, 12, 10)
LAST = 5
"""Slice at the apex of cines of this shape."""


def write_with_other_apex(folder: Path, **apex: Any) -> np.ndarray:
    """Write a cine whose last slice has other entries, and return its voxels."""
    voxels = made_voxels(SHAPE)
    write_cine(folder, voxels, leave_out=lambda z, t: z == LAST)
    for t in range(SHAPE[0]):
        slice_file(folder / f"apex{t}", voxels[t, LAST], z=LAST, t=t, number=100 + t, **apex)
    return voxels


def templates(volume: Volume) -> list[str]:
    return [note.template for note in volume.notes]


@pytest.mark.parametrize("uid", ["1.2.3", ""])
def test_images_with_one_uid_are_all_read(tmp_path, uid):
    voxels = write_cine(tmp_path, SOPInstanceUID=uid)
    assert np.array_equal(read_dicom(tmp_path).voxels, voxels)


def test_images_at_the_same_time_are_noted(tmp_path):
    voxels = made_voxels(SHAPE)
    for z in range(SHAPE[1]):
        for t in range(SHAPE[0]):
            file, time = tmp_path / f"{z}{t}", 40 * max(t, 1)
            slice_file(file, voxels[t, z], z=z, number=t, TriggerTime=time)
    volume = read_dicom(tmp_path)
    assert volume.phases == 4
    assert templates(volume) == [REPEATS_LEFT_OUT]
    assert volume.notes[0].values == {"count": 6, "images": 30}


@pytest.mark.parametrize(("count", "expected"), [(5, []), (4, []), (20, [FEWER_PHASES])])
def test_lost_phases_are_noted(tmp_path, count, expected):
    write_cine(tmp_path, CardiacNumberOfImages=count)
    assert templates(read_dicom(tmp_path)) == expected


@pytest.mark.parametrize(
    "apex",
    [
        {"PixelSpacing": [1.6, 1.3]},
        {"ImageType": ["DERIVED", "PRIMARY", "M"]},
        {"ImageOrientationPatient": [0.6, 0.65, -0.47, -0.8, 0.48, -0.36]},
    ],
)
def test_left_out_end_slices_are_noted(tmp_path, apex):
    voxels = write_with_other_apex(tmp_path, **apex)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels[:, :LAST])
    assert templates(volume) == [SLICES_LEFT_OUT]
    assert volume.notes[0].values == {"slices": "1 slice"}


def test_left_out_series_at_the_end_is_noted(tmp_path):
    write_cine(tmp_path, made_voxels(SHAPE), series_per_slice=True)
    for file in tmp_path.glob("*/*"):
        image = pydicom.dcmread(file)
        if image.SeriesNumber == 5 + LAST:
            image.PixelSpacing = [1.6, 1.3]
        image.SeriesDescription = f"cine_sa_{image.SeriesNumber}"
        image.save_as(file)
    assert templates(read_dicom(tmp_path)) == [SLICES_LEFT_OUT]


def test_slices_of_another_study_are_not_missing(tmp_path):
    """Both studies have a series per slice, and the second has more slices."""
    write_cine(tmp_path / "first", made_voxels((2, 4, 12, 10)), series_per_slice=True)
    other: dict[str, Any] = {"series": 50, "StudyInstanceUID": "1.2.3.4"}
    write_cine(tmp_path / "second", made_voxels((2, 6, 12, 10)), series_per_slice=True, **other)
    stacks = read_stacks(tmp_path)
    assert sorted(len(stack.slices) for stack in stacks) == [4, 6]
    assert [stack.notes for stack in stacks] == [(), ()]


@pytest.mark.parametrize(
    "entries",
    [
        {"ImagePositionPatient": ["nan"] * 3},
        {"ImageOrientationPatient": [0.0] * 6},
        {"ImageOrientationPatient": [1.0, 0, 0, 1, 0, 0]},
        {"PixelSpacing": [0, 1.25]},
        {"PixelSpacing": [-1.5, 1.25]},
    ],
)
def test_impossible_geometry_is_refused_or_noted(tmp_path, entries):
    with tolerant_reading():
        write_with_other_apex(tmp_path / "apex", **entries)
        write_cine(tmp_path / "all", **entries)
    assert templates(read_dicom(tmp_path / "apex")) == [IMAGES_LEFT_OUT]
    with pytest.raises(DataError, check=says(NO_DICOM)):
        read_dicom(tmp_path / "all")


def test_damaged_end_slice_is_noted(tmp_path):
    write_with_other_apex(tmp_path)
    for file in tmp_path.glob("apex*"):
        file.write_bytes(file.read_bytes()[:600])
    volume = read_dicom(tmp_path)
    assert volume.shape[1] == LAST
    assert templates(volume) == [IMAGES_LEFT_OUT]
    assert volume.notes[0].values == {"files": "5 DICOM files"}


@pytest.mark.skipif(not UNREADABLE.is_file(), reason="only Linux has this file")
def test_unreadable_end_slice_is_noted(tmp_path):
    write_with_other_apex(tmp_path)
    for file in tmp_path.glob("apex*"):
        file.unlink()
        file.symlink_to(UNREADABLE)
    volume = read_dicom(tmp_path)
    assert volume.shape[1] == LAST
    assert templates(volume) == [IMAGES_LEFT_OUT]
    assert volume.notes[0].values == {"files": "5 DICOM files"}


def test_folder_that_cannot_be_opened_is_noted(tmp_path, monkeypatch):
    write_with_other_apex(tmp_path)
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("closed"):  # to root, who may run this, nothing is closed
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert templates(read_dicom(tmp_path)) == [FOLDERS_LEFT_OUT]


def test_frames_without_description_are_refused(tmp_path):
    write_enhanced(tmp_path / "frames", NumberOfFrames=10)
    with pytest.raises(DataError, check=says(NO_DICOM)):
        read_dicom(tmp_path)


def test_two_patients_are_never_one_stack(tmp_path):
    voxels = made_voxels(SHAPE)
    write_cine(tmp_path / "a", voxels, leave_out=lambda z, t: z < 3, PatientID="A")
    write_cine(tmp_path / "b", voxels, leave_out=lambda z, t: z >= 3, PatientID="B")
    with pytest.raises(DataError, check=says(SEVERAL_SHORT_AXES)):
        read_dicom(tmp_path)


@pytest.mark.parametrize("entries", [{"TriggerTime": "nan"}, {"NominalInterval": -1000}])
def test_impossible_times_are_ignored(tmp_path, entries):
    with tolerant_reading():
        voxels = write_cine(tmp_path, **({"TriggerTime": None} | entries))
    assert np.array_equal(read_dicom(tmp_path).voxels, voxels)


def test_converted_images_with_a_position_are_read(tmp_path):
    voxels = write_cine(tmp_path / "a", SOPClassUID=SecondaryCaptureImageStorage)
    assert np.array_equal(read_dicom(tmp_path / "a").voxels, voxels)
    frames = write_enhanced(
        tmp_path / "frames", SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    )
    assert np.array_equal(read_dicom(tmp_path / "frames").voxels, frames)
    converted: dict[str, Any] = {"ImageType": ["DERIVED", "SECONDARY"]}
    converted["SOPClassUID"] = SecondaryCaptureImageStorage
    write_with_other_apex(tmp_path / "b", **converted)
    assert templates(read_dicom(tmp_path / "b")) == [SLICES_LEFT_OUT]


def test_palettes_and_screenshots_are_no_images(tmp_path):
    write_cine(tmp_path / "a", PhotometricInterpretation="PALETTE COLOR")
    screenshot = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient"))
    write_cine(tmp_path / "b", SOPClassUID=SecondaryCaptureImageStorage, **screenshot)
    write_cine(tmp_path / "c", Modality="SEG")
    with pytest.raises(DataError, check=says(NO_DICOM)):
        read_dicom(tmp_path)
    write_cine(tmp_path / "d")
    assert templates(read_dicom(tmp_path)) == []  # nothing is missing
