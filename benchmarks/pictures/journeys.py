"""Journeys of readers and researchers through the window, driven by mouse and keys.

Each starts in an empty window, takes pictures with a camera and leaves its files behind. The tests
drive the same journeys with fewer passes and without a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox, QMessageBox, QPushButton, QRadioButton
from tests.helpers.windows.drops import drop

from napari_bayes_nnunet.widgets.layers.series_dialog import StackChooser
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.forms import NUMBERS
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget
from napari_bayes_nnunet.widgets.segment.ensemble_form import DEMO_TITLE

from .camera import Camera
from .hand import Hand

PLUGIN = "Bayesian nnU-Net"
SAMPLE = "Cine short axis (Sunnybrook SCD0000301), 4D"
QUICK_MEMBERS = "2"
Key = Qt.Key


def review_sample(hand: Hand, camera: Camera, folder: Path, *, quick: bool = False) -> ReviewWidget:
    """Open the sample cine, segment, review and correct it, and export to ``folder``/export."""
    hand.choose_in_menu("File", "Open Sample", PLUGIN, SAMPLE)
    segment = open_segment(hand, quick=quick)
    camera.take_window(hand.viewer, "open")
    run_segment(hand, segment)
    camera.take(segment, "segment")
    hand.choose_folder(folder)  # the sample lies inside the package
    review = open_review(hand, segment)
    accept_first(hand, review)
    hand.press(Key.Key_N)  # to a slice for which the models give several answers
    hand.until(lambda: not review.forms.thumbnails.is_drawing)
    camera.take_window(hand.viewer, "review")
    hand.press(Key.Key_W)
    camera.take_canvas(hand.viewer, "review_answer")
    camera.take(review.forms.corrections, "review_correct")
    hand.press(Key.Key_A)
    hand.until(lambda: not review.controller.saver.has_unsaved)
    hand.click(review.forms.sections[NUMBERS].toggleButton())
    hand.until(lambda: not review.forms.numbers.numbers.highlighted)
    camera.take(review.forms.numbers, "review_numbers")
    hand.choose_folder(folder / "export")
    hand.choose_below(review.forms.export, review.forms.export.export_action)
    hand.until(lambda: "Saved" in review.forms.export.message)
    hand.click(review.close_button)
    return review


def open_dicom(hand: Hand, images: Path) -> None:
    """Drop a folder of DICOM files, and choose our reader."""

    def use_ours(dialog: QtReaderDialog) -> None:
        buttons = dialog.findChildren(QRadioButton)
        hand.click(next(button for button in buttons if button.text() == PLUGIN))
        box = dialog.findChild(QDialogButtonBox)
        hand.click(box.button(QDialogButtonBox.StandardButton.Ok))

    hand.answer(QtReaderDialog, use_ours)
    drop(hand.viewer.window._qt_viewer, images)


def review_examination(
    hand: Hand, camera: Camera, images: Path, *, quick: bool = False
) -> ReviewWidget:
    """Open a whole examination, look at its series, and review it next to its 4CH."""

    def look(dialog: StackChooser) -> None:
        camera.take(dialog, "dicom_views")
        hand.click(dialog.buttons.button(QDialogButtonBox.StandardButton.Open))

    open_dicom(hand, images)
    hand.until(lambda: len(hand.viewer.layers))
    segment = open_segment(hand, quick=quick)
    hand.answer(StackChooser, look)
    hand.click(segment.image.series_button)
    run_segment(hand, segment)
    review = open_review(hand, segment)
    second = review.forms.second
    hand.pick(second.choice, "4CH")
    second.choice.clearFocus()
    place = review.controller.view.place
    hand.click(second.long_axis, second.long_axis.rect().center())
    hand.until(lambda: review.controller.view.place != place)
    hand.until(lambda: not review.forms.thumbnails.is_drawing)
    camera.take_window(hand.viewer, "long_axis")
    hand.click(review.close_button)
    return review


def export_dicom(
    hand: Hand, camera: Camera, images: Path, folder: Path, *, quick: bool = False
) -> ReviewWidget:
    """Drop a folder with several DICOM series, and export SEG and SR to ``folder``/export."""

    def use_proposed(dialog: StackChooser) -> None:
        camera.take(dialog, "dicom_series")
        hand.click(dialog.buttons.button(QDialogButtonBox.StandardButton.Open))

    hand.answer(StackChooser, use_proposed)
    open_dicom(hand, images)
    hand.until(lambda: len(hand.viewer.layers))
    segment = open_segment(hand, quick=quick)
    run_segment(hand, segment)
    review = open_review(hand, segment)
    accept_first(hand, review)

    def look(box: QMessageBox) -> None:
        camera.take(box, "dicom_question")

    hand.choose_folder(folder / "export")
    hand.say_yes(look)
    hand.choose_below(review.forms.export, review.forms.export.dicom_action)
    hand.until(lambda: "Saved" in review.forms.export.message)
    hand.click(review.close_button)
    return review


def segment_folder(
    hand: Hand, camera: Camera, images: Path, results: Path, *, quick: bool = False
) -> ReviewWidget:
    """Segment all studies of a folder, and open the worst in the Review dock."""
    segment = open_segment(hand, quick=quick)
    hand.click(segment.run.folder_button)
    window = segment.cohort_window
    hand.until(window.isVisible)
    hand.type(window.form.images, str(images))
    hand.type(window.form.results, str(results))
    hand.click(window.start_button)
    hand.until(lambda: window.table.done and not window.is_busy)
    camera.take(window, "cohort")
    hand.click(window.review_button)
    window.close()
    review: ReviewWidget = hand.dock(ReviewWidget.TITLE)
    table = review.studies.table
    hand.until(lambda: table.rows)
    worst = table.visualRect(table.model().index(0, 0)).center()
    hand.click(table.viewport(), worst)
    hand.click(table.viewport(), worst, double=True)
    wait_for_study(hand, review)
    hand.until(lambda: not review.forms.thumbnails.is_drawing)
    camera.take_window(hand.viewer, "cohort_review")
    hand.click(review.close_button)
    return review


def train(
    hand: Hand,
    camera: Camera,
    dataset: Path,
    run: Path,
    *,
    numbers: Sequence[tuple[str, int]] = (),
) -> SegmentWidget:
    """Train with *Quick look* and changed ``numbers`` of it, and choose the new ensemble."""
    hand.choose_in_menu("Plugins", PLUGIN, "Train")
    dock = hand.dock("Train")
    hand.type(dock.new.data.folder.folder, str(dataset))
    check = dock.new.preflight
    hand.until(lambda: check.preflight is not None and check.preflight.ready)
    hand.until(lambda: check.devices.count() > 1)
    hand.pick(dock.new.schedule.preset, "Quick look")
    for name, number in numbers:
        hand.type(dock.new.schedule.fields[name].editor.native, str(number))
    hand.type(dock.new.output, str(run))
    hand.until(dock.new.start_button.isEnabled)
    camera.take_whole_dock(dock, "train_new")
    hand.click(dock.new.start_button)
    hand.until(lambda: dock.state is not None and dock.state.kind == "finished")
    hand.until(lambda: not dock.watch.started_here())  # or closing the window would ask
    camera.take_whole_dock(dock, "train_watch")
    hand.click(dock.form.use_button)
    segment: SegmentWidget = hand.dock(SegmentWidget.TITLE)
    hand.until(lambda: segment.ensemble.folder is not None)
    return segment


def evaluate(
    hand: Hand, camera: Camera, predictions: Sequence[Path], labels: Path, report: Path
) -> Any:
    """Compare the methods in the folders of ``predictions``."""
    hand.choose_in_menu("Plugins", PLUGIN, "Evaluate")
    dock = hand.dock("Evaluate")
    methods = dock.form.methods
    for number, folder in enumerate(predictions):
        if number:
            hand.click(methods.add_button)
        hand.type(methods.rows[number].folder, str(folder))
    hand.type(dock.form.labels, str(labels))
    hand.type(dock.form.report, str(report))
    hand.until(lambda: dock.preview is not None)
    hand.click(dock.evaluate_button)
    hand.until(lambda: dock.results.outcome is not None)
    camera.take_whole_dock(dock, "evaluate")
    return dock


def open_segment(hand: Hand, *, quick: bool) -> SegmentWidget:
    """Open the Segment dock and choose the built-in ensemble, with few passes if ``quick``."""
    hand.choose_in_menu("Plugins", PLUGIN, "Segment")
    dock: SegmentWidget = hand.dock(SegmentWidget.TITLE)
    hand.pick(dock.ensemble.folders, DEMO_TITLE)
    hand.until(lambda: dock.ensemble.folder is not None)
    if quick:
        hand.click(dock.details.toggleButton())
        hand.type(dock.method.members.editor.native, QUICK_MEMBERS)
        hand.pick(dock.method.mirroring.editor.native, "None")
        hand.click(dock.details.toggleButton())
    return dock


def run_segment(hand: Hand, dock: SegmentWidget) -> None:
    """Segment the image, and wait for the last pass."""
    hand.click(dock.run.segment_button)
    hand.until(lambda: not dock.is_running)
    assert "Finished" in dock.run.status.text(), dock.run.status.text()


def open_review(hand: Hand, segment: SegmentWidget) -> ReviewWidget:
    """Press *Review…*, and wait until the study is open."""
    button: QPushButton = segment.run.review_button
    hand.click(button)
    review: ReviewWidget = hand.dock(ReviewWidget.TITLE)
    wait_for_study(hand, review)
    return review


def accept_first(hand: Hand, review: ReviewWidget) -> None:
    """Accept the first slice, with Enter if it has a finding."""
    hand.press(Key.Key_A)
    if not review.controller.session.state.decisions:
        hand.press(Key.Key_Return)


def wait_for_study(hand: Hand, review: ReviewWidget) -> None:
    """Wait until a study is open, with its thumbnails."""
    hand.until(lambda: review.controller is not None and not review.is_opening)
    hand.wait(500)
