"""Tests of the layer of smooth contours: what it follows, and how the labels are shown."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.layers._layer_actions import _duplicate_layer

from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.structures import CARDIAC
from napari_bayes_nnunet.widgets.common.settings import Display
from napari_bayes_nnunet.widgets.layers.result import SegmentationResult
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.layers.review_layers import edited_layer, put_on_top, set_slices
from napari_bayes_nnunet.widgets.layers.structure_contours import (
    FILLED,
    StructureContours,
    apply_display,
    find_contours,
    show_contours,
)
from napari_bayes_nnunet.widgets.layers.viewing import show_place
from tests.helpers.windows.results import put_result

from ..conftest import CINE, make_result

PLACE = (2, 1)
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
NOTHING = SimpleNamespace(posteriors={}, looks={})


@pytest.fixture
def image(viewer, image) -> Image:
    show_place(viewer, image, PLACE)
    return image


@pytest.fixture
def result(viewer, image) -> SegmentationResult:
    made = make_result(CINE)
    made.labels[1, 1, 4:12, 5:14] = 3
    made.labels[1, 2, 4:8, 5:9] = 2
    put_result(viewer, image, made)
    return made


@pytest.fixture
def contours(viewer, image, result) -> StructureContours:
    return show_contours(viewer, image, result, Display())


def add_edited(viewer: ViewerModel, image: Image, labels: Any) -> Labels:
    layer = edited_layer(image, labels, STRUCTURES, None)
    put_on_top(viewer, layer, active=True)
    return layer


def drawn(contours: StructureContours) -> Any:
    """Return the (n, 2) starts of the segments on screen, in voxels."""
    return contours.layer._view_data[:, 0]


def test_contours_have_the_colour_of_their_structure(contours) -> None:
    assert drawn(contours).min(axis=0) == pytest.approx([3.5, 4.5], abs=0.3)
    assert drawn(contours).max(axis=0) == pytest.approx([11.5, 13.5], abs=0.3)
    rgb = [int(CARDIAC["LV"][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    assert contours.layer.edge_color[0] == pytest.approx([*rgb, 1])


def test_contours_follow_slices_and_phases(viewer, image, contours) -> None:
    show_place(viewer, image, (2, 2))
    assert drawn(contours).max(axis=0) == pytest.approx([7.5, 8.5], abs=0.3)
    show_place(viewer, image, (1, 2))
    assert not len(drawn(contours))
    show_place(viewer, image, PLACE)
    assert len(drawn(contours))


def test_the_labels_are_transparent_unless_filled(viewer, image, contours) -> None:
    labels = contours.source
    assert (labels.contour, labels.opacity, labels.visible) == (0, 0, True)
    apply_display(viewer, image, Display(fill=True))
    assert (labels.contour, contours.layer.visible) == (0, True)
    assert 0 < labels.opacity < 1
    apply_display(viewer, image, Display(contours=False))
    assert (labels.opacity, contours.layer.visible) == (0, False)


def test_the_polygon_tool_is_seen_while_it_draws(viewer, image, result, contours) -> None:
    edited = add_edited(viewer, image, result.labels.copy())
    assert edited.opacity == 0
    edited.mode = "polygon"
    assert edited.opacity == FILLED
    edited.mode = "pan_zoom"
    assert edited.opacity == 0


def test_edits_undo_and_strokes_are_followed(qtbot, viewer, image, result, contours) -> None:
    edited = add_edited(viewer, image, result.labels.copy())
    assert contours.source is edited
    larger = edited.data[1, 1].copy()
    larger[12:15, 5:14] = 3
    set_slices(edited, {PLACE: larger})
    assert drawn(contours).max(axis=0) == pytest.approx([14.5, 13.5], abs=0.3)
    edited.undo()
    assert drawn(contours).max(axis=0) == pytest.approx([11.5, 13.5], abs=0.3)
    edited.brush_size = 1
    edited.paint((1, 1, 1, 17), 3)
    edited.paint((1, 1, 1, 18), 3)
    qtbot.waitUntil(lambda: drawn(contours)[:, 1].max() > 18)


def test_edited_labels_replace_the_prediction(viewer, image, result, contours) -> None:
    prediction = contours.source
    edited = add_edited(viewer, image, np.zeros_like(result.labels))
    assert not len(drawn(contours))
    assert (prediction.contour, prediction.opacity) == (1, 1)
    edited.visible = False
    assert contours.source is prediction
    assert len(drawn(contours))
    viewer.layers.remove(edited)
    assert contours.source is prediction
    assert show_contours(viewer, image, NOTHING, Display()) is contours


def test_contours_of_another_result_are_drawn_above_it(viewer, image, contours) -> None:
    again = make_result(CINE)
    put_result(viewer, image, again)
    add_edited(viewer, image, again.labels)
    show_contours(viewer, image, again, Display())
    assert viewer.layers[-1] is contours.layer


def test_the_posterior_moves_predicted_contours(viewer, image, result, contours) -> None:
    z, y, x = result.labels.shape[1:]
    shares = np.zeros((4, z, y, x), np.float32)
    shares[3] = np.clip(0.9 - 0.4 * np.maximum(np.abs(np.arange(x) - 9) - 4, 0), 0, 0.9)
    shares[0] = 1 - shares[3]
    prediction = (shares[3] > 0.5).astype(np.uint8) * 3
    nothing = np.zeros((z, y, x), np.float32)
    result.labels[1] = prediction
    contours.source.refresh()
    before = drawn(contours)[:, 1].max()
    posterior = StoredPosterior.from_members(
        shares,
        prediction[None],
        prediction=prediction,
        maps={"entropy": nothing, "mutual-information": nothing},
    )
    contours.set_result(SimpleNamespace(posteriors={2: posterior}, looks={}))
    assert before == pytest.approx(13.5, abs=0.15)
    assert drawn(contours)[:, 1].max() == pytest.approx(14, abs=0.15)  # 0.9, 0.5, 0.1


def test_other_planes_have_contours_and_volumes_show_labels(viewer, contours) -> None:
    viewer.dims.order = (0, 2, 1, 3)
    assert drawn(contours)[:, 0].max() == pytest.approx(2.5, abs=0.3)  # slices 1 and 2
    viewer.dims.ndisplay = 3
    assert not len(contours.layer.data)
    assert contours.source.opacity == 1
    viewer.dims.ndisplay = 2
    assert contours.source.opacity == 0
    assert len(drawn(contours))


def test_hidden_contours_are_not_computed(viewer, image, contours) -> None:
    contours.layer.visible = False
    before = contours.layer.data
    show_place(viewer, image, (2, 2))
    assert contours.layer.data is before
    contours.layer.visible = True
    assert drawn(contours).max(axis=0) == pytest.approx([7.5, 8.5], abs=0.3)


def test_without_their_layer_labels_are_outlines_again(viewer, image, contours) -> None:
    labels, layer = contours.source, contours.layer
    callbacks = len(viewer.mouse_drag_callbacks)
    viewer.layers.remove(layer)
    assert (labels.contour, labels.opacity) == (1, 1)
    assert find_contours(viewer, image) is None
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1


def test_deleted_contours_are_drawn_again_in_next_slice(viewer, image, contours) -> None:
    viewer.layers.remove(contours.layer)
    for z in (2, 1, 2):
        show_place(viewer, image, (2, z))
        again = find_contours(viewer, image)
        assert again is not contours
        assert len(viewer.layers) == len({layer.name for layer in viewer.layers})
        assert drawn(again).max(axis=0) == pytest.approx(
            [11.5, 13.5] if z == 1 else [7.5, 8.5], abs=0.3
        )
        assert again.source.opacity == 0


def test_contours_drawn_again_by_a_switch_stay(viewer, image, contours) -> None:
    viewer.layers.remove(contours.layer)
    again = show_contours(viewer, image, NOTHING, Display(fill=True))
    show_place(viewer, image, (2, 2))
    assert find_contours(viewer, image) is again
    assert again.source.opacity == FILLED


def test_contours_deleted_with_their_image_stay_deleted(viewer, image, contours) -> None:
    other = viewer.add_image(image.data)
    viewer.layers.remove(contours.layer)
    viewer.layers.remove(image)
    show_place(viewer, other, (2, 2))
    assert find_contours(viewer, image) is None


def test_a_switch_draws_deleted_contours_again(viewer, image, result, contours) -> None:
    viewer.layers.remove(contours.layer)
    apply_display(viewer, image, Display(fill=True), result)
    again = find_contours(viewer, image)
    assert len(drawn(again))
    assert 0 < again.source.opacity < 1


def test_labels_removed_and_added_are_followed(viewer, image, result, contours) -> None:
    viewer.layers.remove(contours.source)
    assert not len(drawn(contours))
    put_result(viewer, image, result)
    assert contours.source is result_layers(viewer, image)["prediction"]
    assert len(drawn(contours))


def copy_of(viewer: ViewerModel, layer: Layer) -> Layer:
    """Duplicate a layer as napari's menu does, and move the copy below all others."""
    viewer.layers.selection.active = layer
    _duplicate_layer(viewer.layers)
    copied = viewer.layers[viewer.layers.index(layer) + 1]
    viewer.layers.move(viewer.layers.index(copied), 0)
    return copied


