"""Tests of the Segment dock in a real viewer, with a fake child."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image
from napari.plugins import _npe2
from napari.qt import get_stylesheet
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, QRect, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QDockWidget,
    QFileDialog,
    QLabel,
    QMessageBox,
    QScrollArea,
)

from napari_bayes_nnunet.app.prediction.output_files import FOUND_BY_VOLUME, INFO_CFG, IS_IMAGE
from napari_bayes_nnunet.app.segmentation.methods import METHODS
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.ensemble.maps import MUTUAL_INFORMATION, VARIANCE
from napari_bayes_nnunet.core.heart.long_axis import LongAxis
from napari_bayes_nnunet.io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.info import is_study, read_study_info
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import OTHER_FILES, read_study
from napari_bayes_nnunet.widgets.cohort.dialog import FROM_THE_DOCK
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.common.levels import level_color
from napari_bayes_nnunet.widgets.common.process import NEW_PROCESS, SUBJECT
from napari_bayes_nnunet.widgets.common.settings import Display
from napari_bayes_nnunet.widgets.layers.front import bring_to_front
from napari_bayes_nnunet.widgets.layers.metadata import LONG_AXES
from napari_bayes_nnunet.widgets.layers.result_layers import kept_result
from napari_bayes_nnunet.widgets.layers.review_layers import (
    UNDER_REVIEW,
    edited_layer,
    show_as_closed,
)
from napari_bayes_nnunet.widgets.layers.structure_contours import NEAREST, find_contours
from napari_bayes_nnunet.widgets.layers.viewing import current_phase
from napari_bayes_nnunet.widgets.reading.key_numbers import KEY_NUMBERS
from napari_bayes_nnunet.widgets.reading.numbers import PREDICTION_TITLE
from napari_bayes_nnunet.widgets.segment import dock as segment_dock
from napari_bayes_nnunet.widgets.segment import ensemble_form
from napari_bayes_nnunet.widgets.segment.dock import (
    CANNOT_FIND_PHASES,
    CHOOSE_TO_SEE,
    FILES_SAVED,
    IMAGE_REMOVED,
    IN_REVIEW,
    MAKING_STUDY,
    NO_ENSEMBLE,
    NO_USABLE_MEMBER,
    PHASES_BY_VOLUME,
    PREDICTION_REMOVED,
    REPLACE_FILES,
    RESULT_KEPT,
    REVIEW_DOCK,
    STILL_LOOKING,
    STOP_WITHIN_MS,
    STOPPED_AFTER,
)
from napari_bayes_nnunet.widgets.segment.image_form import NO_IMAGE_CHOSEN, OTHER_IN_FRONT
from napari_bayes_nnunet.widgets.segment.run_form import A_FOLDER, SEGMENT_IMAGE, SEGMENTING_IMAGE
from napari_bayes_nnunet.widgets.segment.save import (
    BEGUN_STUDY,
    NEW_STUDY,
    NO_POSITION,
    NOTHING_DONE,
    PACKAGE,
)
from tests.helpers.windows.drops import drop

from ...helpers import HELPERS
from ...helpers.data.studies import make_study
from ...helpers.windows.cohort_docks import fake_predict, make_images
from ...helpers.windows.settling import settle
from ...helpers.windows.window_time import computing_at_a_stretch
from ..common.test_inference_child import is_alive
from ..conftest import CINE, VOLUME, begin, choose, image_layer, make_folder, run

WITH_TEXT = (QAbstractButton, QLabel)


def names(dock) -> list[str]:
    return [layer.name for layer in dock._viewer.layers]


def wait_until(condition, qtbot) -> None:
    qtbot.waitUntil(condition)


# Opening


def test_it_fits_a_laptop_whatever_it_shows(make_dock, tmp_path, qtbot) -> None:
    name = "a_very_long_name_of_an_image_that_another_reader_has_given_it.tif"
    dock = make_dock(Image(np.ones((4, 8, 8)), name=name), window=True)
    for seed in (1, 2):
        make_folder(tmp_path / "deep" / f"seed{seed}", channels=("bSSFP cine", "T2 weighted"))
    choose(dock, tmp_path / "deep", qtbot)
    dock.run.show_messages("x" * 30, "word " * 15)
    settle(qtbot, dock)
    area = dock.findChild(QScrollArea)
    room = area.viewport().width() - area.verticalScrollBar().sizeHint().width()
    assert 320 <= DOCK_WIDTH <= 360
    assert dock.minimumSizeHint().width() <= DOCK_WIDTH
    assert area.widget().minimumSizeHint().width() <= min(room, DOCK_WIDTH - 15)
    dock.image.choose(dock._viewer.add_layer(image_layer(tmp_path, CINE)))
    dock.image.phases.setCurrentIndex(3)
    settle(qtbot, dock)
    assert area.widget().minimumSizeHint().width() <= min(room, DOCK_WIDTH - 15)
    assert dock.minimumSizeHint().height() < 300


def test_no_control_moves_from_choosing_to_the_result(
    make_dock, ensemble_folder, tmp_path, qtbot
) -> None:
    dock = make_dock(image_layer(tmp_path, CINE))
    dock.resize(DOCK_WIDTH, 560)
    dock.setStyleSheet(get_stylesheet("dark", extra_variables={"font_size": "12pt"}))
    dock.show()
    run, form = dock.run, dock.ensemble
    buttons = run.segment_button, run.stop_button, run.review_button, run.folder_button
    boxes = form.folders, dock.display.fill, run.map_boxes[MUTUAL_INFORMATION]
    controls = (*buttons, *boxes, dock.details.toggleButton())

    def places() -> list[QRect]:
        settle(qtbot, dock)
        return [QRect(part.mapTo(dock, QPoint()), part.size()) for part in controls]

    before = places()
    choose(dock, ensemble_folder, qtbot)
    assert places() == before
    begin(dock, qtbot)
    assert places() == before
    wait_until(lambda: not dock.is_running, qtbot)
    run.add_message("A sentence. " * 40)
    assert places() == before
    assert run.results.isVisible()


def test_the_child_starts_with_the_dock(make_dock, qtbot) -> None:
    dock = make_dock(process=True)
    assert dock.child.pid is None
    dock.show()
    wait_until(lambda: len(dock.method.device.editor) == 4, qtbot)
    assert dock.method.device.editor.native.itemText(1).startswith("cuda:0: Fake GPU")


def test_a_found_folder_is_opened_by_the_child(ready, qtbot) -> None:
    dock = ready(flags=["--refuses", "other shapes"])
    wait_until(lambda: len(dock.ensemble.folder.usable_members) == 2, qtbot)
    refused = [member.refused for member in dock.ensemble.folder.members if not member.usable]
    assert refused == ["other shapes"]
    assert dock.method.members.editor.max == 2


# Missing choices


def test_what_is_missing_is_named_until_it_is_there(
    make_dock, ensemble_folder, tmp_path, qtbot
) -> None:
    dock = make_dock()
    dock.segment()
    assert dock.run.status.text() == NO_IMAGE_CHOSEN
    dock._viewer.add_layer(image_layer(tmp_path))
    assert dock.run.status.text() == ""
    button = dock.run.segment_button
    assert (button.isEnabled(), button.toolTip()) == (False, NO_ENSEMBLE)
    choose(dock, ensemble_folder, qtbot)
    assert button.isEnabled()
    assert button.toolTip() not in ("", NO_ENSEMBLE)
    with qtbot.waitSignal(dock.ensemble.found):
        dock.ensemble.choose(make_folder(tmp_path / "broken", epochs=(), damaged=True))
    reason = NO_USABLE_MEMBER.format(ensemble=dock.ensemble.folder.name)
    assert (button.isEnabled(), button.toolTip()) == (False, reason)
    dock.segment()
    assert dock.run.status.text() == reason
    assert not dock.is_running


def test_an_ensemble_without_lv_cannot_find_phases(make_dock, tmp_path, qtbot) -> None:
    dock = make_dock(image_layer(tmp_path, CINE))
    folder = make_folder(tmp_path / "tumours", labels={"background": 0, "tumour": 1})
    choose(dock, folder, qtbot)
    assert dock.image.phases.model().item(0).toolTip() == CANNOT_FIND_PHASES


def test_a_failure_is_shown_without_layers(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--fails", "The image is empty."])
    assert run(dock, qtbot) == "The image is empty."
    assert names(dock) == ["heart"]
    assert dock.run.segment_button.isEnabled()


def test_notices_of_the_child_are_shown(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--notice", "Memory was short."])
    assert run(dock, qtbot).splitlines()[0] == "Memory was short."


# Two patients


def two_patients(ready, tmp_path, **options):
    """Return a dock with the images a and b, b in front and active."""
    return ready(*(image_layer(tmp_path, name=name) for name in "ab"), **options)


def visible(dock) -> set[str]:
    return {layer.name for layer in dock._viewer.layers if layer.visible}


def test_the_image_opened_last_is_segmented(ready, tmp_path, qtbot) -> None:
    dock = two_patients(ready, tmp_path)
    assert dock.run.segment_button.title == SEGMENT_IMAGE.format(title="b")
    run(dock, qtbot)
    assert visible(dock) == {"b", "b entropy, bit", "b prediction", "b contours"}
    dock._viewer.layers.selection.active = dock._viewer.layers["a"]
    assert dock.run.segment_button.title == SEGMENT_IMAGE.format(title="a")
    assert visible(dock) == {"a"}
    assert not dock.run.save_button.isEnabled()
    run(dock, qtbot)
    assert visible(dock) == {"a", "a entropy, bit", "a prediction", "a contours"}
    dock._viewer.layers.selection.active = dock._viewer.layers["b"]  # was hidden by the dock
    assert visible(dock) == {"b", "b entropy, bit", "b prediction", "b contours"}


def test_the_chosen_image_is_brought_to_the_front(ready, tmp_path, qtbot) -> None:
    dock = two_patients(ready, tmp_path)
    assert visible(dock) == {"b"}
    dock.image.channels[0].setCurrentIndex(0)
    dock.image.channels[0].activated.emit(0)
    assert visible(dock) == {"a"}
    assert dock._viewer.layers.selection.active.name == "a"
    dock._viewer.layers["b"].visible = True  # by hand
    assert dock.image.hint.text() == OTHER_IN_FRONT.format(front="b", image="a")
    begin(dock, qtbot)
    assert visible(dock) == {"a", "a entropy, bit", "a prediction", "a contours"}
    assert dock.image.hint.text() == ""


def test_a_run_keeps_its_image(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path, CINE, "a"), flags=["--seconds", 0.2])
    dock.run.segment_button.click()
    dock._viewer.add_layer(image_layer(tmp_path, name="b"))
    point = dock._viewer.dims.point
    assert dock.image.layer.name == "b"
    assert dock.run.segment_button.title == SEGMENTING_IMAGE.format(title="a, ED and ES")
    wait_until(lambda: not dock.is_running, qtbot)
    assert visible(dock) == {"b"}
    assert dock._viewer.dims.point == point
    *_, finished, place = dock.run.status.text().splitlines()[:3]
    assert finished.startswith("a: ")
    assert place == CHOOSE_TO_SEE.format(image="a")
    assert dock.run.segment_button.title == SEGMENT_IMAGE.format(title="b")
    assert not dock.run.save_button.isEnabled()
    dock._viewer.layers.selection.active = dock._viewer.layers["a"]
    assert visible(dock) == {"a", "a entropy, bit", "a prediction", "a contours"}
    assert dock.run.save_button.isEnabled()


def test_result_waits_while_another_image_is_reviewed(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path, name="a"), flags=["--seconds", 0.2])
    dock.run.segment_button.click()
    image = dock.image.layer
    other = dock._viewer.add_layer(image_layer(tmp_path, name="b"))
    dock.image.choose(image)
    edited = edited_layer(other, np.zeros(VOLUME.shape, np.uint8), {"LV": 1}, None)
    edited.metadata["bayes"][UNDER_REVIEW] = True
    dock._viewer.add_layer(edited)
    bring_to_front(dock._viewer, other)  # as its review does
    wait_until(lambda: not dock.is_running, qtbot)
    assert visible(dock) == {"b", "b edited"}
    dock.image.choose(image)
    dock.image.channels[0].activated.emit(0)
    assert visible(dock) == {"a", "a entropy, bit", "a prediction", "a contours"}


def test_numbers_are_those_of_the_reviewed_image(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path, name="a"))
    run(dock, qtbot)
    image, numbers = dock.image.layer, dock.run.results
    other = dock._viewer.add_layer(image_layer(tmp_path, name="b"))
    dock._viewer.layers.selection.active = image
    edited = edited_layer(other, np.zeros(VOLUME.shape, np.uint8), {"LV": 1}, None)
    edited.metadata["bayes"][UNDER_REVIEW] = True
    assert numbers.blocks
    dock._viewer.add_layer(edited)
    dock._viewer.layers.selection.active = edited
    assert dock.image.layer is other
    assert (dict(numbers.blocks), dock.run.status.text()) == ({}, "")
    dock._viewer.layers.selection.active = image  # which is not in front
    assert dock.image.layer is image
    assert (dict(numbers.blocks), dock.run.status.text()) == ({}, "")
    dock._viewer.layers.remove(edited)
    assert list(numbers.blocks) == ["multi"]


# Pressed too early


@pytest.fixture
def slow(monkeypatch) -> threading.Event:
    """An event; an ensemble is found only once it is set."""
    may_finish = threading.Event()

    def find(path: Path) -> EnsembleFolder:
        may_finish.wait(10)
        return find_ensemble(path)

    monkeypatch.setattr(ensemble_form, "find_ensemble", find)
    return may_finish


def test_segment_waits_for_the_search_of_the_ensemble(
    make_dock, ensemble_folder, slow, tmp_path, qtbot
) -> None:
    dock = make_dock(image_layer(tmp_path))
    button = dock.run.segment_button
    dock.ensemble.choose(ensemble_folder)
    assert (button.isEnabled(), button.toolTip()) == (False, STILL_LOOKING)
    (tmp_path / "empty").mkdir()
    dock.ensemble.choose(tmp_path / "empty")
    slow.set()
    wait_until(lambda: button.toolTip() == NO_ENSEMBLE, qtbot)
    assert dock.ensemble.problems.text() != ""
    choose(dock, ensemble_folder, qtbot)
    assert button.isEnabled()


# Details and numbers


def press(button, qtbot) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_details_and_ensemble_stay_from_start_to_start(ready, make_dock, tmp_path, qtbot) -> None:
    dock = ready()
    dock.show()
    assert not dock.ensemble.table.isVisible()
    assert not dock.method.native.isVisible()
    press(dock.details.toggleButton(), qtbot)
    assert dock.ensemble.table.isVisible()
    assert dock.method.native.isVisible()
    again = make_dock()
    again.show()
    wait_until(lambda: again.ensemble.folder is not None, qtbot)
    assert again.ensemble.path == dock.ensemble.path
    assert again.ensemble.table.isVisible()


def test_unusual_options_stand_beside_the_button_as_a_warning(ready, qtbot) -> None:
    dock = ready()
    dock.show()
    assert not dock.chosen_options.isVisible()
    dock.method.mirroring.value = "none"
    text = dock.chosen_options.text()
    assert dock.method.settings.options in text
    assert METHODS[dock.method.settings.method].title in text
    assert dock.method.settings.method not in text.split(", ")
    shown = dock.chosen_options
    assert level_color("warning", shown) in shown.styleSheet()
    button = dock.run.segment_button
    assert 0 < button.mapTo(dock, QPoint()).y() - shown.mapTo(dock, QPoint()).y() < 100
    for _ in range(2):
        assert shown.isVisible()
        press(dock.details.toggleButton(), qtbot)
    dock.method.mirroring.value = "full"
    assert not shown.isVisible()


def test_results_of_two_methods_stay_side_by_side(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path))
    run(dock, qtbot)
    dock.method.method.value = "vanilla"
    run(dock, qtbot)
    assert set(dock.run.results.blocks) == {"multi", "vanilla"}
    shown = {
        "heart",
        "heart entropy, bit (vanilla)",
        "heart prediction (vanilla)",
        "heart contours",
    }
    assert visible(dock) == shown
    multi = dock.run.results.blocks["multi"]
    multi.show_button.click()
    assert visible(dock) == {name.replace("vanilla", "multi") for name in shown}
    assert dock.result.settings.method == "multi"
    contours = find_contours(dock._viewer, dock.image.layer)
    assert contours.source.data is dock.result.labels
    multi.remove_button.click()
    assert set(dock.run.results.blocks) == {"vanilla"}
    assert dock.result.settings.method == "vanilla"
    assert visible(dock) == {name.replace(" (vanilla)", "") for name in shown}


# Segmenting


def test_a_volume_is_segmented_measured_saved_and_segmented_again(
    ready, tmp_path, qtbot, asked
) -> None:
    dock = ready(image_layer(tmp_path))
    dock.show()
    results = dock.run.results
    assert not results.isVisible()
    (finished,) = run(dock, qtbot).splitlines()
    assert finished.startswith("Finished in ")
    assert dock.run.warnings.text() == "Look twice."
    assert names(dock) == ["heart", "heart entropy, bit", "heart prediction", "heart contours"]
    prediction, entropy = dock._viewer.layers[2].data, dock._viewer.layers[1].data
    assert prediction[1:3, 4:12, 5:15].min() == 1
    assert entropy.max() == 1
    assert len(dock.result.phases[None].report["members"]) == 3
    # The numbers are those of a prediction
    assert results.isVisible()
    assert not results.kind.isHidden()
    texts = {label.text() for label in results.findChildren(QLabel)}
    assert PREDICTION_TITLE in texts
    assert "Now" not in texts
    assert "prediction" in dock.run.save_button.toolTip()
    block = results.blocks["multi"]
    assert not block.head.isVisible()
    numbers = dock.result.numbers().measured
    assert set(block.numbers.table.lines) == set(numbers) & set(KEY_NUMBERS) != set()
    assert save(dock, qtbot) == FILES_SAVED.format(count=3, folder=asked)
    labels = read_labels(asked / "heart.nii.gz")
    assert labels.geometry.same_grid(VOLUME)
    np.testing.assert_array_equal(labels.voxels, dock.result.labels)
    # Once more: what was painted stays
    dock._viewer.add_labels(np.ones(VOLUME.shape, np.uint8), name="heart edited")
    layers, first = list(dock._viewer.layers), dock.result
    dock.method.members.value = 2
    run(dock, qtbot)
    assert list(dock._viewer.layers) == layers
    assert dock.result is not first
    assert layers[2].data is dock.result.labels
    # A copy of the image has no result
    image = layers[0]
    dock._viewer.add_image(image.data, name="copy", metadata=image.metadata, scale=image.scale)
    assert dock.image.layer.name == "copy"
    assert dock.result is None
    assert not results.isVisible()


def test_the_first_member_is_shown_before_the_last(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.3])
    begin(dock, qtbot)
    assert dock.is_running
    layer = dock._viewer.layers["heart entropy, bit"]
    assert layer.data.max() == pytest.approx(1 / 3)
    assert "1 of 3, 4 s" in dock.run.progress.text.text()
    wait_until(lambda: not dock.is_running, qtbot)
    assert dock._viewer.layers["heart entropy, bit"] is layer
    assert layer.data.max() == 1


def test_a_cine_is_shown_at_ed_or_at_a_phase_that_was_chosen(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path, CINE))
    viewer = dock._viewer
    viewer.dims.set_point((0, 1), (0, 0))
    expected = PHASES_BY_VOLUME.format(ed=5, es=2, source=FOUND_BY_VOLUME)
    assert run(dock, qtbot).splitlines()[0] == expected
    prediction = viewer.layers["heart prediction"]
    assert prediction.data.shape == CINE.shape
    assert [bool(frame.any()) for frame in prediction.data] == [False, True, False, False, True]
    assert current_phase(viewer, viewer.layers["heart"]) == 5
    assert viewer.layers["heart"].world_to_data(viewer.dims.point)[1] == 2
    viewer.dims.set_point((0, 1), (46 * 2, 8))
    dock.image.phases.setCurrentIndex(2)
    run(dock, qtbot)
    assert list(dock.result.phases) == [5, 2, 3]
    assert viewer.dims.point[:2] == (46 * 2, 8)


def test_phases_of_the_info_cfg(ready, tmp_path, qtbot) -> None:
    (tmp_path / "Info.cfg").write_text("ED: 4\nES: 2\n")
    dock = ready(image_layer(tmp_path, CINE))
    run(dock, qtbot)
    assert list(dock.result.phases) == [4, 2]
    assert dock.result.phases_from == INFO_CFG


def test_phases_add_up_while_settings_and_ensemble_stay(ready, ensemble_folder, tmp_path, qtbot):
    dock = ready(image_layer(tmp_path, CINE))
    dock.image.phases.setCurrentIndex(3)

    def segmented(phase: str) -> list[int]:
        dock.image.phase_numbers.setText(phase)
        run(dock, qtbot)
        layer = dock._viewer.layers["heart prediction"]
        return [number for number, frame in enumerate(layer.data, 1) if frame.any()]

    assert [segmented("1"), segmented("3")] == [[1], [1, 3]]
    dock.method.members.value = 1
    assert segmented("3") == [3]
    assert len(names(dock)) == 4
    file = next(ensemble_folder.rglob("plans.json"))
    written = json.loads(file.read_text())
    written["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    file.write_text(json.dumps(written))
    with qtbot.waitSignal(dock.ensemble.found):
        dock.ensemble.choose(ensemble_folder)
    dock.method.members.value = 1
    assert segmented("1") == [1]
    assert list(dock.result.phases) == [1]


def test_the_spacing_typed_in_is_used(ready, qtbot) -> None:
    dock = ready(Image(np.ones((4, 8, 8)), name="pixels"))
    dock.image.spacing.set_value((9, 2, 3))
    run(dock, qtbot)
    assert dock.result.phases[None].report["spacing"] == [9, 2, 3]
    assert dock._viewer.layers["pixels prediction"].units == dock._viewer.layers[0].units


def test_several_channels_are_sent_together(make_dock, tmp_path, qtbot) -> None:
    dock = make_dock(image_layer(tmp_path, name="cine"), image_layer(tmp_path, name="t2"))
    choose(dock, make_folder(tmp_path / "ensemble", channels=("cine", "T2")), qtbot)
    assert [combo.currentText() for combo in dock.image.channels] == ["cine", "t2"]
    run(dock, qtbot)
    assert dock.result.phases[None].report["shape"] == [2, *VOLUME.shape]
    assert "cine prediction" in names(dock)


def test_phases_of_other_channels_are_not_mixed(make_dock, tmp_path, qtbot) -> None:
    dock = make_dock(*(image_layer(tmp_path, CINE, name) for name in ("cine", "t2", "late")))
    choose(dock, make_folder(tmp_path / "ensemble", channels=("cine", "T2")), qtbot)
    dock.image.choose(dock._viewer.layers["cine"])
    dock.image.phases.setCurrentIndex(3)
    for channel, phases in (("t2", "1"), ("t2", "2"), ("late", "3")):
        dock.image.channels[1].setCurrentText(channel)
        dock.image.phase_numbers.setText(phases)
        run(dock, qtbot)
    assert list(dock.result.phases) == [3]


def test_a_lazy_image_does_not_block_the_window(ready, qtbot) -> None:
    computing, beats = threading.Event(), threading.Semaphore(0)
    beaten: list[bool] = []

    def slow(block: np.ndarray) -> np.ndarray:
        computing.set()
        beaten.extend(beats.acquire(timeout=10) for _ in range(5))
        return block

    volume = da.ones((4, 8, 8), chunks=(4, 8, 8)).map_blocks(slow, meta=np.ones(()))
    dock = ready(Image(volume, name="lazy", contrast_limits=(0, 1), visible=False))
    timer = QTimer()
    timer.timeout.connect(lambda: beats.release() if computing.is_set() else None)
    timer.start(10)
    assert not computing.is_set()
    run(dock, qtbot)
    timer.stop()
    assert beaten == [True] * 5
    assert "lazy prediction" in names(dock)


# Stopping, crashing, closing


def test_stop_keeps_the_result_so_far_but_it_cannot_be_reviewed(
    ready, tmp_path, qtbot, review, no_dialog
) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 60])
    begin(dock, qtbot)
    pid = dock.child.pid
    assert not dock.run.review_button.isEnabled()
    with qtbot.waitSignal(dock.ended) as ended:
        dock.run.stop_button.click()
    expected = STOPPED_AFTER.format(phases="", members="1 of 3 members")
    assert ended.args == ["stopped", expected]
    assert dock.run.status.text() == expected
    assert dock._viewer.layers["heart prediction"].data.any()
    assert (dock.result.phases[None].done, dock.result.posteriors) == (1, {})
    assert not dock.run.stop_button.isEnabled()
    assert dock.child.pid == pid
    dock.result.source = None  # no needless question for a folder
    assert review_of(dock, qtbot) == NOTHING_DONE
    assert not (tmp_path / "heart_study").exists()


def test_a_child_that_does_not_answer_is_replaced(ready, tmp_path, qtbot) -> None:
    assert STOP_WITHIN_MS < 1000
    dock = ready(image_layer(tmp_path), flags=["--hangs-at", 2])
    begin(dock, qtbot)
    pid = dock.child.pid
    with qtbot.waitSignal(dock.ended):
        dock.run.stop_button.click()
    assert dock.child.pid not in (None, pid)
    assert dock.result.labels.any()
    begin(dock, qtbot)


def test_a_killed_child_is_reported_and_replaced(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.5], process=True)
    begin(dock, qtbot)
    pid = dock.child.pid
    with qtbot.waitSignal(dock.ended) as ended:
        os.kill(pid, signal.SIGKILL)
    assert ended.args[0] == "failed"
    assert dock.run.status.text().startswith(SUBJECT)
    assert dock.run.status.text().endswith(f"{NEW_PROCESS} {RESULT_KEPT}")
    assert "heart prediction" in names(dock)
    assert run(dock, qtbot).startswith("Finished")
    assert dock.child.pid != pid
    os.kill(dock.child.pid, signal.SIGKILL)  # between two segmentations
    wait_until(lambda: SUBJECT in dock.run.status.text(), qtbot)


def test_the_dock_in_a_window_from_its_first_run_to_its_end(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.2], window=True)
    viewer = dock._viewer
    check_letters(viewer)
    # A tab in front does not end the run
    begin(dock, qtbot)
    dock.hide()
    assert dock.is_running
    wait_until(lambda: not dock.is_running, qtbot)
    assert dock.run.status.text().startswith("Finished")
    dock.show()
    # Outlines and entropy are drawn
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    rv = np.array([0x56, 0xB4, 0xE9])
    assert (np.abs(picture - rv).sum(axis=-1) < 30).sum() > 100
    red_over_blue = picture[..., 0] - picture[..., 2]
    assert (red_over_blue > 40).sum() > 100
    # The cross of the dock ends the run and the child; both can be started again
    begin(dock, qtbot)
    assert not dock.run.save_button.isEnabled()
    pid, frame = dock.child.pid, dock.parent()
    assert isinstance(frame, QDockWidget)
    frame.close()
    assert not is_alive(pid)
    assert not dock.is_running
    assert dock.run.segment_button.isEnabled()
    frame.show()
    wait_until(lambda: dock.child.pid not in (None, pid), qtbot)
    assert run(dock, qtbot).startswith("Finished")
    # The viewer stays when the dock is removed
    pid = dock.child.pid
    viewer.window.remove_dock_widget(frame)
    assert not is_alive(pid)
    assert not [key for key in viewer.canvas.overlays if "patient_letter" in key]
    viewer.add_image(np.ones((3, 4, 5)))
    viewer.layers.clear()
    dock.deleteLater()


def check_letters(viewer) -> None:
    """Check that letters of the patient are drawn at all four edges of the canvas."""
    letters = [
        viewer.canvas.overlays[key] for key in viewer.canvas.overlays if "patient_letter" in key
    ]
    with_letters = viewer.screenshot(canvas_only=True, flash=False)
    shown = [letter.visible for letter in letters]
    for letter in letters:
        letter.visible = False
    changed = viewer.screenshot(canvas_only=True, flash=False) != with_letters
    for letter, is_shown in zip(letters, shown, strict=True):
        letter.visible = is_shown
    height, width = with_letters.shape[:2]
    places = np.argwhere(changed.any(axis=-1)) / (height, width)
    assert (places.min(axis=0) < 0.1).all()
    assert (places.max(axis=0) > 0.9).all()


@pytest.mark.parametrize("ends", [True, False])
def test_a_dock_opened_again_finds_the_result(ready, make_dock, tmp_path, qtbot, ends) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.0 if ends else 60], process=True)
    begin(dock, qtbot)
    if ends:
        wait_until(lambda: not dock.is_running, qtbot)
    result, pid = kept_result(dock._viewer.layers["heart"]), dock.child.pid
    dock._on_taken_out()  # what the cross of the dock leads to
    assert not dock.is_running
    assert not is_alive(pid)
    again = make_dock(viewer=dock._viewer)
    assert again.result is result
    assert again.result.labels.any()
    assert again.run.save_button.isEnabled()
    stopped = "" if ends else STOPPED_AFTER.format(phases="", members="1 of 3 members")
    assert again.run.status.text() == stopped
    assert again.run.warnings.text() == ("Look twice." if ends else "")


def test_closing_window_ends_child_and_folder(tmp_path) -> None:
    """In a process of its own: only there Qt really destroys the window."""
    script = (
        "import sys, pathlib, napari\n"
        "from qtpy.QtCore import QTimer\n"
        "from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget\n"
        "from napari_bayes_nnunet.widgets.common.process import InferenceChild\n"
        "from napari_bayes_nnunet.widgets.common.settings import Settings\n"
        "viewer = napari.Viewer()\n"
        "command, cohort = [[sys.executable, script] for script in sys.argv[3:]]\n"
        "dock = SegmentWidget(viewer, child=InferenceChild(command),"
        " cohort_command=[*cohort, '--seconds', '60'],"
        " settings=Settings(pathlib.Path(sys.argv[1])))\n"
        "viewer.window.add_dock_widget(dock, name='Segment')\n"
        "def told(message):\n"
        "    if message.kind == 'studies':\n"
        "        print(dock.child.pid, dock.cohort.pid, dock.child.scratch, flush=True)\n"
        "        QTimer.singleShot(0, viewer.close)\n"
        "def found(_):\n"
        "    dock.run.folder_button.click()\n"
        "    dock.cohort_window.form.images.choose(pathlib.Path(sys.argv[2]))\n"
        "    dock.cohort.message_received.connect(told)\n"
        "    dock.cohort_window.start()\n"
        "dock.ensemble.found.connect(found)\n"
        "dock.ensemble.choose_demo()\n"
        "napari.run()\n"
    )
    fakes = [str(HELPERS / "processes" / name) for name in ("fake_child.py", "fake_predict.py")]
    arguments = [str(tmp_path / "settings.json"), str(make_images(tmp_path / "images")), *fakes]
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pid, cohort, scratch = done.stdout.split()
    assert not is_alive(int(pid))
    assert not is_alive(int(cohort))
    assert not Path(scratch).exists()


def test_layers_can_be_removed_while_they_are_refined(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.1])
    layers = dock._viewer.layers
    begin(dock, qtbot)
    layers.remove("heart entropy, bit")
    wait_until(lambda: not dock.is_running, qtbot)
    assert names(dock) == ["heart", "heart prediction", "heart contours"]
    begin(dock, qtbot)
    layers.remove("heart prediction")
    wait_until(lambda: not dock.is_running, qtbot)
    assert PREDICTION_REMOVED in dock.run.status.text().splitlines()
    assert PREDICTION_REMOVED not in run(dock, qtbot).splitlines()
    assert "heart prediction" in names(dock)
    begin(dock, qtbot)
    with qtbot.waitSignal(dock.ended):
        layers.remove("heart")
    assert dock.run.status.text().startswith(IMAGE_REMOVED)
    assert CHOOSE_TO_SEE.format(image="heart") not in dock.run.status.text()
    settle(qtbot)
    assert names(dock) == []
    layers.append(image_layer(tmp_path))
    begin(dock, qtbot)
    layers.clear()  # what napari does first when it closes
    wait_until(lambda: not dock.is_running, qtbot)
    assert names(dock) == []


def test_late_read_of_another_image_is_not_shown(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path))
    dock.run.segment_button.click()
    first = dock._job
    wait_until(lambda: not dock.is_running, qtbot)
    other = dock._viewer.add_layer(image_layer(tmp_path, name="other"))
    dock.image.choose(other)
    dock.run.segment_button.click()
    dock._show_grown(first, None)
    dock.turns.finish()
    assert kept_result(other) is not first.result
    wait_until(lambda: not dock.is_running, qtbot)
    assert kept_result(other).case == "other"


def test_ensemble_and_image_change_during_run(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.2])
    begin(dock, qtbot)
    dock.image.choose(dock._viewer.add_layer(image_layer(tmp_path, name="other")))
    choose(dock, make_folder(tmp_path / "b", labels={"background": 0, "LV": 1}), qtbot)
    wait_until(lambda: not dock.is_running, qtbot)
    assert "other prediction" not in names(dock)
    assert dock.result is None
    assert not dock.run.save_button.isEnabled()
    dock.image.choose(dock._viewer.layers["heart"])
    assert dict(dock.result.structures) == {"RV": 1, "MYO": 2, "LV": 3}
    assert dock.result.labels.any()
    assert dock.run.save_button.isEnabled()


# The view


def test_oblique_stacks_are_turned_and_have_letters(make_dock, tmp_path, qtbot) -> None:
    affine = VOLUME.affine[:, [1, 0, 2, 3]]
    stack = make_geometry((4, 20, 16), (8, 1.25, 1.5), affine=affine)
    dock = make_dock(image_layer(tmp_path, stack))
    viewer = dock._viewer
    assert viewer.dims.order == (0, 2, 1)
    overlays = viewer.canvas.overlays
    edges = [overlays[f"patient_letter_{edge}"] for edge in ("top", "bottom", "left", "right")]
    assert [edge.text for edge in edges] == ["S", "I", "R", "L"]
    assert all(edge.visible for edge in edges)
    viewer.dims.order = (0, 1, 2)
    other = viewer.add_image(np.ones((3, 4, 5)))
    dock.image.choose(other)
    assert not any(edge.visible for edge in edges)
    dock.image.choose(viewer.layers[0])
    assert viewer.dims.order == (0, 2, 1)


def test_a_choice_in_another_dock_counts(make_dock, settings, qtbot) -> None:
    dock = make_dock()
    settings.keep(display=Display(smooth=False))  # while this dock is behind the other
    image = dock._viewer.add_image(np.ones((3, 8, 8)))
    assert image.interpolation2d == NEAREST
    assert not dock.display.smooth.isChecked()


def test_mutual_information_can_be_shown_any_time(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path))
    dock.run.map_boxes[MUTUAL_INFORMATION].setChecked(True)
    run(dock, qtbot)
    assert "heart mutual information, bit" in names(dock)
    assert dock._viewer.layers["heart mutual information, bit"].data.max() == 0.5
    dock.run.map_boxes[MUTUAL_INFORMATION].setChecked(False)
    assert "heart mutual information, bit" not in names(dock)
    dock.run.map_boxes[MUTUAL_INFORMATION].setChecked(True)
    assert "heart mutual information, bit" in names(dock)
    dock.run.map_boxes[VARIANCE].setChecked(True)
    assert "heart mutual information, bit" not in names(dock)
    assert dock._viewer.layers["heart variance"].data.max() == 0.25
    assert dock._viewer.layers["heart variance"].visible
    assert not dock._viewer.layers["heart entropy, bit"].visible


def test_a_review_keeps_its_layers_until_it_is_closed(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path))
    run(dock, qtbot)
    image, result = dock.image.layer, dock.result
    edited = edited_layer(image, result.labels.copy(), result.structures, None)
    edited.metadata["bayes"][UNDER_REVIEW] = True
    dock._viewer.add_layer(edited)
    before = names(dock)
    dock.run.map_boxes[MUTUAL_INFORMATION].setChecked(True)
    dock.method.method.value = "vanilla"
    run(dock, qtbot)
    dock.image.channels[0].activated.emit(0)
    assert names(dock) == before
    show_as_closed(edited)
    dock.image.channels[0].activated.emit(0)
    assert dock._viewer.layers["heart prediction (vanilla)"].data is dock.result.labels
    assert not edited.visible
    edited.visible = True
    dock.image.channels[0].activated.emit(0)
    assert edited.visible


def test_results_hidden_by_a_closed_review_are_shown_again(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path))
    run(dock, qtbot)
    image, result = dock.image.layer, dock.result
    for layer in dock._viewer.layers[1:3]:
        layer.visible = False  # as the review does
    edited = edited_layer(image, result.labels.copy(), result.structures, None)
    dock._viewer.add_layer(edited)
    show_as_closed(edited)
    dock.method.method.value = "vanilla"
    run(dock, qtbot)
    shown = {
        "heart",
        "heart entropy, bit (multi)",
        "heart prediction (multi)",
        "heart contours",
    }
    dock.run.results.blocks["multi"].show_button.click()
    assert visible(dock) == shown
    for name in shown - {"heart", "heart contours"}:
        dock._viewer.layers[name].visible = False
    dock.run.results.blocks["vanilla"].show_button.click()
    dock.run.results.blocks["vanilla"].remove_button.click()
    assert visible(dock) == {name.replace(" (multi)", "") for name in shown}


# Saving


@pytest.fixture
def asked(monkeypatch, tmp_path) -> Path:
    """The folder chosen in the dialog."""
    folder = tmp_path / "out"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(folder))
    return folder


def save(dock, qtbot) -> str:
    dock.run.save_button.click()
    wait_until(lambda: not dock.run.status.text().startswith("Saving"), qtbot)
    return dock.run.status.text()


def test_a_result_does_not_change_while_it_is_saved(
    ready, tmp_path, qtbot, asked, monkeypatch
) -> None:
    dock, may_go_on = ready(image_layer(tmp_path)), threading.Event()
    run(dock, qtbot)
    write = segment_dock.save_result

    def write_slowly(*arguments, **options):
        assert may_go_on.wait(20)
        return write(*arguments, **options)

    monkeypatch.setattr(segment_dock, "save_result", write_slowly)
    dock.run.save_button.click()
    dock.run.segment_button.click()
    assert not dock.is_running
    assert dock.run.status.text() == segment_dock.STILL_WRITING
    may_go_on.set()
    wait_until(lambda: dock.run.status.text().startswith("Saved 3 files"), qtbot)
    run(dock, qtbot)


def test_nothing_is_proposed_inside_the_installation(ready, tmp_path, qtbot, monkeypatch) -> None:
    dock = ready(image_layer(tmp_path))
    run(dock, qtbot)
    starts: list[Path] = []
    answers = ["", "", "", str(tmp_path / "out"), ""]

    def ask(*asked: object) -> str:
        starts.append(Path(str(asked[2])))
        return answers.pop(0)

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", ask)
    dock.run.save_button.click()
    dock.result.source = PACKAGE / "sample_data" / "cine.nii.gz"
    dock.run.save_button.click()
    dock.run.review_button.click()
    assert starts == [tmp_path, Path.home(), Path.home()]
    dock.run.save_button.click()
    wait_until(lambda: (tmp_path / "out" / "heart.json").is_file(), qtbot)
    dock.run.save_button.click()
    assert starts[3:] == [Path.home(), tmp_path / "out"]
    assert dock._settings.kept.save_folder == str(tmp_path / "out")  # for the next start


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_files_are_replaced_only_when_user_says_so(
    ready, tmp_path, qtbot, asked, monkeypatch, answer
) -> None:
    asked.mkdir()
    (asked / "heart.json").write_text("old")
    questions: list[str] = []

    def question(parent, title, text):
        questions.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QMessageBox, "question", question)
    dock = ready(image_layer(tmp_path))
    run(dock, qtbot)
    save(dock, qtbot)
    assert questions == [REPLACE_FILES.format(folder=asked, names="heart.json")]
    assert ((asked / "heart.json").read_text() == "old") is (answer == "No")


def test_an_image_of_another_kind_is_segmented_if_the_user_says_so(
    ready, tmp_path, qtbot, monkeypatch
) -> None:
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    layer = image_layer(tmp_path)
    layer.metadata["bayes"]["doubt"] = "its modality is CT"
    dock = ready(layer)
    dock.run.segment_button.click()
    assert (dock.is_running, dock.result) == (False, None)
    run(dock, qtbot)
    assert (dock.result is None, answers) == (False, [])
    run(dock, qtbot)  # is not asked again


def test_saving_is_refused_without_geometry_and_over_image(
    ready, tmp_path, qtbot, monkeypatch
) -> None:
    dock = ready(Image(np.ones((4, 8, 8)), name="pixels"))
    run(dock, qtbot)
    assert save(dock, qtbot) == NO_POSITION.format(case="pixels")
    dock.image.choose(dock._viewer.add_layer(image_layer(tmp_path)))
    run(dock, qtbot)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(tmp_path))
    assert save(dock, qtbot).startswith(IS_IMAGE.format(image=tmp_path / "heart.nii.gz"))


# Reviewing


class FakeReview:
    """A Review dock."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.opened: list[Path] = []

    def raised(self, viewer: object, asking: object, title: str) -> FakeReview:
        self.asked.append(title)
        return self

    def open(self, folder: Path, note: str = "") -> None:
        self.opened.append(folder)


