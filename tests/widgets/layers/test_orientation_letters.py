"""Tests of the letters R, L, A, P, S and I at the edges of the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from napari_bayes_nnunet.io.images.geometry import Geometry
from napari_bayes_nnunet.widgets.layers.captions import FrontCaption, edge_letters
from napari_bayes_nnunet.widgets.layers.viewing import show_in_reading_orientation

from ..conftest import CINE, OBLIQUE, image_layer

LETTERS = (("P", "A"), ("S", "I"), ("R", "L"))


@pytest.mark.parametrize(
    ("displayed", "directions", "expected"),
    [
        ((1, 2), ("down", "right"), "SIRL"),
        ((1, 2), ("up", "right"), "ISRL"),
        ((1, 2), ("down", "left"), "SILR"),
        ((2, 1), ("down", "right"), "RLSI"),
        ((0, 2), ("down", "right"), "PARL"),
    ],
)
def test_letters_of_the_displayed_axes(displayed, directions, expected) -> None:
    edges = edge_letters(LETTERS, displayed, directions)
    assert "".join(edges[edge] for edge in ("top", "bottom", "left", "right")) == expected


def letters(viewer: ViewerModel) -> str:
    """Return the visible letters: top, bottom, left, right."""
    overlays = [
        viewer.canvas.overlays[f"patient_letter_{edge}"]
        for edge in ("top", "bottom", "left", "right")
    ]
    return "".join(overlay.text for overlay in overlays if overlay.visible)


@pytest.fixture
def viewer(tmp_path) -> ViewerModel:
    model = ViewerModel()
    model.add_layer(image_layer(tmp_path, CINE))
    return model


@pytest.fixture(autouse=True)
def shown(viewer) -> FrontCaption:
    return FrontCaption.shared(viewer)


def test_letters_follow_the_view(viewer) -> None:
    assert letters(viewer) == "SIRL"
    viewer.dims.order = (0, 1, 3, 2)
    assert letters(viewer) == "RLSI"
    viewer.scene.camera.orientation2d = ("up", "left")
    assert letters(viewer) == "LRIS"
    show_in_reading_orientation(viewer, viewer.layers[0])
    assert letters(viewer) == "SIRL"


def test_letters_are_hidden_in_3d_and_over_time(viewer) -> None:
    viewer.dims.ndisplay = 3
    assert letters(viewer) == ""
    viewer.dims.ndisplay = 2
    assert letters(viewer) == "SIRL"
    viewer.dims.order = (1, 2, 0, 3)
    assert letters(viewer) == ""


def test_letters_are_those_of_the_image_in_front(viewer, tmp_path) -> None:
    turned = CINE.parsed()
    turned.set_sform(OBLIQUE[:, [1, 0, 2, 3]], code=1)
    turned.set_qform(None, code=0)
    other = viewer.add_layer(image_layer(tmp_path, Geometry(turned.binaryblock)))
    assert letters(viewer) == "RLSI"
    other.visible = False
    assert letters(viewer) == "SIRL"
    viewer.layers.move(0, 2)
    other.visible = True
    assert letters(viewer) == "SIRL"
    viewer.layers.pop()
    assert letters(viewer) == "RLSI"
    other.opacity = 0
    assert letters(viewer) == ""


def test_an_image_without_orientation_has_no_letters(viewer) -> None:
    viewer.add_image(np.ones((4, 5, 6)))
    assert letters(viewer) == ""


def test_letters_stay_next_to_a_5d_layer(viewer) -> None:
    viewer.add_image(np.ones((2, 5, 4, 16, 20)))
    assert letters(viewer) == "SIRL"


def test_letters_end_with_the_last_dock(viewer, shown) -> None:
    other = FrontCaption.shared(PublicOnlyProxy(viewer))  # as napari gives it to a dock
    assert other is shown
    shown.release()
    assert letters(viewer) == "SIRL"
    viewer.dims.order = (0, 1, 3, 2)
    assert letters(viewer) == "RLSI"
    other.release()
    viewer.dims.ndisplay = 3
    assert not [key for key in viewer.canvas.overlays if key.startswith("patient_letter")]
