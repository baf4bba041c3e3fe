"""Slice, phase and title of the map on the canvas without a review."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.core.ensemble.maps import ENTROPY, MUTUAL_INFORMATION
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.widgets.layers.captions import (
    CAPTION_KEY,
    PHASE_TEXT,
    SLICE_TEXT,
    CanvasCaption,
    FrontCaption,
    ResultCaption,
)
from napari_bayes_nnunet.widgets.layers.front import bring_to_front
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers, show_map
from napari_bayes_nnunet.widgets.layers.viewing import show_place
from tests.helpers.windows.results import put_result

from ..conftest import CINE, image_layer, make_result


@pytest.fixture
def caption(viewer: Any, image: Any) -> Iterator[ResultCaption]:
    viewer.canvas.size = (800, 1200)
    made = ResultCaption(viewer)
    made.set_image(image)
    yield made
    made.close()


def title(caption: ResultCaption) -> str:
    return str(caption.title.text).strip()


def test_slice_and_phase_are_named(viewer, image, caption) -> None:
    caption.set_landmarks(2, 3)
    show_place(viewer, image, (2, 1))
    text = caption.text.text
    assert SLICE_TEXT.format(number=2, count=CINE.shape[1]) in text
    assert "ED" in text
    assert PHASE_TEXT.format(number=2, count=CINE.shape[0]) in text


def test_the_title_is_that_of_the_visible_map(viewer, image, caption) -> None:
    result = make_result(CINE)
    assert title(caption) == ""
    put_result(viewer, image, result)
    assert title(caption) == ENTROPY.view
    show_map(viewer, image, result, "mutual information")
    assert title(caption) == MUTUAL_INFORMATION.view
    result_layers(viewer, image)["mutual information"].visible = False
    assert title(caption) == ""
    result_layers(viewer, image)["entropy"].visible = True
    assert title(caption) == ENTROPY.view
    viewer.layers.remove(result_layers(viewer, image)["entropy"])
    assert title(caption) == ""


def test_it_gives_way_to_the_caption_of_a_review(viewer, image, caption) -> None:
    assert caption.text.visible
    assert caption.bar.visible
    put_result(viewer, image, make_result(CINE))
    assert caption.title.visible
    review = CanvasCaption(viewer, image)
    drain(review.show())
    assert review.text.visible
    assert not any(part.visible for part in (caption.text, caption.title, caption.bar))
    show_place(viewer, image, (2, 1))
    assert not caption.text.visible
    review.close()
    assert CAPTION_KEY not in viewer.canvas.overlays
    assert all(part.visible for part in (caption.text, caption.title, caption.bar))


def test_another_image_and_none(viewer, image, caption, tmp_path) -> None:
    other = image_layer(tmp_path, name="other")
    viewer.add_layer(other)
    caption.set_image(other)
    show_place(viewer, other, (None, 1))
    assert caption.text.text.strip() == SLICE_TEXT.format(number=2, count=4)
    caption.set_image(None)
    assert not any(part.visible for part in (caption.text, caption.title, caption.bar))


def test_closing_leaves_nothing(viewer, image) -> None:
    before = set(viewer.canvas.overlays)
    made = ResultCaption(viewer)
    made.set_image(image)
    made.close()
    assert set(viewer.canvas.overlays) == before
    put_result(viewer, image, make_result(CINE))
    assert set(viewer.canvas.overlays) == before


@pytest.mark.parametrize("is_first", [True, False])
def test_scale_and_zoom_survive_a_photo(viewer, image, caption, is_first) -> None:
    front = FrontCaption.shared(viewer)
    bring_to_front(viewer, image)
    viewer.layers.selection.active = image
    assert caption.bar.visible
    viewer.reset_view()
    camera = viewer.scene.camera
    zoom, center = camera.zoom, camera.center
    if is_first:
        viewer.layers.remove(image)
    photo = viewer.add_image(np.zeros((600, 800, 3), np.uint8), rgb=True)
    if is_first:
        viewer.layers.insert(0, image)
    assert not caption.bar.visible  # it would lie on the photo
    bring_to_front(viewer, image)
    assert not photo.visible
    assert caption.bar.visible
    assert (camera.zoom, camera.center) == (pytest.approx(zoom), pytest.approx(center))
    front.release()