@pytest.fixture
def review(monkeypatch) -> FakeReview:
    """The dock that is opened, of a viewer without a window."""
    made = FakeReview()
    monkeypatch.setattr(segment_dock, "raise_dock", made.raised)
    return made


@pytest.fixture
def no_dialog(monkeypatch) -> None:
    def fail(*_: object) -> str:
        raise AssertionError("A dialog was opened.")

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", fail)


def review_of(dock, qtbot) -> str:
    """Press Review…, wait for the end and return the message of the dock."""
    dock.run.show_messages()
    dock.run.review_button.click()
    making = MAKING_STUDY.partition("{")[0]
    wait_until(lambda: bool(text := dock.run.status.text()) and making not in text, qtbot)
    return dock.run.status.text()


def test_a_result_is_reviewed_next_to_its_image(ready, tmp_path, qtbot, review, no_dialog) -> None:
    dock = ready(image_layer(tmp_path, CINE))
    run(dock, qtbot)
    folder = tmp_path / "heart_study"
    dock.run.show_messages()
    dock.run.review_button.click()
    assert dock.run.status.text() == MAKING_STUDY.format(folder=folder)
    assert review_of(dock, qtbot) == NEW_STUDY.format(folder=folder)  # a second press is ignored
    settle(qtbot, dock)
    assert review.opened == [folder]
    assert review.asked == [REVIEW_DOCK]
    study = read_study(folder)
    assert set(study.posteriors) == {2, 5}
    assert study.info.image.name == "heart.nii.gz"
    assert study.patient.title == "heart.nii.gz"
    np.testing.assert_array_equal(study.prediction, dock.result.labels)
    # A begun review is continued, and another method has its own
    begun = ReviewState(decisions={(2, 1): Decision(state="accepted")})
    write_review(folder, begun)
    created = read_study_info(folder)
    run(dock, qtbot)
    assert review_of(dock, qtbot) == BEGUN_STUDY.format(folder=folder)
    dock.method.method.value = "vanilla"
    run(dock, qtbot)
    review_of(dock, qtbot)
    assert read_study_info(folder) == created
    assert read_study(folder).review == begun
    assert review.opened == [folder, folder, tmp_path / "heart_vanilla_study"]


