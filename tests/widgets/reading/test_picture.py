"""Tests of the layers of a study in a viewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.common.settings import Display
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata, layer_spacing
from napari_bayes_nnunet.widgets.layers.reader import get_reader
from napari_bayes_nnunet.widgets.layers.result import SegmentationResult
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.layers.review_layers import CLOSED_UNSAVED, find_layer
from napari_bayes_nnunet.widgets.layers.structure_contours import NEAREST, SMOOTH
from napari_bayes_nnunet.widgets.reading.picture import (
    COPY_IS_NOT_SAVED,
    LAYERS_STAY,
    MISSING_IMAGE,
    NO_GRID,
    OpenedStudy,
    ReviewPicture,
)
from napari_bayes_nnunet.widgets.review.open_study import open_study
from tests.helpers.windows.results import put_result

from ...helpers.data.cines import CINE, ED, ES, LV, SHAPE, SPACING, WORST, image_of, make_cine
from ...helpers.windows.settling import settle


@pytest.fixture
def make_picture(viewer, folder) -> Callable[..., ReviewPicture]:
    made: list[ReviewPicture] = []

    def make(opened: OpenedStudy | None = None) -> ReviewPicture:
        made.append(ReviewPicture(viewer, opened or open_study(folder)))
        drain(made[-1].show())
        made[-1].edited.editable = True
        return made[-1]

    yield make
    for picture in made:
        if not picture._is_closing:
            picture.close()


def layers_of(path: Path) -> list[Layer]:
    reader = get_reader(str(path))
    assert reader is not None
    return [
        layer if isinstance(layer, Layer) else Layer.create(*layer) for layer in reader(str(path))
    ]


def images(viewer: ViewerModel) -> list[Image]:
    return [layer for layer in viewer.layers if bayes_metadata(layer).get("role") == "image"]


def test_only_contours_lie_above_the_active_labels(viewer, make_picture) -> None:
    picture = make_picture()
    contours = find_layer(viewer, picture.image, "contours")
    assert [*viewer.layers][-2:] == [picture.edited, contours]
    assert viewer.layers.selection.active is picture.edited
    assert picture.edited.data is picture._session.labels
    shown = [layer for layer in viewer.layers if layer.visible]
    assert shown == [picture.image, picture.edited, contours]
    assert not result_layers(viewer, picture.image)["prediction"].editable


def test_all_layers_lie_on_grid_of_image(viewer, make_picture) -> None:
    picture = make_picture()
    picture.add_map("mutual information")
    assert len({tuple(layer.scale) for layer in viewer.layers}) == 1
    assert len({tuple(map(str, layer.units)) for layer in viewer.layers}) == 1


def test_a_study_opens_in_2d(viewer, tmp_path, make_picture) -> None:
    viewer.add_labels(np.zeros((3, 5, 5), np.uint8))
    viewer.dims.ndisplay, viewer.mouse_over_canvas = 3, True
    assert make_picture().shows_slices


def test_deleted_contours_come_back_with_a_switch(viewer, make_picture) -> None:
    picture = make_picture()
    viewer.layers.remove(find_layer(viewer, picture.image, "contours"))
    picture.set_display(Display(fill=True))
    assert find_layer(viewer, picture.image, "contours").visible


def test_going_to_a_slice_is_signalled_once(viewer, make_picture, qtbot) -> None:
    picture, told = make_picture(), []
    picture.moved.connect(told.append)
    center, zoom = viewer.scene.camera.center, viewer.scene.camera.zoom
    picture.go_to(WORST)
    picture.go_to(WORST)
    settle(qtbot, picture)
    assert told == [WORST]
    assert picture.place == WORST
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom) == (center, zoom)
    viewer.dims.set_current_step((0, 1), (ES - 1, 0))
    qtbot.waitUntil(lambda: told == [WORST, (ES, 0)])


def test_going_to_a_slice_activates_the_edited_labels(viewer, make_picture) -> None:
    picture = make_picture()
    viewer.layers.selection.active = picture.image
    picture.go_to(WORST)
    assert viewer.layers.selection.active is picture.edited


def test_an_open_image_is_reused(viewer, folder, make_picture) -> None:
    (image,) = (viewer.add_layer(layer) for layer in layers_of(image_of(folder)))
    assert make_picture().image is image
    assert images(viewer) == [image]


def test_an_image_opened_by_a_relative_path_is_reused(
    viewer, folder, make_picture, monkeypatch
) -> None:
    monkeypatch.chdir(folder.parent)
    (image,) = (viewer.add_layer(layer) for layer in layers_of(Path(image_of(folder).name)))
    assert make_picture().image is image


def test_a_reused_image_takes_the_corrected_voxel_size(viewer, tmp_path, make_picture) -> None:
    corrected = replace(CINE, given_spacing=(9.0, 3.0, 2.5))
    folder = make_cine(tmp_path / "heart", geometry=corrected)
    (image,) = (viewer.add_layer(layer) for layer in layers_of(image_of(folder)))
    put_result(viewer, image, SegmentationResult.from_study(read_study(folder)))
    viewer.add_image(image.data, name="other", scale=image.scale, units=image.units)
    picture = make_picture(open_study(folder))
    assert picture.image is image
    assert picture.edited.brush_size == round(8 / 2.75)
    assert layer_spacing(image) == (9.0, 3.0, 2.5)
    others = {layer.name: tuple(layer.scale) for layer in viewer.layers}
    assert others.pop("other") == (46, *SPACING)
    assert {*others.values()} == {(46, 9.0, 3.0, 2.5)}


def test_the_image_of_a_dropped_study_is_reused(viewer, folder, make_picture) -> None:
    for layer in layers_of(folder):
        viewer.add_layer(layer)
    picture = make_picture()
    assert len(images(viewer)) == 1
    names = [layer.name for layer in viewer.layers]
    assert len(names) == len(set(names)) == 5
    assert picture.edited.editable


def test_a_changed_image_is_not_reused(viewer, folder, make_picture) -> None:
    file = image_of(folder)
    (image,) = (viewer.add_layer(layer) for layer in layers_of(file))
    file.write_bytes(file.read_bytes() + b"more")
    opened = open_study(folder)
    assert opened.image is None
    assert make_picture(opened).image is not image


def test_an_image_without_file_is_compared_by_voxels(viewer, folder, make_picture) -> None:
    own = image_of(folder).read_bytes()
    text = (folder / "study.json").read_text()
    start = text.index('"image": {')
    end = text.index("}", start) + 1
    (folder / "study.json").write_text(f'{text[:start]}"image": null{text[end:]}')
    (folder / "image.nii.gz").write_bytes(own)
    opened = open_study(folder)
    different = viewer.add_image(opened.image.voxels + 1, name="other")
    same = viewer.add_image(opened.image.voxels.copy(), name="from a script")
    assert make_picture(opened).image is same is not different
    assert tuple(same.scale) == (1, *SPACING)
    assert [str(unit) for unit in same.units] == ["pixel", *["millimeter"] * 3]


def test_without_the_image_the_labels_lie_on_black(viewer, folder, make_picture) -> None:
    image_of(folder).unlink()
    picture = make_picture(open_study(folder))
    assert picture.image.name == f"heart ({MISSING_IMAGE})"
    assert not np.asarray(picture.image.data).any()
    picture.go_to(WORST)
    assert picture.place == WORST
    picture.leave(saved=True)
    assert list(viewer.layers) == []


def test_an_image_without_a_position_can_be_reviewed(viewer, tmp_path, make_picture) -> None:
    folder = make_cine(tmp_path / "still", geometry=make_geometry((4, *SHAPE), SPACING))
    picture = make_picture(open_study(folder))
    picture.go_to((ES, 2))
    assert picture.place == (ES, 2)
    picture.centre_on(3, 4)


def test_phases_that_were_not_segmented_can_be_shown(make_picture) -> None:
    picture = make_picture()
    picture.go_to((2, 3))
    assert picture.place == (2, 3)
    assert not picture._session.labels_in((2, 3)).any()


def test_a_volume_has_slices_only(viewer, tmp_path, make_picture) -> None:
    picture = make_picture(open_study(make_cine(tmp_path / "still", phases=(None,))))
    picture.go_to((None, 2))
    assert picture.place == (None, 2)


def test_the_place_is_correct_next_to_5d_layers(viewer, make_picture) -> None:
    picture = make_picture()
    viewer.add_image(np.zeros((2, 3, 4, 40, 48)))
    picture.go_to(WORST)
    assert picture.place == WORST


def test_centring_keeps_the_zoom(viewer, make_picture) -> None:
    picture = make_picture()
    picture.go_to(WORST)
    zoom = viewer.scene.camera.zoom
    picture.centre_on(10, 20)
    shown = [picture.image.data_to_world((0, 0, 10, 20))[a] for a in viewer.dims.displayed]
    assert tuple(viewer.scene.camera.center)[-2:] == pytest.approx(shown)
    assert viewer.scene.camera.zoom == zoom


def test_fill_contours_and_image_are_switched(viewer, make_picture) -> None:
    picture = make_picture()
    contours = find_layer(viewer, picture.image, "contours")
    assert (picture.edited.contour, picture.edited.opacity, contours.visible) == (0, 0, True)
    assert str(picture.image.interpolation2d) == SMOOTH
    picture.set_display(Display(fill=True, contours=False, smooth=False))
    assert 0 < picture.edited.opacity < 1
    assert not contours.visible
    assert str(picture.image.interpolation2d) == NEAREST
    picture.set_display(Display())
    assert (picture.edited.opacity, contours.visible) == (0, True)


def test_the_brush_paints_the_chosen_structure(make_picture) -> None:
    picture = make_picture()
    picture.set_structure(LV)
    assert picture.edited.selected_label == LV


def test_a_map_is_added_hidden_and_only_once(viewer, make_picture) -> None:
    picture = make_picture()
    picture.add_map("mutual information")
    picture.add_map("mutual information")
    layer = result_layers(viewer, picture.image)["mutual information"]
    assert not layer.visible
    assert len(viewer.layers) == 6
    viewer.layers.remove(result_layers(viewer, picture.image)["entropy"])
    prediction = result_layers(viewer, picture.image)["prediction"]
    viewer.layers.remove(prediction)
    picture.add_map("entropy")
    assert not result_layers(viewer, picture.image)["entropy"].visible
    assert not result_layers(viewer, picture.image)["prediction"].visible


@pytest.mark.parametrize(
    ("layer", "name"), [("edited", "edited labels"), ("image", "voxels of the image")]
)
def test_a_removed_layer_is_signalled_once(viewer, make_picture, layer: str, name: str) -> None:
    picture, told = make_picture(), []
    picture.lost.connect(told.append)
    viewer.layers.remove(getattr(picture, layer))
    assert told == [name]
    viewer.layers.clear()
    assert told == [name]


def test_a_renamed_layer_is_recognised(viewer, make_picture) -> None:
    picture, told = make_picture(), []
    picture.lost.connect(told.append)
    for layer in viewer.layers:
        layer.name = f"my {layer.name}"
    picture.go_to(WORST)
    picture.add_map("mutual information")
    assert len(viewer.layers) == 6
    assert told == []


@pytest.mark.parametrize("saved", [True, False])
def test_only_saved_labels_leave_with_their_image(viewer, make_picture, saved: bool) -> None:
    picture = make_picture()
    viewer.layers.remove(picture.image)
    picture.leave(saved=saved)
    assert (picture.edited in viewer.layers) is not saved


@pytest.mark.parametrize("saved", [True, False])
def test_only_unsaved_labels_stay_after_closing(viewer, make_picture, qtbot, saved) -> None:
    picture, told = make_picture(), []
    picture.lost.connect(told.append)
    picture.moved.connect(told.append)
    picture.leave(saved=saved)
    assert (picture.edited in viewer.layers) is not saved
    if not saved:
        assert picture.edited.visible
        assert not picture.edited.editable
        assert picture.edited.name == f"heart edited ({CLOSED_UNSAVED})"
    results = result_layers(viewer, picture.image)
    assert bool(results) is not saved
    assert not any(layer.visible for layer in results.values())
    viewer.dims.set_current_step(0, 2)
    settle(qtbot, picture)
    assert told == []


def test_heart_fits_a_resized_canvas_until_the_camera_moves(viewer, make_picture) -> None:
    viewer.canvas.size = (600, 800)
    picture = make_picture()
    picture.zoom_to_heart()
    camera, first = viewer.scene.camera, viewer.scene.camera.zoom
    viewer.canvas.size = (300, 400)  # the docks take their places
    assert camera.zoom == pytest.approx(first / 2)
    camera.zoom = moved = 3 * first
    viewer.canvas.size = (600, 800)
    assert camera.zoom == moved
    picture.zoom_to_heart()
    picture.close()
    viewer.canvas.size = (300, 400)
    assert camera.zoom == pytest.approx(first)


def test_zooming_shows_the_whole_heart(viewer, make_picture) -> None:
    picture = make_picture()
    picture.go_to((ED, 1))
    before = viewer.scene.camera.zoom
    picture.zoom_to_heart()
    first = viewer.scene.camera.zoom
    picture.go_to((ED, 3))  # the apex: the zoom is that of the whole heart
    picture.zoom_to_heart()
    assert viewer.scene.camera.zoom == first
    assert first != before


def test_without_their_image_the_labels_go(viewer, make_picture) -> None:
    picture = make_picture()
    viewer.layers.remove(picture.image)
    picture.leave(saved=True)
    assert picture.edited not in viewer.layers
    assert not [layer for layer in viewer.layers if layer.visible]


def test_study_is_opened_in_front_of_other_images(viewer, make_picture) -> None:
    other = viewer.add_image(np.ones((4, 40, 48)), name="other")
    picture = make_picture()
    picture.come_to_front()
    assert not other.visible
    assert picture.image.visible


def test_grid_is_off_during_a_review(viewer, make_picture) -> None:
    viewer.canvas.grid.enabled = True
    picture = make_picture()
    said: list[str] = []
    picture.said.connect(said.append)
    assert not viewer.canvas.grid.enabled
    viewer.canvas.grid.enabled = True
    assert not viewer.canvas.grid.enabled
    assert said == [NO_GRID]
    picture.close()
    viewer.canvas.grid.enabled = True
    assert viewer.canvas.grid.enabled


@pytest.mark.parametrize("name", ["image", "edited", "contours"])
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("translate", [0, 8, 5, 0]),
        ("scale", [1, 8, 1, 1]),
        ("affine", np.diag([1, 1, 1, -1, 1])),
    ],
)
def test_moved_layers_are_put_back(viewer, make_picture, name, attribute, value) -> None:
    picture = make_picture()
    said: list[str] = []
    picture.said.connect(said.append)
    contours = find_layer(viewer, picture.image, "contours")
    layer = contours if name == "contours" else getattr(picture, name)
    before = np.array(getattr(layer, attribute))
    layer.mode = "transform"
    setattr(layer, attribute, value)
    assert np.allclose(np.array(getattr(layer, attribute)), before)
    assert (said, layer.mode) == ([LAYERS_STAY], "pan_zoom")


def test_hidden_layers_are_revealed(viewer, make_picture) -> None:
    picture = make_picture()
    contours = find_layer(viewer, picture.image, "contours")
    assert not picture.reveal()
    for layer, name, hidden, shown in (
        (picture.image, "visible", False, True),
        (picture.edited, "visible", False, True),
        (contours, "visible", False, True),
        (contours, "opacity", 0.0, 1.0),
        (picture.edited, "show_selected_label", True, False),
    ):
        setattr(layer, name, hidden)
        assert picture.reveal()
        assert getattr(layer, name) == shown
    picture.set_display(Display(contours=False, fill=True))
    assert not picture.reveal()
    viewer.layers.remove(contours)
    picture.edited.opacity = 0
    assert picture.reveal()
    assert picture.edited.opacity == 1


def test_copied_labels_are_reported_as_unsaved(viewer, make_picture) -> None:
    picture = make_picture()
    said: list[str] = []
    picture.said.connect(said.append)
    copy = Layer.create(*picture.edited.as_layer_data_tuple())
    viewer.add_layer(copy)
    assert said == [COPY_IS_NOT_SAVED.format(layer=copy.name)]
