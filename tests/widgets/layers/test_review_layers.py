"""Tests of the layers of a review, in a viewer model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels

from napari_bayes_nnunet.core.heart.structures import CARDIAC
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.widgets.layers.front import bring_to_front
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.result_layers import remove_layers, result_layers
from napari_bayes_nnunet.widgets.layers.review_layers import (
    edited_layer,
    find_layer,
    handles_layer,
    hide_closed_review,
    put_on_top,
    set_slices,
    show_as_closed,
    show_hidden_result,
)
from napari_bayes_nnunet.widgets.layers.writer import write_labels_layer
from tests.helpers.windows.results import put_result

from ..conftest import CINE, VOLUME, grow, image_layer, make_result

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def edited(viewer, image) -> Labels:
    layer = edited_layer(image, np.zeros(CINE.shape, np.uint8), STRUCTURES, CINE, Path("study"))
    put_on_top(viewer, layer, active=True)
    return layer


def test_the_edited_layer_is_painted_by_slice(viewer, image, edited) -> None:
    assert edited.name == "heart edited"
    assert edited.scale == pytest.approx(image.scale)
    assert edited.units == image.units
    assert edited.axis_labels == image.axis_labels
    assert edited.editable
    assert edited.n_edit_dimensions == 2
    assert edited.contour == 1
    assert edited.brush_size == 6  # 8 mm
    assert edited.selected_label == 1
    assert not edited.preserve_labels
    assert viewer.layers.selection.active is edited
    about = bayes_metadata(edited)
    assert about["role"] == "edited"
    assert about["image"] == image.unique_id
    assert about["case"] == "heart"
    assert about["geometry"] == CINE
    assert about["structures"] == STRUCTURES
    assert about["study"] == "study"


def test_the_edited_layer_looks_like_the_prediction(viewer, image, edited, tmp_path) -> None:
    result = make_result(CINE)
    grow(result, tmp_path, phase=1)
    put_result(viewer, image, result)
    prediction = find_layer(viewer, image, "prediction")
    for label in (1, 2, 3):
        np.testing.assert_array_equal(edited.get_color(label), prediction.get_color(label))
    assert edited.features.equals(prediction.features)
    assert edited.opacity == prediction.opacity
    rgb = [int(CARDIAC["RV"][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    assert edited.get_color(1)[:3] == pytest.approx(rgb, abs=0.01)


def test_painting_changes_one_slice_and_can_preserve_labels(viewer, image, edited) -> None:
    viewer.dims.set_point([0, 1], [46, 16])
    edited.selected_label = 3
    edited.paint((1, 2, 8, 10), 3)
    assert edited.data[1, 2].any()
    edited.data[1, 2] = 0
    assert not edited.data.any()
    edited.data[1, 2, 8, 8:11] = 2
    edited.preserve_labels = True
    edited.paint((1, 2, 8, 10), 3)
    assert (edited.data[1, 2, 8, 8:11] == 2).all()
    assert (edited.data == 3).any()


def test_the_edited_layer_can_be_saved_by_napari(tmp_path, viewer) -> None:
    image = viewer.add_layer(image_layer(tmp_path, VOLUME))
    layer = edited_layer(image, np.ones(VOLUME.shape, np.uint8), STRUCTURES, VOLUME)
    data, attributes, _ = layer.as_layer_data_tuple()
    (saved,) = write_labels_layer(str(tmp_path / "saved.nii.gz"), data, attributes)
    assert read_labels(Path(saved)).geometry.same_grid(VOLUME)


def test_an_image_without_geometry_has_an_edited_layer(viewer) -> None:
    image = viewer.add_image(np.zeros((3, 8, 8)), name="a/b.nii.gz")
    layer = edited_layer(image, np.zeros((3, 8, 8), np.uint8), {}, None)
    assert layer.name == "a_b edited"
    assert bayes_metadata(layer)["geometry"] is None


def square(label: int) -> np.ndarray:
    labels = np.zeros(CINE.shape[-2:], np.uint8)
    labels[4:8, 5:9] = label
    return labels


def test_setting_a_slice_is_one_step_to_undo(viewer, edited) -> None:
    steps: list[object] = []
    edited.events.paint.connect(lambda event: steps.append(event.value))
    assert set_slices(edited, {(2, 3): square(3)}) == 16
    assert (edited.data[1, 3] == square(3)).all()
    assert edited.data.sum() == 48
    assert set_slices(edited, {(2, 3): square(3)}) == 0
    changed = square(3)
    changed[4] = 0
    changed[12] = 1
    assert set_slices(edited, {(2, 3): changed}) == 24
    assert len(steps) == 2
    edited.undo()
    assert (edited.data[1, 3] == square(3)).all()
    edited.undo()
    assert not edited.data.any()
    edited.redo()
    edited.redo()
    assert (edited.data[1, 3] == changed).all()


def test_a_set_slice_is_drawn_at_once(viewer, edited) -> None:
    viewer.dims.set_point([0, 1], [46, 24])
    seen: list[int] = []
    edited.events.set_data.connect(lambda: seen.append(int(edited._slice.image.raw.max())))
    set_slices(edited, {(2, 3): square(2)})
    assert seen == [2]


def test_several_slices_are_one_step(edited) -> None:
    assert set_slices(edited, {(1, 0): square(1), (5, 3): square(2), (2, 2): square(0)}) == 32
    edited.undo()
    assert not edited.data.any()


def test_a_volume_is_set_too(viewer, tmp_path) -> None:
    image = viewer.add_layer(image_layer(tmp_path, VOLUME))
    layer = edited_layer(image, np.zeros(VOLUME.shape, np.uint8), STRUCTURES, VOLUME)
    assert set_slices(layer, {(None, 1): square(3)}) == 16
    assert (layer.data[1] == square(3)).all()


def test_layers_are_found_by_role_and_image(viewer, image, edited, tmp_path) -> None:
    edited.name = "mine"
    other = viewer.add_layer(image_layer(tmp_path, CINE, "other"))
    assert find_layer(viewer, image, "edited") is edited
    assert find_layer(viewer, image, "prediction") is None
    assert find_layer(viewer, other, "edited") is None


def test_removing_a_layer_keeps_the_selection(viewer, image, edited) -> None:
    handles = handles_layer(image, np.zeros((3, 4)))
    put_on_top(viewer, handles)
    assert viewer.layers.selection.active is edited
    remove_layers(viewer, handles)
    remove_layers(viewer, handles)
    remove_layers(viewer, None)
    assert [*viewer.layers] == [image, edited]
    assert viewer.layers.selection.active is edited


def test_closed_review_hidden_twice_stays_hidden(viewer, image, edited, tmp_path) -> None:
    """A new result arrives while another image is in front of the reviewed one."""
    show_as_closed(edited)
    other = viewer.add_layer(image_layer(tmp_path, CINE, "other"))
    bring_to_front(viewer, other)
    hide_closed_review(viewer, image)
    bring_to_front(viewer, image)
    assert (image.visible, edited.visible) == (True, False)


@pytest.mark.parametrize("other_in_front", [False, True])
def test_new_result_is_shown_in_place_of_closed_review(
    viewer, image, edited, tmp_path, other_in_front
) -> None:
    """The review had hidden the layers that the new result takes over."""
    put_result(viewer, image, make_result(CINE))
    layers = result_layers(viewer, image)
    for layer in layers.values():
        layer.visible = False
    show_as_closed(edited)
    other = viewer.add_layer(image_layer(tmp_path, CINE, "other"))
    bring_to_front(viewer, other if other_in_front else image)
    put_result(viewer, image, make_result(CINE))
    hide_closed_review(viewer, image)
    assert [layer.visible for layer in layers.values()] == [not other_in_front] * 2
    bring_to_front(viewer, image)
    assert all(layer.visible for layer in layers.values())
    layers["entropy"].visible = False  # by the user
    hide_closed_review(viewer, image)
    assert not layers["entropy"].visible


def test_a_map_that_the_user_hid_stays_hidden(viewer, image) -> None:
    put_result(viewer, image, make_result(CINE), shown="mutual information")
    layers = result_layers(viewer, image)
    layers["mutual information"].visible = False
    show_hidden_result(viewer, image)
    assert [role for role, layer in layers.items() if layer.visible] == ["prediction"]
    layers["prediction"].visible = False
    show_hidden_result(viewer, image)
    shown = [role for role, layer in layers.items() if layer.visible]
    assert shown == ["mutual information", "prediction"]