def test_review_without_a_default_folder_asks_for_one(
    ready, tmp_path, qtbot, review, asked, monkeypatch
) -> None:
    dock = ready(image_layer(tmp_path))
    run(dock, qtbot)
    dock.result.source = PACKAGE / "data" / "heart.nii.gz"
    asked.mkdir()
    review_of(dock, qtbot)
    assert review.opened == [asked / "heart_study"]
    assert is_study(asked / "heart_study")
    dock.result.source = None
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    dock.run.review_button.click()
    assert len(review.opened) == 1


def test_image_without_file_goes_into_its_study(ready, tmp_path, qtbot, review, asked) -> None:
    """The study has the voxel size of the segmentation, not that of the form by then."""
    voxels = np.random.default_rng(0).integers(1, 99, (4, 8, 8)).astype(np.int16)
    dock = ready(Image(voxels, name="pixels"))
    dock.image.spacing.set_value((9, 2, 3))
    run(dock, qtbot)
    plane = LongAxis(kind="2CH", voxels=np.ones((1, 2, 3)), affine=np.eye(4))
    dock.image.layer.metadata["bayes"] = {LONG_AXES: (plane,)}  # chosen after the segmentation
    other = dock._viewer.add_image(np.ones((3, 4, 5)))
    dock.image.choose(other)
    dock.image.choose(dock._viewer.layers["pixels"])
    assert dock.image.spacing.value() != (9, 2, 3)
    asked.mkdir()
    review_of(dock, qtbot)
    study = read_study(asked / "pixels_study")
    assert study.info.image is None
    assert study.info.geometry.spacing == (9, 2, 3)
    assert (study.folder / "image.nii.gz").is_file()
    assert [plane.kind for plane in study.long_axes] == ["2CH"]


