"""Tests of the orientation of stacks on the screen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer

from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.sample_data import CINE as SAMPLE
from napari_bayes_nnunet.widgets.layers.captions import edge_letters
from napari_bayes_nnunet.widgets.layers.viewing import (
    PlaneOrientation,
    current_phase,
    find_orientation,
    go_to_phase,
    index_of,
    is_area_shown,
    show_in_reading_orientation,
    show_place,
    shown_place,
    turn_once,
    zoom_to_area,
)

from ..conftest import CINE, OBLIQUE, VOLUME, image_layer

AXES = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}  # fmt: skip # noqa: E501


def geometry(x: str, y: str, z: str, spacing=(8.0, 1.5, 1.5)):
    """Make a volume whose axes x, y, z run towards these patient directions."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([AXES[x], AXES[y], AXES[z]], float).T * np.array(spacing)[::-1]
    return make_geometry((4, 16, 20), spacing, affine=affine)


def shown(stack) -> tuple[str, str]:
    """Return the letters at the left and at the top of the screen."""
    view = find_orientation(stack)
    directions = "up" if view.is_upside_down else "down", "left" if view.is_mirrored else "right"
    edges = edge_letters(stack.letters, (2, 1) if view.transposed else (1, 2), directions)
    return edges["left"], edges["top"]


EXPECTED = {"S": ("R", "A"), "A": ("R", "S"), "R": ("A", "S")}
"""Through-plane direction → left and top of axial, coronal and sagittal slices."""


@pytest.mark.parametrize("through", ["S", "A", "R"])
def test_slices_of_every_storage_order_look_the_same(through: str) -> None:
    pairs = [("R", "L"), ("A", "P"), ("S", "I")]
    in_plane = [pair for pair in pairs if through not in pair]
    ways = itertools.product(*in_plane, next(p for p in pairs if through in p))
    for first, second, normal in ways:
        for x, y in ((first, second), (second, first)):
            assert shown(geometry(x, y, normal)) == EXPECTED[through]


def test_the_sample_is_already_in_reading_orientation() -> None:
    assert find_orientation(read_volume(SAMPLE).geometry) == PlaneOrientation()


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((4, 5, 6), (8, 1.5, 1.5)),
        ((16, 20, 4), (1.5, 1.5, 8)),  # held with its slices first
        ((1, 192, 256), (1.0, 1.8, 1.4)),
        ((60, 100, 120), (1.0, 1.3, 1.0)),
        ((80, 90, 40), (1.2, 1.2, 1.7)),
    ],
)
@pytest.mark.parametrize("affine", [None, OBLIQUE])
def test_the_slider_moves_through_the_slices(shape, spacing, affine) -> None:
    stack = make_geometry(shape, spacing, affine=affine).with_slices_found()
    assert affine is not None or find_orientation(stack) == PlaneOrientation()


def test_oblique_stack_stored_in_another_order_is_turned(tmp_path) -> None:
    """The same short-axis slices with (z, y, x) stored as (y, x, z), x and y mirrored."""
    affine = VOLUME.affine[:, [2, 0, 1, 3]]
    affine[:, [1, 2]] *= -1
    stack = make_geometry((16, 20, 4), (1.5, 1.25, 8), affine=affine).with_slices_found()
    assert find_orientation(stack) == PlaneOrientation(is_upside_down=True, is_mirrored=True)
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, stack))
    show_in_reading_orientation(viewer, layer)
    assert viewer.dims.order == (0, 1, 2)  # the reader has put the slices first
    assert [str(d) for d in viewer.scene.camera.orientation2d] == ["up", "left"]


