"""Which slice of which phase is shown."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.widgets.layers.slice_place import index_of, show_place, shown_place
from napari_bayes_nnunet.widgets.layers.viewing import turn

from ..conftest import CINE, VOLUME, image_layer


@pytest.mark.parametrize("extra_axes", [0, 1])
def test_a_place_is_shown_and_found_again(tmp_path, extra_axes) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.add_image(np.zeros((2,) * extra_axes + CINE.shape), scale=(1,) * extra_axes + (1,) * 4)
    turn(viewer, layer)
    for place in ((5, 3), (1, 0), (3, 2)):
        show_place(viewer, layer, place)
        assert shown_place(viewer, layer) == place


def test_without_a_phase_the_phase_stays(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    show_place(viewer, layer, (4, 0))
    show_place(viewer, layer, (None, 3))
    assert shown_place(viewer, layer) == (4, 3)


def test_a_volume_has_the_phase_none(tmp_path) -> None:
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


def test_outside_of_the_stack_the_nearest_slice_counts(tmp_path) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    viewer.add_image(np.zeros((9, 9, 16, 20)), scale=(46, 8, 1.5, 1.25), units=layer.units)
    viewer.dims.set_point([0, 1], [8 * 46, 8 * 8])
    assert shown_place(viewer, layer) == (5, 3)


def test_a_place_indexes_arrays() -> None:
    assert index_of((None, 2)) == (2,)
    assert index_of((3, 1)) == (2, 1)