def test_another_voxel_size_is_another_result(ready, qtbot) -> None:
    dock = ready(Image(np.ones((4, 8, 8)), name="pixels"))
    run(dock, qtbot)
    first = dock.result
    dock.image.spacing.set_value((9, 2, 3))
    run(dock, qtbot)
    assert dock.result is not first
    assert dock.result.spacing == (9, 2, 3)


@pytest.mark.parametrize("chosen", ["out", ""])
def test_a_folder_with_other_files_gives_way_to_another(
    ready, tmp_path, qtbot, review, monkeypatch, chosen
) -> None:
    dock, messages = ready(image_layer(tmp_path)), []

    def ask(*_: object) -> str:
        messages.append(dock.run.status.text())
        return str(tmp_path / chosen) if chosen else ""

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", ask)
    run(dock, qtbot)
    (tmp_path / "heart_study").mkdir()
    (tmp_path / "heart_study" / "thesis.doc").touch()
    review_of(dock, qtbot)
    values = {"folder": tmp_path / "heart_study", "file": "thesis.doc"}
    assert messages == [OTHER_FILES.format(**values)]
    expected = tmp_path / "out" / "heart_study"
    if not chosen:
        assert dock.run.status.text() == messages[0]
        (tmp_path / "heart_study" / "thesis.doc").unlink()
        expected = tmp_path / "heart_study"
        review_of(dock, qtbot)
    wait_until(lambda: review.opened == [expected], qtbot)
    assert is_study(expected)