def test_an_image_on_screen_is_turned_only_once(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    turn_once(viewer, layer)
    viewer.dims.order = (0, 1, 3, 2)
    viewer.scene.camera.zoom = 7
    turn_once(viewer, layer)
    assert (viewer.scene.camera.zoom, viewer.dims.order) == (7, (0, 1, 3, 2))
    copy = viewer.add_layer(Layer.create(*layer.as_layer_data_tuple()))
    turn_once(viewer, copy)
    assert viewer.dims.order == (0, 1, 2, 3)


def test_time_stays_the_first_slider(tmp_path) -> None:
    affine = VOLUME.affine[:, [2, 0, 1, 3]]
    stack = make_geometry((5, 16, 20, 4), (1.5, 1.25, 8), frame_time=40, affine=affine)
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, stack))
    show_in_reading_orientation(viewer, layer)
    assert viewer.dims.order == (0, 1, 2, 3)


def test_image_without_geometry_is_left_as_it_is() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.ones((4, 5, 6)))
    viewer.dims.order = (2, 1, 0)
    show_in_reading_orientation(viewer, layer)
    assert viewer.dims.order == (2, 1, 0)


@pytest.mark.parametrize(
    ("shape", "scale", "order"),
    [
        ((256, 216, 10), (1.5, 1.5, 10), (2, 0, 1)),
        ((5, 256, 10, 216), (1, 1.5, 10, 1.5), (0, 2, 1, 3)),
        ((10, 256, 216), (10, 1.5, 1.5), (0, 1, 2)),
        ((64, 64, 64), (1, 1, 1), (0, 1, 2)),
    ],
)
def test_layer_without_file_shows_its_slices(shape, scale, order) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros(shape, np.uint8), scale=scale)
    show_in_reading_orientation(viewer, layer)
    assert viewer.dims.order == order


def test_going_to_a_phase_shows_its_middle_slice(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.dims.set_point(1, 0)
    for phase in (5, 1, 3):
        go_to_phase(viewer, layer, phase)
        assert current_phase(viewer, layer) == phase
        assert layer.world_to_data(viewer.dims.point)[1] == 2


def test_phases_are_correct_next_to_a_5d_layer(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.add_image(np.ones((2, 5, 4, 16, 20)))
    go_to_phase(viewer, layer, 4)
    assert current_phase(viewer, layer) == 4
    assert viewer.dims.ndim == 5


def test_zooming_to_an_area_centres_on_it() -> None:
    data = np.zeros((3, 100, 100), np.uint8)
    data[1, 20:30, 60:80] = 1
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(data, scale=(8, 2, 1)))
    viewer.dims.set_point(0, 8)
    zoom_to_area(viewer, labels, data[1] > 0)
    assert viewer.scene.camera.center[-2:] == pytest.approx((49, 69.5))
    assert viewer.scene.camera.zoom == pytest.approx(0.5 * 800 / 20)


def test_zooming_follows_a_translated_layer() -> None:
    data = np.zeros((3, 100, 100), np.uint8)
    data[1, 20:30, 60:80] = 1
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(data, scale=(8, 2, 1), translate=(0, 500, -300)))
    viewer.dims.set_point(0, 8)
    zoom_to_area(viewer, labels, data[1] > 0)
    assert viewer.scene.camera.center[-2:] == pytest.approx((549, -230.5))
    assert is_area_shown(viewer, labels, data[1] > 0)


def test_zooming_to_an_empty_area_keeps_the_view() -> None:
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(np.zeros((3, 10, 10), np.uint8)))
    before = viewer.scene.camera.zoom
    zoom_to_area(viewer, labels, np.zeros((10, 10), bool))
    assert viewer.scene.camera.zoom == before


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_an_area_is_shown_after_zooming(order) -> None:
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(np.zeros((3, 100, 50), np.uint8), scale=(8, 2, 1)))
    viewer.dims.order = order
    area = np.zeros((100, 50), bool)
    area[10:20, 30:40] = True
    zoom_to_area(viewer, labels, area)
    middle = np.array((29, 34.5)) if order == (0, 1, 2) else np.array((34.5, 29))
    assert viewer.scene.camera.center[-2:] == pytest.approx(middle)
    assert is_area_shown(viewer, labels, area)
    reach = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    for edge, expected in ((0.9 * reach, True), (1.1 * reach, False)):
        viewer.scene.camera.center = tuple(middle + edge)
        assert is_area_shown(viewer, labels, area) == expected


