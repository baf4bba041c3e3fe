"""Views of the series of an examination: made planes through a heart, and a real examination."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io.dicom import examination
from napari_bayes_nnunet.io.dicom.examination import (
    PLANES,
    SHORT_AXIS_VIEW,
    SeriesView,
    classify_series,
)
from napari_bayes_nnunet.io.dicom.reader import NO_LONG_AXIS, choose_stack, read_dicom, read_stacks

from ...helpers.data import dicoms
from ...helpers.data.dicoms import made_voxels, write_cine, write_plane

BIVME = Path(__file__).parents[2] / "fixtures" / "bivme" / "dicom"
needs_bivme = pytest.mark.skipif(not BIVME.exists(), reason="the sdist leaves it out")
DESCRIBED = {"series 14001": "4CH", "series 16001": "3CH", "series 17001": "2CH",
             "series 19001": "RV 2CH", "series 22001": "RVOT"}  # fmt: skip


def views(folder: Path) -> dict[int, SeriesView]:
    """Return the view of each series, by its number; that of the short axis is 5."""
    stacks = read_stacks(folder)
    found = classify_series(stacks, choose_stack(stacks))
    return {series.stack.series_numbers[0]: series for series in found}


@needs_bivme
def test_views_of_a_real_examination():
    found = {series.stack.series_name: series.view for series in views(BIVME).values()}
    assert found == {"series 7001 to 12001": SHORT_AXIS_VIEW} | DESCRIBED


@needs_bivme
def test_real_long_axes_are_read_with_their_place():
    volume = read_dicom(BIVME)
    assert {axis.kind for axis in volume.long_axes} == {*DESCRIBED.values()}
    plane = next(axis for axis in volume.long_axes if axis.kind == "4CH")
    assert plane.voxels.shape == (2, 208, 256)
    # The centre of the short axis lies in the 4CH, whatever its pixel.
    z, y, x = (np.array(volume.shape[1:]) - 1) / 2
    centre = (volume.geometry.affine @ (x, y, z, 1))[:3]
    assert np.linalg.norm(plane.to_patient(plane.from_patient(centre)) - centre) < 2


@pytest.mark.parametrize(("turn", "shift"), [(0, 0), (12, 5), (-12, -5)])
def test_planes_are_recognised_whatever_their_description(tmp_path, turn, shift):
    write_cine(tmp_path)
    for series, (angle, beside) in enumerate(PLANES.values(), start=20):
        place = angle + turn, beside + shift
        write_plane(tmp_path, *place, series=series, description="cine")
    found = views(tmp_path)
    assert [found[series].view for series in range(20, 25)] == [*PLANES]


def test_description_decides_between_planes_that_are_alike(tmp_path):
    write_cine(tmp_path)
    for series, angle in ((20, 82), (22, 24), (23, 55)):
        write_plane(tmp_path, angle, 0, series=series, description="cine")
    write_plane(tmp_path, -20, -14, series=21, description="RVOT")
    assert views(tmp_path)[21].view == "RVOT"
    write_plane(tmp_path, -20, -14, series=21, description="3ch")
    assert views(tmp_path)[21].view == "3CH"


def test_the_last_of_two_series_alike_is_taken(tmp_path):
    write_cine(tmp_path)
    for series in (20, 21):
        write_plane(tmp_path, 82, 0, series=series, description="4ch")
    found = views(tmp_path)
    assert (found[20].view, found[21].view) == ("", "4CH")
    assert found[20].reason == examination.SAME_VIEW.format(series="series 21")


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"phases": 1}, examination.SINGLE_PHASE),
        ({"description": "4ch_LGE"}, "its description names another contrast"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "it shows velocities"),
        ({"ScanningSequence": ["GR", "IR"]}, "its sequence prepares the contrast"),
        ({"StudyInstanceUID": "1.2.3"}, examination.OTHER_STUDY),
        ({"PatientID": "another"}, examination.OTHER_STUDY),
        ({"FrameOfReferenceUID": "1.2.3"}, examination.OTHER_FRAME),
        ({"tilt": 50}, examination.OBLIQUE),
        ({"beside": 60}, examination.BESIDE),
    ],
)
def test_other_series_are_set_aside(tmp_path, about, reason):
    write_cine(tmp_path)
    write_plane(tmp_path, 82, about.pop("beside", 0), series=20, **{"description": "4ch"} | about)
    assert (views(tmp_path)[20].view, views(tmp_path)[20].reason) == ("", reason)


def test_another_short_axis_is_set_aside(tmp_path):
    write_cine(tmp_path)
    write_cine(tmp_path / "b", made_voxels((5, 2, 12, 10)), series=9)
    assert views(tmp_path)[9].reason == examination.ANOTHER_SHORT_AXIS


def test_damaged_long_axis_is_noted_and_the_cine_is_read(tmp_path):
    write_cine(tmp_path)
    write_plane(tmp_path, 82, 0, series=20, description="4ch")
    file = tmp_path / "plane 20 1"
    file.write_bytes(file.read_bytes()[:-40])
    volume = read_dicom(tmp_path)
    assert volume.shape == dicoms.SHAPE
    assert volume.long_axes == ()
    assert [note.template for note in volume.notes][-1] == NO_LONG_AXIS