@pytest.fixture
def our_plugin(monkeypatch) -> None:
    """This plugin is the only one in napari."""
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    monkeypatch.setattr(_npe2.pm, "instance", lambda: manager)
    manager.register(PluginManifest.from_file(PACKAGE / "napari.yaml"))


MOST_SECONDS = 2.0
"""Of processor time; the first drawing of a result takes up to 0.5 s without a GPU."""
MOST_SECONDS_OF_OPENING = 1.5
"""Five times of what opening the dock, or the longest step of opening a study, takes there."""
MOST_SECONDS_OF_A_KEY = 0.5
"""Five times of what a key and its painted frame take on one core without a GPU."""


def wait_for_ticks(stretches, count, qtbot) -> None:
    last = len(stretches) + count
    wait_until(lambda: len(stretches) >= last, qtbot)


def test_the_dock_review_opens_with_the_study(our_plugin, ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path, CINE), window=True)
    with computing_at_a_stretch() as stretches:
        run(dock, qtbot)
        dock.method.method.value = "single"
        run(dock, qtbot)
    assert max(stretches) < MOST_SECONDS
    with computing_at_a_stretch() as stretches:
        review_of(dock, qtbot)
        opened = dock._viewer.window.dock_widgets["Review (Bayesian nnU-Net)"]  # as by the menu
        wait_until(lambda: opened.controller is not None and not opened.is_opening, qtbot)
        for action in ("ED or ES", "accept"):
            opened.controller.act(action)
            wait_for_ticks(stretches, 3, qtbot)
    assert max(stretches) < MOST_SECONDS_OF_OPENING
    canvas = dock._viewer.window._qt_viewer.canvas.native
    with computing_at_a_stretch() as stretches:
        for key in (Qt.Key.Key_N, Qt.Key.Key_A) * 3:
            place = opened.controller.picture.place
            QTest.keyClick(canvas, key)
            wait_for_ticks(stretches, 3, qtbot)
            assert opened.controller.picture.place != place
    assert max(stretches) < MOST_SECONDS_OF_A_KEY
    assert opened.controller.session.study.folder == tmp_path / "heart_study"
    assert opened.parent().isVisible()
    assert opened.parent() in dock.window().tabifiedDockWidgets(dock.parent())
    assert opened.parent().windowTitle() == REVIEW_DOCK
    # Once more while it is open, and behind the Segment dock
    dock.parent().raise_()
    first = opened.controller
    assert review_of(dock, qtbot) == BEGUN_STUDY.format(folder=tmp_path / "heart_study")
    wait_until(lambda: opened.controller not in (None, first) and not opened.is_opening, qtbot)
    assert not opened.controller.saver.read_only
    # Another method, which must not draw over the review
    before = [(layer, layer.visible) for layer in dock._viewer.layers]
    dock.method.method.value = "vanilla"
    run(dock, qtbot)
    assert IN_REVIEW.format(image="heart") in dock.run.status.text()
    assert [(layer, layer.visible) for layer in dock._viewer.layers] == before
    # Nor may the layers of the review go with the result that they were made for
    dock._on_result_removed("single")
    assert [(layer, layer.visible) for layer in dock._viewer.layers] == before
    opened.close_study()
    dock._on_result_chosen("vanilla")
    assert "heart prediction (vanilla)" in names(dock)