def test_contours_are_of_labels_not_their_copy(viewer, image, result, contours) -> None:
    edited = add_edited(viewer, image, result.labels)
    copied = copy_of(viewer, edited)
    contours.draw()
    assert contours.source is edited
    assert edited.opacity == 0
    viewer.layers.remove(edited)
    assert contours.source is not copied


def test_contours_survive_a_copy_of_theirs(viewer, image, contours) -> None:
    copy_of(viewer, contours.layer)
    assert find_contours(viewer, image) is contours
    viewer.layers.remove(contours.layer)
    assert find_contours(viewer, image) is None
    apply_display(viewer, image, Display(fill=True))
    assert show_contours(viewer, image, NOTHING, Display()) is not contours


def test_a_copy_of_the_layer_draws_nothing(contours) -> None:
    assert copy.deepcopy(contours.layer.metadata)["bayes"]["contours"] is None


class Press:
    def __init__(self, kind: str) -> None:
        self.type = kind


def test_the_labels_are_seen_while_painting(viewer, image, result, contours) -> None:
    edited = add_edited(viewer, image, result.labels)
    edited.mode = "paint"
    event = Press("mouse_press")
    stroke = contours._on_press(viewer, event)
    next(stroke)
    assert edited.opacity > 0
    event.type = "mouse_move"
    next(stroke)
    assert edited.opacity > 0
    event.type = "mouse_release"
    assert next(stroke, "end") == "end"
    assert edited.opacity == 0
    edited.mode = "pan_zoom"
    assert next(contours._on_press(viewer, event), "end") == "end"


