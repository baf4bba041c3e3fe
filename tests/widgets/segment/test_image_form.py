"""Tests of the form for image, voxel size and phases."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import FILE_NAMES, INFO_CFG
from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.examination import SeriesView, change_view, classify_series
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import CardiacPhases
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.layers import series_dialog
from napari_bayes_nnunet.widgets.layers.image_input import read_layer_phases
from napari_bayes_nnunet.widgets.layers.metadata import (
    LONG_AXES,
    WHOSE,
    bayes_metadata,
    layer_case,
    layer_patient,
    layer_phase_cases,
    layer_source,
    layer_spacing,
)
from napari_bayes_nnunet.widgets.layers.reader import read_layers
from napari_bayes_nnunet.widgets.segment.image_form import (
    ALL,
    CANNOT_JOIN,
    CHECK_SPACING,
    CONTRADICTORY_SPACING,
    CURRENT,
    ED_ES,
    JOIN,
    MANY_PHASES,
    NO_IMAGE_CHOSEN,
    NO_IMAGE_OPEN,
    OTHER_IN_FRONT,
    PHASE_COUNT,
    PHASES_FOUND,
    PHASES_FROM,
    PHASES_KNOWN,
    SERIES,
    THESE,
    TWO_SPACINGS,
    UNIT_SPACING,
    ImageForm,
)
from tests.helpers.data.dicoms import write_cine, write_plane
from tests.helpers.windows.results import put_result

from ...helpers.checks.problems import says, says_only
from ..conftest import CINE, VOLUME, image_layer, make_result, two_voxel_sizes
from ..training.test_schedule_plot import turn


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


def test_a_volume_of_a_file_needs_no_more(form, viewer, tmp_path) -> None:
    assert offered(form) == [NO_IMAGE_OPEN]
    assert not shows(form, form.phases)
    assert not shows(form, form.spacing)
    with pytest.raises(AppError, check=says(NO_IMAGE_CHOSEN)):
        form.image()
    layer = viewer.add_layer(image_layer(tmp_path))
    assert not shows(form, form.phases)
    assert not shows(form, form.spacing)
    image = form.image()
    assert image.channels[0] is layer.data
    assert image.spacing == pytest.approx((8, 1.5, 1.25))
    assert image.phases is None


def test_offered_images_follow_the_layers_of_the_viewer(form, viewer, tmp_path) -> None:
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
    assert form.layer is second
    viewer.layers.move(1, 0)
    assert form.layer is second
    viewer.layers.remove(second)
    assert form.layer is first
    viewer.layers.clear()
    assert form.layer is None
    assert changes == [first, second, first, None]


def test_the_form_follows_the_active_image(form, viewer, tmp_path) -> None:
    first, second = (viewer.add_layer(image_layer(tmp_path, name=name)) for name in "ab")
    assert form.layer is second
    viewer.layers.selection.active = first
    assert form.layer is first
    put_result(viewer, second, make_result(), shown="mutual information")
    for layer in list(viewer.layers)[2:]:
        viewer.layers.selection.active = first
        viewer.layers.selection.active = layer  # a result is that of its image
        assert form.layer is second
    viewer.layers.selection.active = None
    assert form.layer is second


def test_a_form_made_later_shows_the_active_image(viewer, tmp_path, qtbot) -> None:
    first, second = (viewer.add_layer(image_layer(tmp_path, name=name)) for name in "ab")
    late = ImageForm(viewer)
    qtbot.addWidget(late)
    assert late.layer is second
    viewer.add_labels(np.ones(VOLUME.shape, np.uint8))
    second.visible = False
    later = ImageForm(viewer)
    qtbot.addWidget(later)
    assert later.layer is first  # the labels are active; this image is in front


def test_channels_of_two_patients_are_not_mixed(form, viewer, tmp_path) -> None:
    images = [viewer.add_layer(image_layer(tmp_path, name=f"a_{n}")) for n in range(2)]
    form.set_channels(("cine", "T2"))
    assert form.layers == images
    alone = viewer.add_layer(image_layer(tmp_path, name="b_0"))
    assert form.layers == images  # the second channel is still missing
    assert form.hint.text() == OTHER_IN_FRONT.format(front="b_0", image="a_0")
    others = [alone, viewer.add_layer(image_layer(tmp_path, name="b_1"))]
    assert form.layers == others
    viewer.layers.selection.active = images[1]
    assert form.layers == images
    form.channels[0].setCurrentIndex(1)
    form.channels[1].setCurrentIndex(0)
    viewer.layers.selection.active = images[0]
    assert form.layers == images[::-1]  # as the user has put them


def test_the_title_names_image_and_phases(form, viewer, tmp_path) -> None:
    titles: list[str] = []
    form.title_changed.connect(titles.append)
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    assert titles[-1] == form.title == "heart, ED and ES"
    for choice, phases in ((ALL, "all phases"), (CURRENT, "current phase")):
        form.phases.setCurrentIndex(choice)
        assert titles[-1] == f"heart, {phases}"
    form.phases.setCurrentIndex(THESE)
    form.phase_numbers.setText("3,1")
    assert titles[-1] == "heart, phases 1, 3"
    form.phase_numbers.setText("x")
    assert titles[-1].startswith("heart, ")
    layer.name = "renamed"
    assert titles[-1].startswith("renamed, ")
    layer.metadata["bayes"][WHOSE] = PatientRecord(name="DOE^J", series="cine SAX")
    assert form.title.startswith("cine SAX, ")
    viewer.add_layer(image_layer(tmp_path, name="still"))
    assert titles[-1] == "still"
    viewer.layers.clear()
    assert titles[-1] == form.title == ""


def test_another_image_in_front_is_said(form, viewer, tmp_path) -> None:
    first, second = (viewer.add_layer(image_layer(tmp_path, name=name)) for name in "ab")
    assert form.hint.text() == ""
    viewer.layers.selection.active = first
    assert form.hint.text() == OTHER_IN_FRONT.format(front="b", image="a")
    second.visible = False
    assert form.hint.text() == ""
    second.visible = True
    viewer.layers.move(1, 0)
    assert form.hint.text() == ""


@pytest.mark.parametrize(("doubt", "sent"), [("", ""), (None, None), ("it is CT", None)])
def test_doubt_that_was_dispelled_is_not_sent(form, viewer, tmp_path, doubt, sent) -> None:
    layer = viewer.add_layer(image_layer(tmp_path))
    layer.metadata["bayes"]["doubt"] = doubt
    assert form.image().doubt == sent


def test_spacing_is_shown_for_units_of_pixels(form, viewer) -> None:
    viewer.add_image(np.ones((3, 4, 5)), scale=(6, 1.4, 1.3))
    assert shows(form, form.spacing)
    assert form.hint.text() == CHECK_SPACING
    assert form.image().spacing == pytest.approx((6, 1.4, 1.3))
    form.spacing.boxes[0].setValue(10)
    assert form.image().spacing == pytest.approx((10, 1.4, 1.3))
    viewer.layers[0].units = "mm"
    assert form.image().spacing == pytest.approx((6, 1.4, 1.3))


@pytest.mark.parametrize(
    ("spacing", "hint"),
    [
        ((8.0, 1.5, 1.5), CONTRADICTORY_SPACING.format(shape="4 × 30 × 40")),
        ((1.0, 1.0, 1.0), UNIT_SPACING),
        ((1.5, 8.0, 1.5), ""),
    ],
)
def test_wrong_voxel_size_can_be_corrected(form, viewer, tmp_path, spacing, hint) -> None:
    """The file has 4 slices along y."""
    layer = viewer.add_layer(image_layer(tmp_path, make_geometry((30, 4, 40), spacing)))
    assert shows(form, form.spacing) == bool(hint)
    assert form.hint.text() == hint
    if hint:
        form.spacing.set_value((8.0, 1.5, 1.5))
    assert form.image().spacing == pytest.approx((8, 1.5, 1.5))
    assert form.geometry().spacing == form.image().spacing
    assert form.geometry().shape == layer.data.shape == (4, 30, 40)


def test_two_voxel_sizes_are_shown_and_decided(form, viewer, tmp_path) -> None:
    layer = viewer.add_layer(image_layer(tmp_path, two_voxel_sizes()))
    assert shows(form, form.spacing)
    assert form.hint.text() == TWO_SPACINGS.format(pixdim="5 × 1.5 × 1.25")
    assert form.spacing.value() == pytest.approx((8, 1.5, 1.25))
    # Untouched, the image keeps its own spacing to the last digit, and the warning stays.
    geometry = layer.metadata["bayes"]["geometry"]
    assert form.geometry() == geometry
    assert form.image().spacing == geometry.spacing
    form.spacing.boxes[0].setValue(5)
    assert form.image().spacing == pytest.approx((5, 1.5, 1.25))
    decided = form.geometry()
    assert decided is not None
    assert decided.given_spacing == form.image().spacing
    assert decided.header == geometry.header


def test_phases_of_a_cine(form, viewer, tmp_path) -> None:
    viewer.add_layer(image_layer(tmp_path, CINE))
    assert shows(form, form.phases)
    assert not shows(form, form.phase_numbers)
    assert form.phases.itemText(ED_ES) == PHASES_FOUND
    assert form.hint.text() == PHASE_COUNT.format(count=5)
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
    with pytest.raises(AppError, check=says_only(text="8", count=5)):
        form.image()


def test_phases_of_info_cfg_are_used_and_shown(form, viewer, tmp_path) -> None:
    (tmp_path / "Info.cfg").write_text("ED: 4\nES: 2\n")
    viewer.add_layer(image_layer(tmp_path, CINE))
    assert form.phases.itemText(ED_ES) == PHASES_KNOWN.format(phases=CardiacPhases(4, 2))
    assert form.hint.text() == PHASES_FROM[INFO_CFG]
    assert form.image().phases == (4, 2)
    assert form.known_phases == CardiacPhases(4, 2)
    form.phases.setCurrentIndex(ALL)
    assert form.known_phases is None
    assert form.hint.text() == PHASE_COUNT.format(count=5)


def test_wrong_info_cfg_is_shown_and_not_used(form, viewer, tmp_path) -> None:
    (tmp_path / "Info.cfg").write_text("ED: 4\nES: 20\n")
    layer = viewer.add_layer(image_layer(tmp_path, CINE))
    with pytest.raises(DataError) as caught:
        read_layer_phases(layer)
    file = tmp_path / "Info.cfg"
    assert caught.value.values == {"file": file, "ed": 4, "es": 20}
    assert form.hint.text() == in_the_window(caught.value)
    assert form.image().phases is None


def test_ensemble_without_lv_cannot_find_ed_and_es(form, viewer, tmp_path) -> None:
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


def test_several_channels_need_as_many_layers_of_one_grid(form, viewer, tmp_path) -> None:
    first, second = (viewer.add_layer(image_layer(tmp_path, name=name)) for name in ("cine", "t2"))
    form.choose(second)
    form.set_channels(("T2", "LGE"))
    assert form.layers == [first, second]
    form.channels[0].setCurrentIndex(1)
    form.channels[1].setCurrentIndex(0)
    form.set_channels(("LGE", "T2"))
    image = form.image()
    assert image.channels[0] is second.data
    assert image.channels[1] is first.data
    form.set_channels(("cine",))
    assert len(form.channels) == 1
    assert form.layer is second
    viewer.layers.remove(first)
    viewer.add_image(np.ones((2, 3, 4)), name="small")
    form.choose(second)
    form.set_channels(("one", "two"))
    with pytest.raises(AppError, check=says_only(first="t2", second="small")):
        form.image()


def test_wheel_over_the_form_changes_nothing(form, viewer, tmp_path) -> None:
    viewer.add_layer(image_layer(tmp_path, CINE))
    second = viewer.add_layer(image_layer(tmp_path, CINE, "second"))
    for box in (form.phases, *form.channels, *form.spacing.boxes):
        assert not turn(box)
    assert form.phases.currentIndex() == ED_ES
    assert form.layer is second


def pair(viewer, folder, *, names=("p3_frame01", "p3_frame12"), second=VOLUME) -> list[Image]:
    """Open two images and return their layers."""
    layers = [
        image_layer(folder, geometry, name)
        for geometry, name in zip((VOLUME, second), names, strict=True)
    ]
    for layer in layers:
        viewer.add_layer(layer)
    return layers


def test_two_phases_are_joined_to_a_cine(form, viewer, tmp_path) -> None:
    first, second = pair(viewer, tmp_path)
    assert shows(form, form.join_button)
    assert form.join_button.title == JOIN.format(other=first.name)
    form.phases.setCurrentIndex(CURRENT)
    form.join_button.click()
    joined = form.layer
    assert (joined.name, joined.ndim, viewer.layers.selection.active) == ("p3", 4, joined)
    assert np.array_equal(joined.data, [first.data, second.data])
    assert joined.data.dtype == first.data.dtype
    assert (layer_spacing(joined), layer_case(joined)) == (VOLUME.spacing, "p3")
    assert layer_phase_cases(joined) == ("p3_frame01", "p3_frame12")
    assert layer_patient(joined).title == "p3_frame01.nii.gz + …frame12.nii.gz"
    geometry = form.geometry()
    assert (geometry.shape, geometry.frame_time) == ((2, *VOLUME.shape), None)
    assert np.array_equal(geometry.affine, VOLUME.affine)
    assert form.phases.currentText() == PHASES_FOUND
    assert form.image().phases is None
    assert [layer.visible for layer in (first, second, joined)] == [False, False, True]
    assert not layer_source(joined).exists()
    assert layer_source(joined).parent == tmp_path
    assert not shows(form, form.join_button)
    form.choose(first)
    assert not shows(form, form.join_button)  # they are joined already
    joined.data = joined.data[:1]
    assert layer_phase_cases(joined) == ()
    viewer.layers.remove(joined)
    assert shows(form, form.join_button)


@pytest.mark.parametrize(
    ("names", "second"),
    [
        (("p3_frame01", "p4_frame12"), VOLUME),
        (("one", "two"), VOLUME),
        (("p3_frame01", "p3_frame01"), VOLUME),
        (("p3_frame01", "p3_frame12"), make_geometry((2, 6, 5), VOLUME.spacing)),
        (("p3_frame01", "p3_frame12"), make_geometry(VOLUME.shape, (9.0, 1.0, 1.0))),
    ],
    ids=["patients", "names", "same phase", "shape", "spacing"],
)
def test_images_of_two_hearts_are_not_joined(form, viewer, tmp_path, names, second) -> None:
    one, other = pair(viewer, tmp_path, names=names, second=second)
    assert not shows(form, form.join_button)
    why = CANNOT_JOIN.format(other=one.name, image=other.name)
    assert (why in form.hint.text()) == (second is not VOLUME)


def test_images_of_two_folders_are_not_joined(form, viewer, tmp_path) -> None:
    """The folders may be those of two patients."""
    for name, phases in (("one", ("ED", "ES")), ("two", ("ED",))):
        (tmp_path / name).mkdir()
        for phase in phases:
            viewer.add_layer(image_layer(tmp_path / name, VOLUME, f"sax_{phase}"))
    assert not shows(form, form.join_button)
    form.choose(viewer.layers[0])
    form.join_button.click()
    viewer.add_layer(image_layer(tmp_path / "two", VOLUME, "sax_ES"))
    assert shows(form, form.join_button)  # another joined heart with this name does not matter


def test_three_phases_or_several_channels_are_not_joined(form, viewer, tmp_path) -> None:
    pair(viewer, tmp_path)
    assert shows(form, form.join_button)
    third = viewer.add_layer(image_layer(tmp_path, VOLUME, "p3_frame05"))
    assert not shows(form, form.join_button)
    assert MANY_PHASES.format(count=2, image=third.name) in form.hint.text()
    viewer.layers.remove(third)
    assert shows(form, form.join_button)
    assert MANY_PHASES.partition(".")[2] not in form.hint.text()
    form.set_channels(("cine", "T2"))
    assert not shows(form, form.join_button)


@pytest.mark.parametrize("names", [("p3_ED", "p3_ES"), ("p3_frame9", "p3_frame10")])
@pytest.mark.parametrize("opened", [1, -1])
def test_ed_and_the_earlier_frame_are_first(form, viewer, tmp_path, names, opened) -> None:
    layers = dict(zip(names[::opened], pair(viewer, tmp_path, names=names[::opened]), strict=True))
    layers[names[1]].data = layers[names[1]].data + 1
    form.join_button.click()
    assert np.array_equal(form.layer.data, [layers[name].data for name in names])
    assert layer_phase_cases(form.layer) == names


def test_ends_in_the_names_of_joined_files_are_known(form, viewer, tmp_path) -> None:
    pair(viewer, tmp_path, names=("p3_ED_frame19", "p3_ES_frame08"))
    form.join_button.click()
    assert (form.known_phases, form.phases_from) == (CardiacPhases(1, 2), FILE_NAMES)
    assert form.hint.text() == PHASES_FROM[FILE_NAMES]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [((19, 8), (CardiacPhases(2, 1), INFO_CFG)), ((1, 8), (None, ""))],
)
def test_info_cfg_names_joined_frames(form, viewer, tmp_path, ends, expected) -> None:
    (tmp_path / "Info.cfg").write_text("ED: {}\nES: {}\n".format(*ends))
    pair(viewer, tmp_path, names=("p3_frame08", "p3_frame19"))
    form.join_button.click()
    assert (form.known_phases, form.phases_from) == expected


def test_given_voxel_size_stays_when_joined(form, viewer, tmp_path) -> None:
    geometry = two_voxel_sizes()
    for name in ("p3_ED", "p3_ES"):
        viewer.add_layer(image_layer(tmp_path, geometry, name))
    form.spacing.set_value((12.0, 1.5, 1.25))
    form.join_button.click()
    assert form.image().spacing == (12.0, 1.5, 1.25)
    assert form.geometry().spacing == (12.0, 1.5, 1.25)


@pytest.mark.parametrize(("factor", "is_changed"), [(1.5, False), (0.05, True)])
def test_phases_are_seen_at_one_brightness(form, viewer, tmp_path, factor, is_changed) -> None:
    first, second = pair(viewer, tmp_path)
    second.data = (first.data * factor).astype(np.float32)
    form.join_button.click()
    expected = first.data if is_changed else second.data
    assert np.allclose(form.layer.data[1], expected, atol=0.01)


def test_long_axes_of_a_dicom_study_are_named_and_changed(
    form, viewer, tmp_path, monkeypatch
) -> None:
    write_cine(tmp_path)
    write_plane(tmp_path, 82, 0, series=20, description="4ch")
    write_plane(tmp_path, 24, 0, series=21, description="2ch")
    ((data, attributes, _),) = read_layers(tmp_path)
    layer = viewer.add_image(data, **attributes)
    assert shows(form, form.series_button)
    assert form.series_button.title == SERIES.format(kinds="4CH, 2CH")

    def ask(stacks, *, views, parent) -> list[SeriesView]:
        return change_view(views, "2CH", None)

    monkeypatch.setattr(series_dialog, "ask_for_views", ask)
    form.series_button.click()
    assert form.series_button.title == SERIES.format(kinds="4CH")
    assert [plane.kind for plane in bayes_metadata(layer)[LONG_AXES]] == ["4CH"]
    assert list(viewer.layers) == [layer]
    monkeypatch.setattr(
        series_dialog,
        "ask_for_views",
        lambda stacks, **about: classify_series(stacks, stacks[1]),
    )
    form.series_button.click()
    assert len(viewer.layers) == 2  # another short axis is another image
    assert viewer.layers[1].data.shape == (3, 1, 9, 9)
