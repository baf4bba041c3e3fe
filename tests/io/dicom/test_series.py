"""Recognition of short-axis cines by descriptions and directions."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.io.dicom.headers import read_images
from napari_bayes_nnunet.io.dicom.series import OTHER_VIEW, SHORT_AXIS, SLICES_LEFT_OUT, find_stacks

from ...helpers.data import dicoms
from ...helpers.data.dicoms import made_voxels, slice_file, write_cine


def turned(degrees: float, row: np.ndarray, column: np.ndarray, across: np.ndarray) -> list[float]:
    """Return the orientation of a slice that is turned about its rows."""
    angle = np.radians(degrees)
    return [float(side) for side in (*row, *(np.cos(angle) * column + np.sin(angle) * across))]


def turned_axial(degrees: float) -> list[float]:
    return turned(degrees, *np.eye(3))


@pytest.mark.parametrize(
    "text",
    ["CINE_SAX", "cine_retro_sax_1", "SAX10", "Short Axis", "tfi sa 8mm", "KURZACHSE", "shax"],
)
def test_words_for_a_short_axis(text):
    assert SHORT_AXIS.search(text)
    assert not OTHER_VIEW.search(text)


@pytest.mark.parametrize(
    "text",
    ["cine_LAX", "4ch", "CINE 2-CH", "2 chamber", "3_Kammerblick", "LVOT", "localizer", "trans"],
)
def test_words_for_other_views(text):
    assert OTHER_VIEW.search(text)
    assert not SHORT_AXIS.search(text)


@pytest.mark.parametrize("text", ["safe", "sag", "cine", "", "message", "shortly"])
def test_other_words(text):
    assert not SHORT_AXIS.search(text)


@pytest.mark.parametrize(
    ("phases", "slices", "about", "is_one"),
    [
        (5, 4, {"description": ""}, True),
        (5, 4, {"description": "4ch"}, False),
        (5, 4, {"description": "", "ImageOrientationPatient": dicoms.AXIAL}, False),
        (5, 4, {"description": "sax", "ImageOrientationPatient": dicoms.AXIAL}, True),
        (5, 4, {"description": "", "ImageOrientationPatient": turned_axial(13)}, False),
        (5, 4, {"description": "", "ImageOrientationPatient": turned_axial(15)}, False),
        (5, 4, {"description": "", "ImageOrientationPatient": turned_axial(-45)}, True),
        (5, 4, {"description": "sax", "ImageOrientationPatient": turned_axial(30)}, False),
        (5, 4, {"description": "sax_lge"}, False),
        (5, 4, {"description": "sax", "InversionTime": 280}, False),
        (5, 4, {"description": "sax T1 MOLLI"}, False),
        (5, 4, {"description": "sax", "ImageType": ["ORIGINAL", "PRIMARY", "P"]}, False),
        (1, 4, {"description": "sax"}, False),
        (5, 2, {"description": "sax"}, False),
    ],
)
def test_candidates(tmp_path, phases, slices, about, is_one):
    write_cine(tmp_path, made_voxels((phases, slices, 4, 4)), **about)
    images = [image for file in tmp_path.glob("*/*") for image in read_images(file)]
    (stack,) = find_stacks(images)
    assert stack.is_short_axis_cine is is_one


@pytest.mark.parametrize(
    ("about", "is_asked"),
    [
        ({}, None),
        ({"ScanningSequence": "GR", "SequenceVariant": "SS"}, False),
        ({"ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SS", "SK"]}, True),
        ({"ScanningSequence": "GR", "SequenceVariant": ["SS", "MP"]}, True),
        ({"ScanningSequence": "GR", "SequenceVariant": "SP"}, True),
        ({"ScanningSequence": "GR", "SequenceVariant": "SK"}, None),
    ],
)
@pytest.mark.parametrize("phases", [1, 5])
def test_sequence_of_a_cine_is_trusted_others_are_asked(tmp_path, about, is_asked, phases):
    write_cine(tmp_path, made_voxels((phases, 4, 4, 4)), **about)
    images = [image for file in tmp_path.glob("*/*") for image in read_images(file)]
    (stack,) = find_stacks(images)
    expected = None if phases == 1 and is_asked is False else is_asked
    assert (None if stack.doubt is None else bool(stack.doubt)) is expected


@pytest.mark.parametrize(
    ("about", "is_contradicted"),
    [
        ({"description": ""}, False),
        ({"description": "CINE_SAX", "InversionTime": 0}, False),
        ({"description": "sax", "ImageOrientationPatient": dicoms.AXIAL}, False),
        ({"description": "", "Modality": None}, False),
        ({"description": "", "ImageOrientationPatient": dicoms.AXIAL}, True),
        ({"description": "4ch"}, True),
        ({"description": "sax_LGE"}, True),
        ({"description": "PSIR sax"}, True),
        ({"description": "T1map_sax"}, True),
        ({"description": "CINE_SAX", "InversionTime": 280}, True),
        ({"description": "CINE_SAX", "Modality": "CT"}, True),
    ],
)
def test_tags_of_another_image(tmp_path, about, is_contradicted):
    write_cine(tmp_path, made_voxels((5, 4, 4, 4)), **about)
    images = [image for file in tmp_path.glob("*/*") for image in read_images(file)]
    (stack,) = find_stacks(images)
    assert bool(stack.no_cine_because) is is_contradicted


def test_images_with_own_frames_of_reference_are_joined(tmp_path):
    for room in range(2):
        folder = tmp_path / str(room)
        write_cine(folder, series=5 + room, FrameOfReferenceUID=f"1.2.{room}")
    images = [image for file in tmp_path.glob("*/*/*") for image in read_images(file)]
    assert len(find_stacks(images)) == 2


def test_series_in_different_frames_of_reference_stay_apart(tmp_path):
    for half, room in ((0, "1.2.3"), (1, "1.2.4")):
        write_cine(
            tmp_path / room,
            series=5 + half,
            FrameOfReferenceUID=room,
            leave_out=lambda z, t, half=half: z // 2 != half,
        )
    images = [image for file in tmp_path.glob("*/*/*") for image in read_images(file)]
    assert [len(stack.slices) for stack in find_stacks(images)] == [2, 2]


@pytest.mark.parametrize(
    ("degrees", "away", "is_noted"),
    [
        (10, dicoms.DISTANCE, True),
        (13, dicoms.DISTANCE, False),
        (10, 1.1, True),
        (10, 0.9, False),
    ],
)
def test_only_parallel_images_beyond_the_end_are_missing(tmp_path, degrees, away, is_noted):
    """An image that is tilted by more than 11° or within 1 mm of the last slice is none of them."""
    write_cine(tmp_path / "cine")
    slice_file(
        tmp_path / "other",
        made_voxels((12, 10)),
        z=dicoms.SHAPE[1] - 1 + away / dicoms.DISTANCE,
        number=99,
        ImageOrientationPatient=turned(degrees, dicoms.ROW, dicoms.COLUMN, dicoms.TO_APEX),
    )
    images = [
        image for file in tmp_path.rglob("*") if file.is_file() for image in read_images(file)
    ]
    stack = find_stacks(images)[0]
    assert [note.template for note in stack.notes] == [SLICES_LEFT_OUT] * is_noted
