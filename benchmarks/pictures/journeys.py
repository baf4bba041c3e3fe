"""Journeys of readers and researchers through the window, driven by mouse and keys.

Each starts in an empty window, takes pictures with a camera and leaves its files behind. The tests
drive the same journeys with fewer or fake passes and without a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from qtpy.QtCore import QPointF, Qt
from qtpy.QtWidgets import QDialogButtonBox, QMessageBox, QPushButton, QRadioButton
from tests.helpers.windows.drops import drop

from napari_bayes_nnunet.app.review.valve_points import points_on
from napari_bayes_nnunet.widgets.archive.archive_form import AddressDialog, LoginDialog
from napari_bayes_nnunet.widgets.archive.send import SendDialog
from napari_bayes_nnunet.widgets.archive.window import ArchiveWindow
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
HINGES = {
    "mitral": ((-4.9, -39.1, -16.1), (21.6, -28.7, -33.8)),
    "tricuspid": ((71.1, -11.9, -62.9), (29.5, -15.1, -54.3)),
}
"""Hinges of the valves on the 4CH at ED, to the right, the front and the head, mm: the guide points
that come with biv-me."""
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
    """Open the examination of biv-me, look at its series, review it and mark its valves at ED."""

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
    hand.close_notifications()
    camera.take_window(hand.viewer, "long_axis")
    hand.press(Key.Key_T)
    hand.until(lambda: review.controller.view.place[0] == review.controller.session.state.ed)
    mark_valves(hand, review)
    camera.take(second, "valve_points")
    hand.click(review.close_button)
    return review


def mark_valves(hand: Hand, review: ReviewWidget) -> None:
    """Drag the points of both valves on the long axis on screen to the hinges of biv-me at ED."""
    session, plane = review.controller.session, review.forms.second.plane
    lie = review.forms.long_axis.lie()
    for points in points_on(session, session.state.ed, plane):
        hinges = plane.from_patient(np.array(HINGES[points.key[1]]))
        if np.linalg.norm(hinges - points.pixels) > np.linalg.norm(hinges[::-1] - points.pixels):
            hinges = hinges[::-1]
        for place in zip(points.pixels, hinges, strict=True):
            start, end = (lie.map(QPointF(x, y)).toPoint() for y, x in place)
            hand.drag(review.forms.valves, start, end)
    assert len(session.state.hinges) == len(HINGES)


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


def use_archive(
    hand: Hand,
    camera: Camera,
    folder: Path,
    *,
    url: str,
    login: tuple[str, str],
    name: str,
    quick: bool = False,
) -> ReviewWidget:
    """Fetch the latest study of a patient from an archive, review it, and send it back.

    The archive is new to the program, and wants a ``login``. ``name`` is a part of the patient's.
    """

    def describe(dialog: AddressDialog) -> None:
        dialog.name.setText("Research")
        hand.type(dialog.url, url)  # Enter closes the dialog

    def log_in(dialog: LoginDialog) -> None:
        dialog.user.setText(login[0])
        hand.type(dialog.password, login[1])

    def send(dialog: SendDialog) -> None:
        assert name in dialog.sentence.text().lower()
        camera.take(dialog, "archive_send")
        hand.click(dialog.send_button)

    hand.choose_in_menu("File", "IO Utilities", "Archive")
    window = hand.window.findChild(ArchiveWindow)
    hand.until(window.isVisible)
    hand.answer(AddressDialog, describe)
    hand.click(window.archive.add_button)
    hand.answer(LoginDialog, log_in)
    hand.type(window.name, name)
    hand.until(lambda: window.table.rows)
    hand.type(window.folder, str(folder))
    hand.click(
        window.table.viewport(), window.table.visualRect(window.table.model().index(0, 0)).center()
    )
    camera.take(window, "archive")
    hand.click(window.open_button)
    hand.until(lambda: len(hand.viewer.layers))
    window.close()
    segment = open_segment(hand, quick=quick)
    run_segment(hand, segment)
    review = open_review(hand, segment)
    accept_first(hand, review)
    hand.answer(SendDialog, send)
    hand.answer(LoginDialog, log_in)  # unless a keyring has it
    hand.choose_below(review.forms.export, review.forms.export.send_action)
    hand.until(lambda: "Sent" in review.messages.line.message)
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