def test_an_area_being_zoomed_into_is_shown() -> None:
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(np.zeros((3, 100, 50), np.uint8)))
    viewer.scene.camera.center, viewer.scene.camera.zoom = (11, 31), 1000
    area = np.zeros((100, 50), bool)
    area[10:20, 30:40] = True
    assert is_area_shown(viewer, labels, area)
    viewer.dims.order = (1, 0, 2)  # the area is not on screen
    assert is_area_shown(viewer, labels, ~area)


@pytest.mark.parametrize("extra_axes", [0, 1])
def test_a_place_is_shown_and_found_again(tmp_path, extra_axes) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.add_image(np.zeros((2,) * extra_axes + CINE.shape), scale=(1,) * extra_axes + (1,) * 4)
    show_in_reading_orientation(viewer, layer)
    for place in ((5, 3), (1, 0), (3, 2)):
        show_place(viewer, layer, place)
        assert shown_place(viewer, layer) == place


def test_without_a_phase_the_phase_stays(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    show_place(viewer, layer, (4, 0))
    show_place(viewer, layer, (None, 3))
    assert shown_place(viewer, layer) == (4, 3)


def test_a_volume_has_no_phase(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, VOLUME))
    show_place(viewer, layer, (None, 3))
    assert shown_place(viewer, layer) == (None, 3)


def test_the_camera_stays(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.scene.camera.zoom = 7
    viewer.scene.camera.center = (0, 3, 4)
    show_place(viewer, layer, (2, 1))
    assert viewer.scene.camera.zoom == 7
    assert viewer.scene.camera.center == (0, 3, 4)


def test_outside_the_stack_the_nearest_slice_counts(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.add_image(np.zeros((9, 9, 16, 20)), scale=(46, 8, 1.5, 1.25), units=layer.units)
    viewer.dims.set_point([0, 1], [8 * 46, 8 * 8])
    assert shown_place(viewer, layer) == (5, 3)


def test_a_place_indexes_arrays() -> None:
    assert index_of((None, 2)) == (2,)
    assert index_of((3, 1)) == (2, 1)


@pytest.mark.parametrize("size", [(700, 575), (880, 1200), (600, 1300)])
@pytest.mark.parametrize("corner", [(70, 70), (10, 120)])
def test_zooming_shows_no_band_beside_the_image(size, corner) -> None:
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(np.zeros((3, 200, 190), np.uint8), scale=(8, 1.5, 1.5)))
    viewer.canvas.size = size
    area = np.zeros((200, 190), bool)
    area[corner[0] : corner[0] + 60, corner[1] : corner[1] + 60] = True
    zoom_to_area(viewer, labels, area)
    reach = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    centre = np.array(viewer.scene.camera.center[-2:])
    assert (centre - reach >= -0.76).all()
    assert (centre + reach <= (299.26, 284.26)).all()
    first, last = np.array(corner) * 1.5, (np.array(corner) + 59) * 1.5
    assert (centre - reach <= first).all()
    assert (centre + reach >= last).all()
    if corner == (70, 70) and size == (700, 575):
        assert 89.5 * viewer.scene.camera.zoom == pytest.approx(0.5 * size[0], rel=0.02)
        assert centre == pytest.approx((first + last) / 2, abs=8)


def test_image_smaller_than_the_canvas_is_shown_whole() -> None:
    viewer = ViewerModel()
    labels = viewer.add_layer(Labels(np.zeros((3, 192, 192), np.uint8)))
    viewer.canvas.size = 711, 400
    area = np.zeros((192, 192), bool)
    area[100:160, 45:155] = True
    zoom_to_area(viewer, labels, area)
    reach = viewer.canvas.size[0] / viewer.scene.camera.zoom / 2
    assert reach == pytest.approx(711 * 110 / (2 * 0.95 * 400))  # more than the 96 voxels
    assert viewer.scene.camera.center[-2] - reach == pytest.approx(-0.5)  # nothing above
