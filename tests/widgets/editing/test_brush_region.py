"""Hatching of the voxels that a limited brush may change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.core.editing.outlines import hatch_lines
from napari_bayes_nnunet.widgets.editing.brush_region import PAINTING
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.result_layers import remove_layers
from napari_bayes_nnunet.widgets.review.controller import PAINTS

from ...helpers.data.cines import ED, MYO, RV, WORST
from ...helpers.windows.reviewing import Review, paint

LIMIT = 0.3


def hatching(review: Review) -> Any:
    """Return the layer, or None."""
    roles = {bayes_metadata(layer).get("role"): layer for layer in review.viewer.layers}
    return roles.get("brush region")


def is_shown(review: Review) -> bool:
    layer = hatching(review)
    return layer is not None and layer.visible


def hatched(review: Review) -> np.ndarray:
    """Return the starts (y, x) of the lines."""
    return np.asarray(hatching(review).data[:, 0, -2:])


def starts_of(mask: np.ndarray) -> np.ndarray:
    return np.array([start for start, _ in hatch_lines(mask)])


@pytest.fixture
def limited(review) -> Review:
    """Return a review with a limited brush."""
    review.forms.corrections.brush_limited.emit(LIMIT)
    review.layer.mode = "paint"
    return review


def test_the_voxels_that_are_painted_are_hatched(limited, qtbot) -> None:
    entropy = limited.session.entropy_in(WORST)
    np.testing.assert_array_equal(hatched(limited), starts_of(entropy > LIMIT))
    before = limited.now()
    limited.layer.brush_size = 90
    paint(limited.layer, WORST, 18, 20, RV, qtbot)
    assert np.array_equal(limited.now() == RV, (before == RV) | (entropy > LIMIT))


def test_only_a_limited_painting_tool_is_hatched(limited) -> None:
    for mode in PAINTING:
        limited.layer.mode = mode
        assert is_shown(limited)
    limited.layer.mode = "pan_zoom"
    assert not is_shown(limited)
    limited.layer.mode = "fill"
    limited.viewer.layers.selection.active = limited.controller.picture.image
    assert not is_shown(limited)
    limited.viewer.layers.selection.active = limited.layer
    limited.forms.corrections.brush_limited.emit(None)
    assert not is_shown(limited)


def test_the_hatching_follows_slice_and_structures(limited) -> None:
    session, place = limited.session, (ED, 0)
    limited.controller.picture.show_slice(place)
    uncertain = session.entropy_in(place) > LIMIT
    np.testing.assert_array_equal(hatched(limited), starts_of(uncertain))
    assert (hatching(limited).data[:, 0, 1] == 0).all()
    limited.forms.corrections.locks.protection_toggled.emit("MYO", True)
    free = uncertain & (limited.now(place) != MYO)
    np.testing.assert_array_equal(hatched(limited), starts_of(free))
    assert 0 < free.sum() < uncertain.sum()
    limited.layer.selected_label = MYO  # which is finished, so nothing can be painted
    assert len(hatched(limited)) == 0
    limited.layer.mode = "erase"
    np.testing.assert_array_equal(hatched(limited), starts_of(free))
    limited.layer.mode = "paint"
    limited.layer.selected_label = 9
    assert len(hatched(limited)) == 0
    assert {*limited.said} == {PAINTS.format(tool="brush"), PAINTS.format(tool="eraser")}


def test_a_deleted_hatching_comes_back_until_closing(limited) -> None:
    remove_layers(limited.viewer, hatching(limited))
    limited.layer.mode = "erase"
    assert is_shown(limited)
    limited.controller.close()
    assert hatching(limited) is None
    limited.viewer.layers.selection.active = None
