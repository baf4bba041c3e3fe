"""The image in front of the others."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.widgets.layers.front import (
    bring_to_front,
    image_in_front,
    is_set_aside,
    set_aside,
)
from napari_bayes_nnunet.widgets.layers.metadata import layer_case
from napari_bayes_nnunet.widgets.layers.viewing import find_orientation
from tests.helpers.windows.results import put_result

from ..conftest import OBLIQUE, VOLUME, image_layer, make_result


@pytest.fixture
def patients(viewer, tmp_path) -> tuple[Image, Image]:
    """Two images, each with its result; the second is in front."""
    images = [viewer.add_layer(image_layer(tmp_path, name=f"p{n}_ED")) for n in (1, 2)]
    for image in images:
        put_result(viewer, image, make_result(case=layer_case(image)))
    return images[0], images[1]


def shown(viewer: ViewerModel) -> set[str]:
    return {layer.name for layer in viewer.layers if layer.visible}


def group(name: str) -> set[str]:
    return {name, f"{name} entropy, bit", f"{name} prediction"}


def test_the_uppermost_visible_image_is_in_front(viewer, patients) -> None:
    first, second = patients
    assert image_in_front(viewer) is second
    second.visible = False
    assert image_in_front(viewer) is first
    viewer.canvas.grid.enabled = True
    assert image_in_front(viewer) is None


@pytest.mark.parametrize("changes", [{"opacity": 0.5}, {"blending": "additive"}])
def test_an_image_seen_through_does_not_cover(viewer, patients, changes) -> None:
    first, second = patients
    for name, value in changes.items():
        setattr(second, name, value)
    assert image_in_front(viewer) is second
    assert image_in_front(viewer, opaque=True) is first


def test_one_patient_at_a_time_is_shown(viewer, patients) -> None:
    first, second = patients
    viewer.layers["p1_ED entropy, bit"].visible = False  # by the user
    before = [layer.name for layer in viewer.layers]
    assert bring_to_front(viewer, first)
    assert shown(viewer) == group("p1_ED") - {"p1_ED entropy, bit"}
    assert bring_to_front(viewer, second)
    assert shown(viewer) == group("p2_ED")
    assert not bring_to_front(viewer, second)
    assert [layer.name for layer in viewer.layers] == before


def test_channels_and_layers_of_no_image_stay(viewer, patients) -> None:
    drawn = viewer.add_labels(np.ones(VOLUME.shape, np.uint8), name="mine")
    bring_to_front(viewer, *patients)
    assert {"p1_ED", "p2_ED", "mine"} <= shown(viewer)
    bring_to_front(viewer, patients[1])
    assert drawn.visible


def test_labels_of_a_file_go_with_their_image(viewer, patients) -> None:
    for name in ("p1_ED_gt", "p2_ED_gt", "other_gt"):
        data = np.ones(VOLUME.shape, np.uint8)
        about = {"role": "labels", "case": name}
        viewer.add_layer(Layer.create(data, {"name": name, "metadata": {"bayes": about}}, "labels"))
    bring_to_front(viewer, patients[0])
    assert shown(viewer) == group("p1_ED") | {"p1_ED_gt", "other_gt"}


def test_what_the_user_hid_alone_stays_hidden(viewer, tmp_path) -> None:
    image = viewer.add_layer(image_layer(tmp_path))
    image.visible = False
    assert not bring_to_front(viewer, image)
    assert not image.visible


def test_layers_set_aside_are_shown_with_their_image(viewer, patients) -> None:
    first, second = patients
    set_aside(viewer, first)
    assert is_set_aside(viewer, first)
    assert not is_set_aside(viewer, second)
    assert shown(viewer) == {"p1_ED"} | group("p2_ED")
    bring_to_front(viewer, first)
    assert shown(viewer) == group("p1_ED")
    assert not is_set_aside(viewer, first)
    assert is_set_aside(viewer, second)
    second.visible = True
    assert not is_set_aside(viewer, second)


def test_a_result_that_gave_way_meanwhile_stays_behind(viewer, patients) -> None:
    """The first model of another method was shown while the user looked at another image."""
    first, second = patients
    bring_to_front(viewer, first)
    entropy = viewer.layers["p1_ED entropy, bit"]
    entropy.visible = False  # by the user
    bring_to_front(viewer, second)
    results = [
        make_result(case="p1_ED", settings=SegmentationSettings(method=method))
        for method in ("multi", "vanilla")
    ]
    put_result(viewer, first, results[1])
    set_aside(viewer, first)
    bring_to_front(viewer, first)
    vanilla = {"p1_ED", "p1_ED entropy, bit (vanilla)", "p1_ED prediction (vanilla)"}
    assert shown(viewer) == vanilla
    put_result(viewer, first, results[0])
    assert shown(viewer) == {"p1_ED", "p1_ED prediction (multi)"}
    put_result(viewer, first, results[1])
    assert shown(viewer) == vanilla


def test_image_in_front_is_turned_and_on_screen(viewer, patients, tmp_path) -> None:
    stack = make_geometry((9, 20, 16), (8, 1.25, 1.5), affine=OBLIQUE[:, [1, 0, 2, 3]])
    other = viewer.add_layer(image_layer(tmp_path, stack, "turned"))
    bring_to_front(viewer, other)
    assert find_orientation(stack).transposed
    assert viewer.dims.order == (0, 2, 1)
    viewer.dims.set_point(0, 8 * 8)
    bring_to_front(viewer, patients[0])
    assert viewer.dims.order == (0, 1, 2)
    assert 0 <= patients[0].world_to_data(viewer.dims.point)[0] <= VOLUME.shape[0] - 1