# A folder of studies


@pytest.fixture
def cohort(ready, tmp_path):
    """The window for a cohort and its dock, which has an image and an ensemble."""

    def make(*flags: object, window: bool = False):
        finished = tmp_path / "images_segmented" / "a"
        finished.mkdir(parents=True)
        (finished / "study.json").touch()
        command = fake_predict(*flags)
        dock = ready(image_layer(tmp_path), window=window, cohort_command=command)
        dock.run.folder_button.click()
        dock.cohort_window.form.images.choose(make_images(tmp_path / "images"))
        return dock.cohort_window, dock

    return make


def test_a_folder_uses_the_options_of_the_dock(cohort, qtbot) -> None:
    window, dock = cohort()
    assert window.isVisible()
    assert window.isWindow()
    name = dock.ensemble.folder.name
    title = METHODS["multi"].title
    options = SegmentationSettings(members=3, temperature=1.0).options
    chosen = f"{name}, {title}, {options}"
    assert window.chosen.text() == FROM_THE_DOCK.format(chosen=chosen)
    dock.method.members.value = 2
    dock.method.mirroring.value = "none"
    options = SegmentationSettings(members=2, temperature=1.0, mirroring="none").options
    changed = f"{name}, {title}, {options}"
    assert window.chosen.text() == FROM_THE_DOCK.format(chosen=changed)
    dock.ensemble.choose(dock.ensemble.path)
    assert window.chosen.text() == STILL_LOOKING
    wait_until(lambda: dock.ensemble.folder is not None, qtbot)
    assert window.chosen.text() == FROM_THE_DOCK.format(chosen=changed)
    dock.ensemble.folders.activated.emit(0)
    assert window.chosen.text() == NO_ENSEMBLE