def test_a_first_look_is_dashed_until_its_phase_is_segmented(viewer, image, result) -> None:
    look = result.labels[1].copy()
    source = SimpleNamespace(posteriors={}, looks={1: look})
    contours = show_contours(viewer, image, source, Display())

    def length() -> float:
        return float(np.linalg.norm(contours.layer._view_data[:, 1], axis=1).sum())

    full = length()
    show_place(viewer, image, (1, 1))
    assert drawn(contours).min(axis=0) == pytest.approx([3.5, 4.5], abs=0.3)
    assert 0.4 * full < length() < 0.8 * full
    assert not contours.source.data[0].any()
    show_place(viewer, image, (3, 1))
    assert not len(drawn(contours))
    contours.source.data[0] = source.looks.pop(1)
    show_place(viewer, image, (1, 1))
    assert length() == pytest.approx(full)


def test_dashes_of_the_lv_cover_those_of_the_wall(viewer, image, result) -> None:
    look = np.zeros_like(result.labels[1])
    y, x = np.mgrid[: look.shape[1], : look.shape[2]]
    radius = np.hypot(y - 9.3, x - 10.6)
    look[1] = np.where(radius < 4, 3, np.where(radius < 7, 2, 0))
    show_contours(viewer, image, SimpleNamespace(posteriors={}, looks={2: look}), Display())
    layer = find_contours(viewer, image).layer
    is_lv = (layer.edge_color[:, :3] == layer.edge_color[-1, :3]).all(axis=1)
    ends = np.hstack([layer.data[:, 0], layer.data[:, 0] + layer.data[:, 1]])
    gaps = np.linalg.norm(ends[is_lv][:, None] - ends[~is_lv], axis=-1).min(axis=1)
    assert is_lv.sum() > 3
    assert gaps.max() < 1e-6
