"""Tests of the small pictures of slices."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from time import thread_time

import numpy as np
import pytest
from napari.components import ViewerModel
from skimage.measure import grid_points_in_poly

from napari_bayes_nnunet.app.report.pictures import SMALLEST_MM, crop_around
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.widgets.layers.viewing import PlaneOrientation, shown_orientation
from napari_bayes_nnunet.widgets.reading.slice_pictures import CROP_MARGIN_MM, SlicePictures

from ...helpers.data.cines import CINE, ED, ES, LV, SHAPE, SPACING, make_cine, voxels_of

PLAIN = PlaneOrientation()
WINDOW = (100.0, 300.0)
ORIENTATIONS = [PlaneOrientation(*flags) for flags in product((False, True), repeat=3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cine(tmp_path_factory.mktemp("studies") / "heart")


VOXELS = voxels_of(CINE.shape)


def pictures_of(session: ReviewSession, orientation: PlaneOrientation = PLAIN) -> SlicePictures:
    return SlicePictures(session, VOXELS, WINDOW, orientation)


def filled(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a picture whose centres lie inside a contour."""
    return grid_points_in_poly(shape, points * shape - 0.5)


def crop_of(session: ReviewSession) -> tuple[slice, slice]:
    return crop_around(session.heart, SPACING[1:], margin_mm=CROP_MARGIN_MM)


def test_the_heart_fills_the_picture(session) -> None:
    height, width = pictures_of(session).draw((ED, 0)).grey.shape
    for size, axis, step in ((height, 0, SPACING[1]), (width, 1, SPACING[2])):
        heart = np.ptp(np.flatnonzero(session.heart.any(axis=1 - axis))) + 1
        most = max(heart * step + 2 * CROP_MARGIN_MM, SMALLEST_MM) + 2 * step
        assert heart <= size <= most / step


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_image_and_contours_lie_as_on_the_screen(session, orientation) -> None:
    pictures, place = pictures_of(session, orientation), (ES, 1)
    picture = pictures.draw(place)

    def turned(plane: np.ndarray) -> np.ndarray:
        plane = plane[crop_of(session)]
        plane = plane.T if orientation.transposed else plane
        plane = np.flipud(plane) if orientation.is_upside_down else plane
        return np.fliplr(plane) if orientation.is_mirrored else plane

    voxels = turned(VOXELS[ES - 1, 1].astype(float))
    expected = np.clip((voxels - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1) * 255
    assert picture.grey.dtype == np.uint8
    assert np.abs(picture.grey - expected).max() <= 1
    loops = [points for label, points in picture.contours if label == LV]
    drawn = np.logical_xor.reduce([filled(points, picture.grey.shape) for points in loops])
    assert np.array_equal(drawn, turned(session.labels_in(place) == LV))


def test_aspect_is_that_of_heart_in_mm(session) -> None:
    height, width = pictures_of(session).draw((ED, 0)).grey.shape
    aspect = width * SPACING[2] / (height * SPACING[1])
    assert pictures_of(session).aspect == pytest.approx(aspect)
    transposed = pictures_of(session, PlaneOrientation(transposed=True))
    assert transposed.aspect == pytest.approx(1 / aspect)


def test_a_picture_is_current_until_its_labels_change(session) -> None:
    pictures = pictures_of(session)
    first, second = pictures.draw((ED, 0)), pictures.draw((ED, 1))
    session.labels_in((ED, 0))[3, 3] = LV
    assert not pictures.is_current((ED, 0), first)
    assert pictures.is_current((ED, 1), second)
    again = pictures.draw((ED, 0))
    assert pictures.is_current((ED, 0), again)
    assert len(again.contours) == len(first.contours) + 1


def test_a_constant_image_is_drawn(session) -> None:
    pictures = SlicePictures(session, np.zeros(CINE.shape), (0.0, 0.0), PLAIN)
    assert not pictures.draw((ED, 0)).grey.any()


def test_a_picture_takes_few_milliseconds(session) -> None:
    pictures, times = pictures_of(session), []
    for z in (0, 1, 2, 3, 0, 1, 2):
        start = thread_time()
        pictures.draw((ED, z))
        times.append(thread_time() - start)
    assert min(times) < 0.01


def test_the_orientation_is_that_of_the_viewer(qapp) -> None:
    viewer = ViewerModel()
    viewer.add_image(VOXELS)
    viewer.scene.camera.orientation2d = ("up", "left")
    viewer.dims.order = (0, 1, 3, 2)
    assert shown_orientation(viewer) == PlaneOrientation(True, True, True)
    viewer.scene.camera.orientation2d = ("down", "right")
    viewer.dims.order = (0, 2, 1, 3)
    assert shown_orientation(viewer) == PLAIN


def test_pictures_show_what_lies_around_a_mask(session) -> None:
    """The smallest picture shows 70 mm, here half of them beyond the corner."""
    mask = np.zeros(SHAPE[1:], bool)
    mask[0, 0] = True
    grey = SlicePictures(session, VOXELS, WINDOW, PLAIN, around=mask).draw((ED, 1)).grey
    rows, columns = grey.shape
    assert rows == np.ceil(1 + (70 - 1.5) / 2 / 1.5) < SHAPE[1]
    assert columns == np.ceil(1 + (70 - 1.25) / 2 / 1.25) < SHAPE[2]
    low, high = WINDOW
    shares = np.clip((VOXELS[ED - 1, 1, :rows, :columns] - low) / (high - low), 0, 1)
    assert np.allclose(grey, 255 * shares, atol=1)
