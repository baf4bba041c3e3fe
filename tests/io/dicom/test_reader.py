"""DICOM folders read as volumes: a real cine, and synthetic ones of different scanners."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from napari_bayes_nnunet.core.problems import change
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.headers import tolerant_reading
from napari_bayes_nnunet.io.dicom.reader import (
    INVALID_UIDS,
    LEFT_ALIGNED,
    NO_DICOM,
    NO_SHORT_AXIS,
    NO_SUCH_SERIES,
    SEVERAL_SHORT_AXES,
    choose_stack,
    read_dicom,
    read_stacks,
    read_thumbnail,
)
from napari_bayes_nnunet.io.dicom.series import REPEATS_NOT_USED
from napari_bayes_nnunet.io.images.nifti import BLANK_IMAGE, read_volume, write_image

from ...helpers.checks.problems import says, says_only
from ...helpers.data import dicoms
from ...helpers.data.dicoms import (
    made_voxels,
    slice_file,
    write_cine,
    write_disc_index,
    write_enhanced,
)

SUNNYBROOK = Path(__file__).parents[4] / "shared" / "data" / "sunnybrook"


def shuffled(index: int) -> int:
    """Return the number of a file in another order of 20 files."""
    return random.Random(3).sample(range(20), 20)[index]


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


# --- a real cine -----------------------------------------------------------------------------


@pytest.mark.skipif(not (SUNNYBROOK / "dicom").exists(), reason="the Sunnybrook files are not here")
def test_real_cine_is_same_as_its_nifti_file():
    volume = read_dicom(SUNNYBROOK / "dicom")
    expected = read_volume(SUNNYBROOK / "SCD0000301_uncropped_4d.nii.gz")
    assert volume.shape == expected.shape == (20, 10, 256, 256)
    assert volume.voxels.dtype == expected.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, expected.voxels)
    assert volume.spacing == pytest.approx(expected.spacing, abs=1e-4)
    assert volume.frame_time == expected.frame_time == 46
    assert np.allclose(volume.geometry.affine, expected.geometry.affine, atol=1e-4)
    assert volume.geometry.same_grid(expected.geometry)
    assert "SCD" not in volume.source.name


# --- made cines ------------------------------------------------------------------------------


def check_is_made_cine(folder: Path, voxels: np.ndarray, **asked: Any) -> None:
    volume = read_dicom(folder, **asked)
    assert volume.shape == voxels.shape
    assert volume.voxels.dtype == voxels.dtype
    assert np.array_equal(volume.voxels, voxels)
    assert volume.spacing == pytest.approx((dicoms.DISTANCE, *dicoms.PIXELS))
    assert volume.frame_time == pytest.approx(dicoms.STEP)
    affine = np.eye(4)
    affine[:3, 0] = dicoms.PIXELS[1] * dicoms.ROW
    affine[:3, 1] = dicoms.PIXELS[0] * dicoms.COLUMN
    affine[:3, 2] = dicoms.DISTANCE * dicoms.TO_APEX
    affine[:3, 3] = dicoms.CORNER
    assert np.allclose(volume.geometry.affine, np.diag([-1, -1, 1, 1]) @ affine, atol=1e-4)


def test_files_in_any_order_and_nested(tmp_path):
    voxels = write_cine(tmp_path, order=shuffled)
    assert len(list(tmp_path.glob("*/*"))) == 20
    check_is_made_cine(tmp_path, voxels)


def test_every_slice_a_series_of_its_own(tmp_path):
    voxels = write_cine(tmp_path, series_per_slice=True, order=shuffled)
    check_is_made_cine(tmp_path, voxels)


def test_slices_acquired_from_the_apex(tmp_path):
    voxels = write_cine(tmp_path, series_per_slice=True, number=1)
    for file in tmp_path.glob("*/*"):
        image = pydicom.dcmread(file)
        image.SeriesNumber = 20 - image.SeriesNumber
        image.save_as(file)
    check_is_made_cine(tmp_path, voxels)


def test_an_enhanced_file_of_many_frames(tmp_path):
    voxels = write_enhanced(tmp_path / "a.dcm")
    check_is_made_cine(tmp_path, voxels)
    check_is_made_cine(tmp_path / "a.dcm", voxels)


@pytest.mark.parametrize("each", [True, False])
def test_one_phase_is_a_volume(tmp_path, each):
    voxels = write_cine(tmp_path, made_voxels((1, *dicoms.SHAPE[1:])), series_per_slice=each)
    volume = read_dicom(tmp_path)
    assert volume.shape == dicoms.SHAPE[1:]
    assert np.array_equal(volume.voxels, voxels[0])


def test_written_as_nifti_it_is_the_same_volume(tmp_path):
    write_cine(tmp_path / "in")
    volume = read_dicom(tmp_path / "in")
    write_image(tmp_path / "a.nii.gz", volume.voxels, volume)
    assert read_volume(tmp_path / "a.nii.gz").geometry.same_grid(volume.geometry)
    assert read_volume(tmp_path / "a.nii.gz").frame_time == dicoms.STEP


def test_without_trigger_times_the_beat_is_divided(tmp_path):
    voxels = write_cine(tmp_path, TriggerTime=None, NominalInterval=1000)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels)
    assert volume.frame_time == pytest.approx(200)


def test_without_any_time_there_is_no_frame_time(tmp_path):
    voxels = write_cine(tmp_path, TriggerTime=None, NominalInterval=None)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels)
    assert volume.frame_time is None


# --- what lies beside it ---------------------------------------------------------------------


def test_localisers_and_long_axes_are_left_out(tmp_path):
    voxels = write_cine(tmp_path / "cine")
    rng = np.random.default_rng(0)
    for t in range(5):
        pixels = rng.integers(1, 99, (12, 10), dtype=np.int16)
        across = [*dicoms.ROW, *dicoms.TO_APEX]
        about = {"t": t, "number": 90 + t, "ImageOrientationPatient": across}
        slice_file(tmp_path / f"lax{t}", pixels, series=9, description="4ch", **about)
        slice_file(tmp_path / f"inside{t}", pixels, **about)
    for z in range(3):
        axial = {"z": z, "ImageOrientationPatient": dicoms.AXIAL, "description": "localizer"}
        slice_file(tmp_path / f"loc{z}", pixels, series=1, **axial)
    check_is_made_cine(tmp_path, voxels)


def test_other_files_and_the_index_of_a_disc(tmp_path):
    voxels = write_cine(tmp_path)
    (tmp_path / "notes.txt").write_text("Jane Doe")
    (tmp_path / "short").write_bytes(b"DICM")
    (tmp_path / "cut").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\0")
    write_disc_index(tmp_path / "DICOMDIR")
    check_is_made_cine(tmp_path, voxels)


def test_the_same_file_twice_is_taken_once(tmp_path):
    voxels = write_cine(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    check_is_made_cine(tmp_path, voxels)


def test_later_image_of_repeated_phase_is_taken(tmp_path):
    voxels = write_cine(tmp_path)
    again = np.full((12, 10), 7, np.int16)
    slice_file(tmp_path / "again", again, z=2, t=3, number=99)
    voxels[3, 2] = again
    check_is_made_cine(tmp_path, voxels)


def test_a_slice_taken_again_replaces_the_first(tmp_path):
    voxels = write_cine(tmp_path, series_per_slice=True)
    for t in range(5):
        again = np.full((12, 10), 7 + t, np.int16)
        slice_file(tmp_path / f"again{t}", again, z=2, t=t, series=20)
        voxels[t, 2] = again
    check_is_made_cine(tmp_path, voxels)


@pytest.mark.parametrize("is_one_series", [False, True])
@pytest.mark.parametrize(
    ("series", "about"),
    [
        (20, {"description": "sax 40 mcg dobutamine"}),
        (20, {"description": "CINE_SAX tagging"}),
        (20, {"ScanningSequence": ["GR", "IR"]}),
        (3, {}),
    ],
)
def test_other_series_of_some_slices_is_named_and_not_used(tmp_path, series, about, is_one_series):
    voxels = write_cine(tmp_path, series_per_slice=not is_one_series)
    for t in range(5):
        pixels = np.full((12, 10), 7 + t, np.int16)
        slice_file(tmp_path / f"other{t}", pixels, z=2, t=t, series=series, **about)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels)
    assert [note.template for note in volume.notes] == [REPEATS_NOT_USED]
    assert volume.notes[0].values["series"] == f"series {series}: 5 images"


def test_trial_slice_between_others_is_left_aside(tmp_path):
    voxels = write_cine(tmp_path, series_per_slice=True)
    for t in range(5):
        slice_file(tmp_path / f"trial{t}", np.ones((12, 10), np.int16), z=1.4, t=t, series=3)
    check_is_made_cine(tmp_path, voxels)


def test_two_short_axis_cines_need_a_choice(tmp_path):
    first = write_cine(tmp_path / "a", description="sax_pre")
    second = write_cine(tmp_path / "b", first[::-1].copy(), series=30, description="sax_post")
    with pytest.raises(DataError) as several:
        read_dicom(tmp_path)
    assert several.value.statement.template == SEVERAL_SHORT_AXES
    assert several.value.values["count"] == 2
    assert "series 5 'sax_pre': 4 slices × 5" in several.value.values["stacks"]
    assert several.value.remedies == (change("series"),)
    check_is_made_cine(tmp_path, first, series=5)
    check_is_made_cine(tmp_path, second, series=30)
    with pytest.raises(DataError, check=says(NO_SUCH_SERIES, series=6)):
        read_dicom(tmp_path, series=6)


def test_cines_with_series_per_slice_stay_apart(tmp_path):
    first = write_cine(tmp_path / "a", series_per_slice=True)
    second = write_cine(tmp_path / "b", first[::-1].copy(), series=30, series_per_slice=True)
    assert [len(stack.slices) for stack in read_stacks(tmp_path)] == [4, 4]
    check_is_made_cine(tmp_path, first, series=5)
    check_is_made_cine(tmp_path, second, series=31)


def test_two_cines_with_one_series_number_are_refused(tmp_path):
    for study in "12":
        write_cine(
            tmp_path / study,
            StudyInstanceUID=f"1.2.{study}",
            SeriesInstanceUID=f"1.3.{study}",
            FrameOfReferenceUID=f"1.4.{study}",
        )
    with pytest.raises(DataError, check=says(SEVERAL_SHORT_AXES)):
        read_dicom(tmp_path, series=5)


# --- what is missing -------------------------------------------------------------------------


def test_a_missing_phase_is_a_sentence(tmp_path):
    write_cine(tmp_path, leave_out=lambda z, t: (z, t) == (2, 3))
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert error.value.values["stack"].startswith("Series 5 'CINE_SAX': ")
    assert numbers_in(error.value.values["problem"]) == [3, 4, 4, 5]  # slice 3 of 4, 4 of 5 phases


def test_phase_missing_in_every_slice_is_sentence(tmp_path):
    write_cine(tmp_path, leave_out=lambda z, t: t == 2)
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert numbers_in(error.value.values["problem"]) == [2, 3, 80, 40]  # phases, ms


@pytest.mark.parametrize("each", [True, False])
def test_a_missing_slice_is_a_sentence(tmp_path, each):
    voxels = made_voxels((5, 7, 6, 6))
    write_cine(tmp_path, voxels, series_per_slice=each, leave_out=lambda z, t: z == 4)
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert numbers_in(error.value.values["problem"]) == [4, 5, 6, 16.0, 8.0]  # slices, mm


def test_no_dicom_at_all(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, check=says_only(NO_DICOM, path=tmp_path)):
        read_dicom(tmp_path)
    with pytest.raises(DataError, check=says_only(path=tmp_path / "nowhere")):
        read_dicom(tmp_path / "nowhere")


def test_no_short_axis_among_several(tmp_path):
    for series in (1, 2):
        slice_file(tmp_path / str(series), made_voxels((6, 6)), series=series, z=series)
        slice_file(tmp_path / f"{series}b", made_voxels((6, 6)), series=series, t=series)
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert error.value.statement.template == NO_SHORT_AXIS
    assert error.value.remedies == (change("series"),)


# --- voxels ----------------------------------------------------------------------------------


def test_slope_and_intercept(tmp_path):
    voxels = write_cine(tmp_path, RescaleSlope=0.5, RescaleIntercept=-3)
    volume = read_dicom(tmp_path)
    assert volume.voxels.dtype == np.float32
    assert np.allclose(volume.voxels, 0.5 * voxels - 3)


def test_empty_images(tmp_path):
    write_cine(tmp_path, np.zeros(dicoms.SHAPE, np.int16))
    with pytest.raises(DataError, check=says(BLANK_IMAGE)):
        read_dicom(tmp_path)


@pytest.mark.parametrize("name", ["SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"])
def test_invalid_uids_are_said_in_a_note(tmp_path, name):
    write_cine(tmp_path)
    assert read_dicom(tmp_path).notes == ()
    files = sorted(tmp_path.glob("*/*"))
    with tolerant_reading():
        for number, file in enumerate(files):
            image = pydicom.dcmread(file)
            setattr(image, name, f"1.2.0{number if name.startswith('SOP') else 7}")
            image.save_as(file)
        (note,) = read_dicom(tmp_path).frame(1).notes
    assert note.template == INVALID_UIDS
    assert (note.values["count"], note.values["images"]) == (len(files), len(files))


def test_left_aligned_values_are_said(tmp_path):
    voxels = made_voxels() << 4
    write_cine(tmp_path, voxels, BitsStored=12, HighBit=15)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels >> 4)
    (note,) = volume.notes
    assert note.template == LEFT_ALIGNED
    assert note.values == {"count": 20, "images": 20}


# --- names -----------------------------------------------------------------------------------


def test_name_is_pseudonym_that_stays_same(tmp_path):
    write_cine(tmp_path / "Doe_Jane" / "x", order=shuffled)
    name = read_dicom(tmp_path / "Doe_Jane").source.name
    assert name.startswith("dicom-")
    assert (tmp_path / "Doe_Jane").rename(tmp_path / "elsewhere")
    volume = read_dicom(tmp_path / "elsewhere")
    assert volume.source == tmp_path / name
    assert not volume.source.exists()
    assert b"Doe" not in volume.geometry.header


def test_a_picture_for_the_choice(tmp_path):
    voxels = write_cine(tmp_path)
    stack = choose_stack(read_stacks(tmp_path))
    assert np.array_equal(read_thumbnail(stack), voxels[0, 2])
    assert str(stack) == "series 5 'CINE_SAX': 4 slices × 5 phases, 1.25 × 1.5 × 8 mm"
