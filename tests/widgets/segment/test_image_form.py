"""Choosing the image, its spacing and phases."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.io.images.nifti import CardiacPhases
from napari_bayes_nnunet.widgets.segment.image_form import (
    ALL,
    CURRENT,
    ED_ES,
    NO_IMAGE_OPEN,
    THESE,
    ImageForm,
)

from ..conftest import CINE, VOLUME, image_layer


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def form(viewer, qtbot) -> ImageForm:
    made = ImageForm(viewer)
    qtbot.addWidget(made)
    return made


def offered(form: ImageForm, channel: int = 0) -> list[str]:
    combo = form.channels[channel]
    return [combo.itemText(i) for i in range(combo.count())]


def shows(form: ImageForm, widget) -> bool:
    return widget.isVisibleTo(form)


def test_without_an_image_it_says_what_is_needed(form) -> None:
    assert offered(form) == [NO_IMAGE_OPEN]
    assert not shows(form, form.phases)
    assert not shows(form, form.spacing)
    with pytest.raises(AppError, match="Open a 3D image or a 4D cine, then choose its layer"):
        form.image()


def test_it_offers_images_that_come_go_and_change_name(form, viewer, tmp_path) -> None:
    changes: list[object] = []
    form.image_changed.connect(changes.append)
    first = viewer.add_layer(image_layer(tmp_path))
    second = viewer.add_layer(image_layer(tmp_path, CINE, "cine"))
    viewer.add_labels(np.ones(VOLUME.shape, np.uint8))
    viewer.add_image(np.ones((5, 5, 3)), rgb=True)
    viewer.add_image(np.ones((5, 5)))
    assert offered(form) == ["heart", "cine"]
    first.name = "renamed"
    assert offered(form) == ["renamed", "cine"]
    form.choose(second)
    viewer.layers.move(1, 0)
    assert form.layer is second
    viewer.layers.remove(second)
    assert form.layer is first
    viewer.layers.clear()
    assert form.layer is None
    assert changes == [first, second, first, None]


def test_a_volume_of_a_file_needs_no_more(form, viewer, tmp_path) -> None:
    layer = viewer.add_layer(image_layer(tmp_path))
    assert not shows(form, form.phases)
    assert not shows(form, form.spacing)
    image = form.image()
    assert image.channels[0] is layer.data
    assert image.spacing == pytest.approx((8, 1.5, 1.25))
    assert image.phases is None


def test_where_units_are_pixels_the_spacing_is_asked_for(form, viewer) -> None:
    viewer.add_image(np.ones((3, 4, 5)), scale=(6, 1.4, 1.3))
    assert shows(form, form.spacing)
    assert form.hint.text() == "The layer does not say its voxel size in mm: please check it."
    assert form.image().spacing == pytest.approx((6, 1.4, 1.3))
    form.spacing.boxes[0].setValue(10)
    assert form.image().spacing == pytest.approx((10, 1.4, 1.3))
    viewer.layers[0].units = "mm"
    assert form.image().spacing == pytest.approx((6, 1.4, 1.3))


def test_phases_of_a_cine(form, viewer, tmp_path) -> None:
    viewer.add_layer(image_layer(tmp_path, CINE))
    assert shows(form, form.phases)
    assert not shows(form, form.phase_numbers)
    assert form.phases.itemText(ED_ES) == "ED and ES (found automatically)"
    assert form.hint.text() == "5 phases along the first axis."
    assert form.image().phases is None
    form.phases.setCurrentIndex(ALL)
    assert form.image().phases == (1, 2, 3, 4, 5)
    form.phases.setCurrentIndex(CURRENT)
    viewer.dims.set_point(0, 46 * 3)
    assert form.image().phases == (4,)
    form.phases.setCurrentIndex(THESE)
    assert shows(form, form.phase_numbers)
    form.phase_numbers.setText("1, 3")
    assert form.image().phases == (1, 3)
    form.phase_numbers.setText("1,8")
    with pytest.raises(AppError) as error:
        form.image()
    assert error.value.values == {"text": "8", "count": 5}


def test_phases_of_an_info_cfg_are_used_and_said(form, viewer, tmp_path) -> None:
    (tmp_path / "Info.cfg").write_text("ED: 4\nES: 2\n")
    viewer.add_layer(image_layer(tmp_path, CINE))
    assert form.phases.itemText(ED_ES) == "ED and ES (phases 4 and 2)"
    assert form.hint.text() == "ED and ES are those of the Info.cfg beside the image."
    assert form.image().phases == (4, 2)
    assert form.known_phases == CardiacPhases(4, 2)
    form.phases.setCurrentIndex(ALL)
    assert form.known_phases is None
    assert form.hint.text() == "5 phases along the first axis."


def test_a_wrong_info_cfg_is_said_and_not_used(form, viewer, tmp_path) -> None:
    (tmp_path / "Info.cfg").write_text("ED: 4\nES: 20\n")
    viewer.add_layer(image_layer(tmp_path, CINE))
    assert "names phases 4 and 20, but the image has 5" in form.hint.text()
    assert form.image().phases is None


def test_an_ensemble_without_lv_cannot_find_ed_and_es(form, viewer, tmp_path) -> None:
    viewer.add_layer(image_layer(tmp_path, CINE))
    form.set_finds_phases("It knows no LV.")
    item = form.phases.model().item(ED_ES)
    assert not item.isEnabled()
    assert item.toolTip() == "It knows no LV."
    assert form.phases.currentIndex() == ALL
    (tmp_path / "Info.cfg").write_text("ED: 4\nES: 2\n")
    form.choose(viewer.add_layer(image_layer(tmp_path, CINE, "other")))
    assert item.isEnabled()
    form.set_finds_phases("")
    assert item.toolTip() == ""


def test_an_ensemble_of_several_channels_asks_for_as_many_layers(form, viewer, tmp_path) -> None:
    first, second = (viewer.add_layer(image_layer(tmp_path, name=name)) for name in ("cine", "t2"))
    form.choose(second)
    form.set_channels(("T2", "LGE"))
    assert form.layer is second
    assert [combo.currentText() for combo in form.channels] == ["t2", "t2"]
    form.channels[1].setCurrentIndex(0)
    image = form.image()
    assert image.channels[0] is second.data
    assert image.channels[1] is first.data
    form.set_channels(("cine",))
    assert len(form.channels) == 1
    assert form.layer is second


def test_channels_of_different_grids_are_refused(form, viewer, tmp_path) -> None:
    viewer.add_layer(image_layer(tmp_path))
    viewer.add_image(np.ones((2, 3, 4)), name="small")
    form.set_channels(("one", "two"))
    with pytest.raises(AppError) as error:
        form.image()
    assert error.value.values == {
        "first": "heart",
        "first_shape": (4, 16, 20),
        "second": "small",
        "second_shape": (2, 3, 4),
    }