def test_folder_and_open_image_are_segmented_together(cohort, qtbot) -> None:
    window, dock = cohort("--seconds", 60)
    window.start_button.click()
    wait_until(lambda: window.table.done == 1, qtbot)
    assert dock.run.folder_button.text() == f"{A_FOLDER} 1 of 3"
    assert run(dock, qtbot).startswith("Finished")
    assert window.is_busy
    window.close()
    dock.run.folder_button.click()  # the same window again
    assert dock.cohort_window is window
    assert window.isVisible()
    window.stop_button.click()
    wait_until(lambda: not window.is_busy, qtbot)
    assert dock.run.folder_button.text() == A_FOLDER


def test_a_folder_is_listed_in_review_and_ends_with_its_dock(
    our_plugin, cohort, tmp_path, qtbot
) -> None:
    window, dock = cohort("--seconds", 60, window=True)
    make_study(tmp_path / "images_segmented" / "b" / "heart")
    window.start_button.click()
    wait_until(window.review_button.isEnabled, qtbot)
    window.review_button.click()
    review = dock._viewer.window.dock_widgets["Review (Bayesian nnU-Net)"]
    wait_until(lambda: bool(review.studies.studies), qtbot)
    assert review.studies.folder.path == tmp_path / "images_segmented"
    assert review.studies.isVisible()
    assert window.is_busy
    wait_until(lambda: window.table.done >= 1, qtbot)
    pid = dock.cohort.pid
    dock.parent().close()  # only hidden
    assert is_alive(pid)
    dock._viewer.window.remove_dock_widget(dock.parent())
    assert not is_alive(pid)
    assert not window.isVisible()
    dock.deleteLater()


# Drag and drop


def test_a_folder_dropped_on_the_dock_is_chosen(make_dock, ensemble_folder, qtbot) -> None:
    dock = make_dock()
    assert dock.acceptDrops()
    with qtbot.waitSignal(dock.ensemble.found):
        assert drop(dock, ensemble_folder).isAccepted()
    assert dock.ensemble.path == ensemble_folder


def test_other_files_are_not_for_the_dock(make_dock, tmp_path) -> None:
    (tmp_path / "image.nii.gz").write_bytes(b"")
    dock = make_dock()
    assert not drop(dock, tmp_path / "image.nii.gz").isAccepted()
    assert dock.ensemble.path is None
