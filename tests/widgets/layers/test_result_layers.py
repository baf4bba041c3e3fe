"""Tests of the layers of a result, in a viewer model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer
from pint import UnitRegistry, application_registry
from pint.registry import LazyRegistry
from qtpy.QtCore import QObject

from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.heart.structures import CARDIAC, structure_title
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.widgets.layers import result_layers as module
from napari_bayes_nnunet.widgets.layers.result import SegmentationResult
from napari_bayes_nnunet.widgets.layers.result_layers import (
    forget_result,
    keep_result,
    kept_result,
    kept_results,
    labels_look,
    map_colormap,
    refresh_result,
    result_layers,
    show_map,
    steps_to_put,
)
from napari_bayes_nnunet.widgets.layers.review_layers import find_layer
from napari_bayes_nnunet.widgets.layers.writer import write_labels_layer
from tests.helpers.windows.results import put_result

from ..conftest import CINE, VOLUME, grow, image_layer, make_result


@pytest.fixture
def result(tmp_path: Path) -> SegmentationResult:
    made = make_result(CINE)
    grow(made, tmp_path, phase=2)
    return made


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_labels_are_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module.warm_up()
    monkeypatch.delattr(module, "Labels")
    module.warm_up()


def test_labels_are_prepared_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def make(data: object, **_: object) -> None:
        time.sleep(0.1)
        made.append(data)

    module._make_first_labels.cache_clear()
    monkeypatch.setattr(module, "Labels", make)
    threads = [Thread(target=module.warm_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_units_are_loaded_before_the_thread_uses_them(monkeypatch, qtbot) -> None:
    done = []

    class Background(QObject):
        def run(self, work: Callable[[], None]) -> None:
            done.append(work)
            assert work is module.warm_up
            assert isinstance(application_registry.get(), UnitRegistry)

    monkeypatch.setattr(application_registry, "_registry", LazyRegistry())
    monkeypatch.setattr(module, "WARM_UP_AFTER_MS", 0)
    background = Background()
    module.LabelsWarmUp(background)
    qtbot.waitUntil(lambda: done == [module.warm_up])


def test_layers_lie_over_their_image_on_its_grid(viewer, image, result) -> None:
    put_result(viewer, image, result, shown="mutual information")
    assert names(viewer) == [
        "heart",
        "heart entropy, bit",
        "heart mutual information, bit",
        "heart prediction",
    ]
    for layer in viewer.layers:
        assert layer.scale == pytest.approx([46, 8, 1.5, 1.25])
        assert [str(unit) for unit in layer.units] == ["millisecond", *["millimeter"] * 3]
        assert layer.axis_labels == ("phase", "slice", "y", "x")
        np.testing.assert_array_equal(layer.extent.world, image.extent.world)
    assert viewer.layers.selection.active is image


def test_overlays_are_made_in_steps_of_their_own(viewer, image, result) -> None:
    made = []
    for _ in steps_to_put(viewer, image, result):
        overlays = [o for layer in viewer.layers[1:] for o in layer._overlays.values()]
        made.append((len(viewer.layers), sum(overlay.visible for overlay in overlays)))
    assert (2, 0) in made  # the map without its colour bar
    assert (3, 1) in made  # the labels without polygon and brush
    assert made[-1] == (3, 3)


def test_a_moved_image_moves_its_results_too(viewer, image, result) -> None:
    image.translate = (0, 1, 2, 3)
    put_result(viewer, image, result)
    assert viewer.layers["heart prediction"].translate == pytest.approx([0, 1, 2, 3])


def test_the_prediction_is_guarded_outlined_and_named(viewer, image, result) -> None:
    put_result(viewer, image, result)
    layer = viewer.layers["heart prediction"]
    assert isinstance(layer, Labels)
    assert not layer.editable
    assert layer.locked
    assert layer.contour > 0
    for label, structure in ((1, "RV"), (2, "MYO"), (3, "LV")):
        expected = [int(CARDIAC[structure][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert layer.get_color(label)[:3] == pytest.approx(expected, abs=0.01)
    assert layer.colormap.color_dict[0][3] == 0
    viewer.dims.set_point(0, 46)
    inside = layer.get_status(layer.data_to_world((1, 2, 8, 8)), world=True)
    assert inside["value"] == f"3; structure: {structure_title('LV')}"


def test_the_user_cannot_delete_the_prediction(viewer, image, result) -> None:
    put_result(viewer, image, result)
    viewer.layers.selection = {viewer.layers["heart prediction"]}
    viewer.layers.remove_selected()
    assert "heart prediction" in names(viewer)


@pytest.mark.parametrize(("classes", "end"), [(4, 2), (2, 1)])
def test_the_scale_of_a_map_is_fixed(viewer, image, tmp_path, classes: int, end: int) -> None:
    result = make_result(CINE, classes=classes)
    put_result(viewer, image, result, shown="mutual information")
    grow(result, tmp_path, phase=1)
    refresh_result(viewer, image, result)
    for role, limit in (("entropy", end), ("mutual information", 1)):
        layer = viewer.layers[f"heart {role}, bit"]
        assert layer.contrast_limits == [0, limit]
        assert layer.data.dtype == np.float32
        assert layer.colorbar.visible


def test_a_map_covers_more_with_its_value() -> None:
    cover = map_colormap().map(np.linspace(0, 1, 50))[:, 3]
    assert cover[0] == 0
    assert (np.diff(cover) > 0).all()
    assert cover[-1] == pytest.approx(0.5)


def test_the_anatomy_stays_under_a_map(make_napari_viewer) -> None:
    viewer = make_napari_viewer(show=True)
    blood = np.zeros(VOLUME.shape, np.uint8)
    blood[:, :8] = 255
    image = viewer.add_image(blood, scale=VOLUME.spacing, contrast_limits=(0, 255))
    result = make_result(classes=4)
    result.entropy[:] = np.clip(np.linspace(-1, 4, VOLUME.shape[-1]), 0, 2)
    put_result(viewer, image, result)
    viewer.layers["heart prediction"].visible = False
    layer = viewer.layers["heart entropy, bit"]
    layer.colorbar.visible = False
    viewer.reset_view()
    covered = viewer.screenshot(flash=False)[..., :3].astype(int)
    layer.visible = False
    bare = viewer.screenshot(flash=False)[..., :3].astype(int)
    bright, dark = (bare > 250).all(axis=-1), (bare < 5).all(axis=-1)
    change = np.abs(covered - bare).max(axis=-1)
    for part in (bright, dark):
        assert (change[part] == 0).any()
        assert 100 < change[part].max() <= 129
    x = np.nonzero(bright)[1]
    first = bright & (np.arange(bright.shape[1]) < x.min() + (x.max() - x.min()) * 0.15)
    assert (change[first] == 0).all()


def test_one_map_is_visible_at_a_time(viewer, image, result) -> None:
    put_result(viewer, image, result, shown="mutual information")
    maps = [viewer.layers[f"heart {role}, bit"] for role in ("entropy", "mutual information")]
    assert [layer.visible for layer in maps] == [False, True]
    for layer in (*maps, *maps[::-1]):
        layer.visible = True
        assert [other.visible for other in maps] == [other is layer for other in maps]
    maps[0].visible = False
    show_map(viewer, image, result, "entropy")
    assert not maps[0].visible
    show_map(viewer, image, result, "mutual information")
    show_map(viewer, image, result, "entropy")
    assert maps[0].visible


def test_layers_are_refined_in_place(viewer, image, result, tmp_path) -> None:
    put_result(viewer, image, result)
    layer = viewer.layers["heart prediction"]
    viewer.dims.set_point(0, 46)
    before = (viewer.dims.point, viewer.scene.camera.zoom, layer.contour, id(layer))
    layer.contour = 0
    seen = []
    layer.events.set_data.connect(lambda event: seen.append(layer._slice.image.view.max()))
    grow(result, tmp_path, phase=2, label=1)
    refresh_result(viewer, image, result)
    assert seen == [1]
    assert (viewer.dims.point, viewer.scene.camera.zoom, 1, id(layer)) == before
    assert layer.contour == 0  # what the user chose stays


def test_other_phases_of_a_cine_stay_empty(viewer, image, result) -> None:
    put_result(viewer, image, result)
    layer = viewer.layers["heart prediction"]
    assert layer.data.shape == CINE.shape
    assert not np.delete(layer.data, 1, axis=0).any()


def test_renamed_layers_are_found_by_their_image(viewer, image, tmp_path) -> None:
    other = viewer.add_layer(image_layer(tmp_path, CINE, "other"))
    put_result(viewer, image, make_result(CINE))
    put_result(viewer, other, make_result(CINE, case="other"))
    viewer.layers["heart prediction"].name = "mine"
    assert {layer.name for layer in result_layers(viewer, image).values()} == {
        "mine",
        "heart entropy, bit",
    }
    assert result_layers(viewer, other)["prediction"].name == "other prediction"


def test_new_result_replaces_old_and_nothing_else(viewer, image, result) -> None:
    put_result(viewer, image, result, shown="mutual information")
    painted = viewer.add_labels(np.ones(CINE.shape, np.uint8), name="heart edited")
    painted.metadata["bayes"] = {"role": "edited", "image": image.unique_id}
    unknown = viewer.add_labels(np.ones(CINE.shape, np.uint8), name="heart prediction")
    new = make_result(CINE)
    put_result(viewer, image, new)
    layers = result_layers(viewer, image)
    assert layers["prediction"].data is new.labels
    assert set(layers) == {"prediction", "entropy"}
    assert "heart mutual information, bit" not in names(viewer)
    assert painted in viewer.layers
    assert unknown in viewer.layers


def test_a_copied_prediction_stays_beside_the_new(viewer, image, result) -> None:
    put_result(viewer, image, result)
    viewer.layers.selection.active = result_layers(viewer, image)["prediction"]
    _duplicate_layer(viewer.layers)
    copied = viewer.layers[-1]
    before = copied.data
    new = make_result(CINE)
    put_result(viewer, image, new)
    assert result_layers(viewer, image)["prediction"].data is new.labels
    assert copied in viewer.layers
    assert copied.data is before


def test_a_deleted_layer_is_not_added_again(viewer, image, result, tmp_path) -> None:
    put_result(viewer, image, result)
    viewer.layers.remove("heart entropy, bit")
    grow(result, tmp_path, phase=2)
    refresh_result(viewer, image, result)
    assert names(viewer) == ["heart", "heart prediction"]


def test_no_result_is_shown_without_its_image(viewer, image, result) -> None:
    viewer.layers.remove(image)
    put_result(viewer, image, result)
    assert names(viewer) == []


def test_mutual_information_comes_and_goes(viewer, image, result) -> None:
    put_result(viewer, image, result)
    show_map(viewer, image, result, "mutual information")
    show_map(viewer, image, result, "mutual information")
    assert names(viewer).count("heart mutual information, bit") == 1
    assert names(viewer).index("heart mutual information, bit") == 2
    show_map(viewer, image, result, "entropy")
    assert "heart mutual information, bit" not in names(viewer)


def test_the_prediction_layer_can_be_saved_by_napari(viewer, tmp_path) -> None:
    image = viewer.add_layer(image_layer(tmp_path))
    result = make_result()
    grow(result, tmp_path)
    put_result(viewer, image, result)
    data, attributes, _ = viewer.layers["heart prediction"].as_layer_data_tuple()
    (saved,) = write_labels_layer(str(tmp_path / "saved.nii.gz"), data, attributes)
    assert read_labels(Path(saved)).geometry.same_grid(VOLUME)


def test_reports_are_in_the_metadata(viewer, image, result) -> None:
    put_result(viewer, image, result)
    result.finish(2, {"method": "multi"})
    refresh_result(viewer, image, result)
    about = viewer.layers["heart prediction"].metadata["bayes"]
    assert about["reports"] == {2: result.phases[2].report}
    assert about["reports"][2]["method"] == "multi"
    assert about["role"] == "prediction"
    assert about["structures"] == {"RV": 1, "MYO": 2, "LV": 3}


# Several methods


def put(viewer, image, method: str, *, label: int = 3) -> SegmentationResult:
    """Show and keep a result of ``method`` with one label everywhere in phase 2."""
    made = make_result(CINE, settings=SegmentationSettings(method=method))
    made.labels[1] = label
    keep_result(image, made)
    put_result(viewer, image, made)
    return made


def test_another_method_keeps_the_first_hidden(viewer, image) -> None:
    first, second = put(viewer, image, "multi"), put(viewer, image, "single")
    assert {layer.name: layer.visible for layer in viewer.layers} == {
        "heart": True,
        "heart entropy, bit (multi)": False,
        "heart prediction (multi)": False,
        "heart entropy, bit (single)": True,
        "heart prediction (single)": True,
    }
    assert kept_results(image) == {"multi": first, "single": second}
    assert kept_result(image) is second
    assert find_layer(viewer, image, "prediction").data is second.labels


def test_a_method_in_front_again_shows_its_layers(viewer, image) -> None:
    first = put(viewer, image, "multi")
    layers = list(result_layers(viewer, image).values())
    layers[0].visible = False  # the user's choice stays
    put(viewer, image, "single")
    keep_result(image, first)
    put_result(viewer, image, first)
    assert list(result_layers(viewer, image).values()) == layers
    assert [layer.visible for layer in layers] == [False, True]
    assert not viewer.layers["heart prediction (single)"].visible


def test_the_same_method_updates_its_layers(viewer, image) -> None:
    put(viewer, image, "multi")
    layers = result_layers(viewer, image)
    new = put(viewer, image, "multi", label=1)
    assert result_layers(viewer, image) == layers
    assert layers["prediction"].data is new.labels
    assert names(viewer) == ["heart", "heart entropy, bit", "heart prediction"]


def test_a_forgotten_method_leaves_the_other(viewer, image) -> None:
    first = put(viewer, image, "multi")
    viewer.layers["heart prediction"].name = "mine"
    put(viewer, image, "single")
    forget_result(viewer, image, "single")
    assert kept_result(image) is first
    assert names(viewer) == ["heart", "heart entropy, bit", "mine"]
    forget_result(viewer, image, "multi")
    assert kept_result(image) is None
    assert names(viewer) == ["heart"]


def test_labels_that_are_no_structures_are_seen() -> None:
    layer = Labels(np.array([[0, 1, 7, 255]], np.uint8), **labels_look({"RV": 1, "LV": 3}))
    background, structure, *others = layer.colormap.map(layer.data)[0].tolist()
    assert background[3] == 0
    assert others == [[1, 0, 0, 1]] * 2 != [structure] * 2


@pytest.mark.parametrize("next_method", ["multi", "single"])
def test_layers_kept_for_a_review_go_with_the_next_result(viewer, image, next_method) -> None:
    put(viewer, image, "multi")
    before = names(viewer)
    forget_result(viewer, image, "multi", is_reviewed=True)
    assert names(viewer) == before
    put(viewer, image, next_method)
    assert kept_results(image).keys() == {next_method}
    assert names(viewer) == before
    other = "single" if next_method == "multi" else "multi"
    put(viewer, image, other)
    assert len(names(viewer)) == 5
