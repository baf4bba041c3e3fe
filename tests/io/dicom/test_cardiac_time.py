"""Slices of one cine at equal times of the cardiac cycle, and acquisitions kept apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import read_dicom, read_stacks
from napari_bayes_nnunet.io.dicom.series import (
    ACQUISITIONS_LEFT_OUT,
    ASSUMED_THICKNESS,
    JOINED_BY_TIME,
    SPARSE_SLICES,
    UNKNOWN_THICKNESS,
)

from ...helpers.data.dicoms import made_voxels, slice_file, write_cine, write_enhanced

BIVME = Path(__file__).parents[4] / "shared" / "data" / "bivme" / "dicom"
PHASES, SLICES = 10, 4
VOXELS = made_voxels((PHASES, SLICES, 6, 6))
BEAT = 400.0
Number = Callable[[int], float | None]


def write_timed(
    folder: Path,
    voxels: np.ndarray = VOXELS,
    *,
    start: Number = lambda z: 0,
    covered: Number = lambda z: BEAT,
    beat: Number = lambda z: BEAT,
    first: int = 0,
    after: float = 0,
    begins: Callable[[int], int] = lambda z: 0,
    **entries: Any,
) -> None:
    """Write a cine; its slices have their own times in ms and ``begins`` with their own phase."""
    for z in range(SLICES):
        for t in range(PHASES):
            index = (t - begins(z)) % PHASES + begins(z)
            time = (start(z) or 0) + index * (covered(z) or 0) / PHASES + after
            slice_file(
                folder / f"IM{first + z * PHASES + t:04d}",
                voxels[t, z],
                z=z,
                number=1 + first + z * PHASES + t,
                TriggerTime=time,
                NominalInterval=beat(z),
                **entries,
            )


def of_slice(z: int) -> float:
    """Return an R-R interval that is another one in each slice, ms."""
    return BEAT + 60 * z


@pytest.mark.parametrize("beat", [lambda z: BEAT, of_slice], ids=["equal", "by slice"])
def test_slices_half_a_cycle_later_are_joined(tmp_path, beat):
    write_timed(tmp_path, covered=beat, beat=beat, begins=lambda z: z % 2 * PHASES // 2)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, VOXELS)
    (note,) = volume.notes
    assert note.template == JOINED_BY_TIME
    assert note.values == {"slices": "2 slices", "total": SLICES}


@pytest.mark.parametrize(
    "about",
    [
        {"start": lambda z: 12},
        {"start": lambda z: 3 * z},
        {"covered": of_slice, "beat": of_slice},
        {"covered": of_slice, "beat": lambda z: None},
        {"covered": lambda z: BEAT + 10 * z},  # one rounded R-R interval for all slices
        {"covered": lambda z: 0.8 * BEAT, "beat": of_slice},  # triggered prospectively
        {"covered": lambda z: 0},  # no times
    ],
)
def test_usual_times_are_joined_without_note(tmp_path, about):
    write_timed(tmp_path, **about)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, VOXELS)
    assert volume.notes == ()


@pytest.mark.parametrize(
    "about",
    [
        {"covered": lambda z: BEAT / (1 + z % 2)},
        {"start": lambda z: (0, 16, 24, 0)[z]},  # 0.8 phases apart, even if turned
        {"covered": lambda z: 0.6 * BEAT, "start": lambda z: z % 2 * BEAT / 2},
    ],
)
def test_contradictory_times_are_refused(tmp_path, about):
    write_timed(tmp_path, **about)
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert "phases apart" in error.value.values["problem"]


@pytest.mark.parametrize(
    "missing",
    [lambda z, t: (z, t) == (0, 7), lambda z, t: z == 1 and t % 2 == 0, lambda z, t: z == 0],
)
def test_missing_times_do_not_hide_a_contradiction(tmp_path, missing):
    for late in (0, BEAT / 2):
        for z in range(SLICES):
            for t in range(PHASES):
                time = 12 + t * BEAT / PHASES + z % 2 * late
                about = {"TriggerTime": None if missing(z, t) else time, "NominalInterval": BEAT}
                file = tmp_path / f"{late}" / f"{z} {t}"
                slice_file(file, VOXELS[t, z], z=z, number=1 + t, **about)
    assert np.array_equal(read_dicom(tmp_path / "0").voxels, VOXELS)
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path / f"{BEAT / 2}")
    assert "phases apart" in error.value.values["problem"]


def test_one_time_for_each_slice_may_contradict_another(tmp_path):
    for z in range(SLICES):
        for t in range(PHASES):
            about = {"TriggerTime": z % 2 * BEAT / 2, "TemporalPositionIdentifier": 1 + t}
            slice_file(tmp_path / f"{z} {t}", VOXELS[t, z], z=z, NominalInterval=BEAT, **about)
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert "phases apart" in error.value.values["problem"]


@pytest.mark.parametrize("acquisitions", [1, 2])
@pytest.mark.parametrize("after", [4, 16])
def test_stopped_acquisition_is_left_out(tmp_path, acquisitions, after):
    for number in range(acquisitions):
        voxels = VOXELS + 1000 * number
        about = {"AcquisitionNumber": number + 1, "after": number * 8}
        write_timed(tmp_path / f"{number}", voxels, first=number * 99, **about)
    write_timed(tmp_path / "stopped", VOXELS - 99, first=500, after=after, AcquisitionNumber=3)
    for z in range(SLICES):
        for t in range(4, PHASES):
            (tmp_path / "stopped" / f"IM{500 + z * PHASES + t:04d}").unlink()
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels)
    (note,) = volume.notes
    assert note.template == ACQUISITIONS_LEFT_OUT


def test_images_between_the_phases_are_refused(tmp_path):
    write_timed(tmp_path / "a")
    write_timed(tmp_path / "b", after=4, first=500)
    for z in range(SLICES):
        for t in range(1, PHASES):
            (tmp_path / "b" / f"IM{500 + z * PHASES + t:04d}").unlink()
    with pytest.raises(DataError) as error:
        read_dicom(tmp_path)
    assert "another acquisition" in error.value.values["problem"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"AcquisitionNumber": 2, "first": 99}, {"AcquisitionNumber": 3, "first": 0}),
        ({"AcquisitionTime": "101500"}, {"AcquisitionTime": "102000.5"}),
        ({"first": 0}, {"first": 99}),
        ({"folder": "a"}, {"folder": "b"}),
        (
            {"covered": lambda z: 0, "AcquisitionNumber": 1},
            {"covered": lambda z: 0, "AcquisitionNumber": 2, "first": 99, "after": 0},
        ),
    ],
)
def test_later_of_two_acquisitions_is_read(tmp_path, earlier, later):
    write_timed(tmp_path / earlier.pop("folder", "1"), VOXELS + 5000, **earlier)
    write_timed(tmp_path / later.pop("folder", "2"), **{"after": 20, **later})
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, VOXELS)
    (note,) = volume.notes
    assert note.template == ACQUISITIONS_LEFT_OUT
    assert note.values == {"count": VOXELS[..., 0, 0].size, "images": 2 * VOXELS[..., 0, 0].size}


def test_incomplete_acquisition_is_not_read(tmp_path):
    write_timed(tmp_path / "a", AcquisitionNumber=1)
    write_timed(tmp_path / "b", VOXELS + 5000, first=99, after=20, AcquisitionNumber=2)
    for number in range(7, PHASES):
        (tmp_path / "b" / f"IM{99 + 2 * PHASES + number:04d}").unlink()
    expected = VOXELS + 5000
    expected[:, 2] = VOXELS[:, 2]
    assert np.array_equal(read_dicom(tmp_path).voxels, expected)


def test_two_enhanced_files_are_two_acquisitions(tmp_path):
    write_enhanced(tmp_path / "a", VOXELS + 5000)
    write_enhanced(tmp_path / "b", VOXELS, InstanceNumber=2)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, VOXELS)
    assert [note.template for note in volume.notes] == [ACQUISITIONS_LEFT_OUT]


def test_phases_numbered_as_acquisitions_stay_together(tmp_path):
    for t in range(PHASES):
        for z in range(SLICES):
            about = {"AcquisitionNumber": t + 1, "AcquisitionTime": f"1015{t // 3:02d}"}
            slice_file(tmp_path / f"{t} {z}", VOXELS[t, z], z=z, t=t, number=t + 1, **about)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, VOXELS)
    assert volume.notes == ()


def test_phases_of_another_heartbeat_stay_together(tmp_path):
    voxels = made_voxels((15, 3, 4, 4))
    for t in range(15):
        for z in range(3):
            time = {"AcquisitionTime": "101501" if t % 4 == 2 else "101500"}
            slice_file(tmp_path / f"{t} {z}", voxels[t, z], z=z, t=t, number=t + 1, **time)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels)
    assert volume.notes == ()


@pytest.mark.parametrize("phases", [12, 13, 14, 15, 16, 17, 18, 25])
def test_names_without_leading_zeros_stay_together(tmp_path, phases):
    voxels = made_voxels((phases, 3, 4, 4))
    for t in range(phases):
        for z in range(3):
            slice_file(tmp_path / f"{z}-{t + 1}", voxels[t, z], z=z, t=t, InstanceNumber=None)
    volume = read_dicom(tmp_path)
    assert np.array_equal(volume.voxels, voxels)
    assert volume.notes == ()


@pytest.mark.skipif(not BIVME.exists(), reason="the biv-me files are not here")
def test_real_acquisitions_stay_whole():
    for series in BIVME.iterdir():
        assert [stack.phases for stack in read_stacks(series)] == [25]


@pytest.mark.parametrize(
    ("leave_out", "entries", "template"),
    [
        (lambda z, t: z % 2 == 1, {}, SPARSE_SLICES),
        (lambda z, t: False, {"SliceThickness": None}, UNKNOWN_THICKNESS),
        (lambda z, t: z > 0, {"SliceThickness": None}, ASSUMED_THICKNESS),
        (lambda z, t: z > 0, {}, ""),
    ],
)
def test_doubtful_thickness_is_said(tmp_path, leave_out, entries, template):
    write_cine(tmp_path, made_voxels((5, 7, 6, 6)), leave_out=leave_out, **entries)
    notes = read_dicom(tmp_path).notes
    assert [note.template for note in notes] == [template] * bool(template)
