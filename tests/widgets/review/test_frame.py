"""Frame of the *Review* dock: what never scrolls or moves, its sections and the reading layout."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from napari.qt import get_stylesheet
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QLabel,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QWidget,
)

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.study.info import LACKS_PHASES
from napari_bayes_nnunet.widgets.common.dock import FittingScrollArea
from napari_bayes_nnunet.widgets.common.settings import StopTarget
from napari_bayes_nnunet.widgets.reading.numbers import CHANGED, VALUE
from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.forms import NUMBERS, PICTURE, QUEUE
from napari_bayes_nnunet.widgets.review.messages import NO_STUDY, PROBLEMS, UNSAVED
from napari_bayes_nnunet.widgets.review.saver import OTHER_WORK
from napari_bayes_nnunet.widgets.review.view import NOT_SEGMENTED
from napari_bayes_nnunet.widgets.review.window_layout import LAYER_DOCKS, THUMBNAIL_TITLE

from ...helpers.data.cines import ED, ES
from ...helpers.data.studies import make_study
from ...helpers.windows.reviewing import open_in, press
from ...helpers.windows.settling import settle

WITH_TEXT = (QAbstractButton, QLabel)
CONTROLS = (QAbstractButton, QComboBox, QAbstractSlider, QLineEdit)


@pytest.fixture
def dock(model_dock: ReviewWidget, folder: Path, qtbot: Any) -> ReviewWidget:
    """The dock with an open study, in a window of its own."""
    open_in(model_dock, folder, qtbot)
    model_dock.resize(380, 760)
    model_dock.show()
    settle(qtbot, model_dock)
    return model_dock


def positions(dock: ReviewWidget) -> dict[QWidget, tuple[int, int]]:
    """Return where each visible control is on the screen."""
    QApplication.processEvents()
    controls = [part for kind in CONTROLS for part in dock.findChildren(kind)]
    return {
        part: (part.mapToGlobal(QPoint()).x(), part.mapToGlobal(QPoint()).y())
        for part in controls
        if part.isVisible() and not isinstance(part, QScrollBar)
    }


def scrolls(part: QWidget) -> bool:
    parent = part.parentWidget()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parentWidget()
    return parent is not None


def test_what_never_scrolls_and_how_fields_are_left(dock, qtbot) -> None:
    forms = dock.forms
    fixed = (
        *(dock.title, dock.messages.saved, forms.key_numbers, dock.messages.line),
        *(*forms.slice.buttons.values(), forms.export, forms.progress),
    )
    assert not any(scrolls(part) for part in fixed)
    assert all(part.isVisible() for part in fixed if part is not dock.messages.saved)
    assert scrolls(forms.corrections)
    texts = [
        text
        for part in dock.findChildren(QWidget)
        for text in (part.toolTip(), part.text() if isinstance(part, WITH_TEXT) else "")
    ]
    assert any("members" in text for text in texts)
    assert not [text for text in texts if "model" in text.lower()]
    # Return, Enter and Escape leave a field
    for section in forms.sections.values():
        section.expand()
    forms.stop.show()
    dock.activateWindow()
    height = forms.numbers.findChild(QLineEdit)
    boxes = (forms.corrections.limits.findChild(QAbstractSpinBox), forms.stop.target)
    fields = forms.slice.comment, height, *boxes, forms.queue.scores, forms.stop.levels
    for field, key in product(fields, (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)):
        field.setFocus()
        qtbot.waitUntil(lambda field=field: QApplication.focusWidget() is field)
        qtbot.keyClick(field, key)
        assert not field.hasFocus(), field


def test_no_message_decision_or_edit_moves_a_control(dock, monkeypatch, qtbot) -> None:
    for section in dock.forms.sections.values():
        section.expand()
    settle(qtbot, dock, dock.controller)
    before = positions(dock)
    assert len(before) > 30

    def check(step: str, before: Any = before) -> None:
        settle(qtbot, dock, dock.controller)
        assert positions(dock) == before, step

    dock.controller.said.emit("Short.")
    check("a short message")
    dock.controller.said.emit("A very long message that needs several lines. " * 5)
    check("a long message")
    dock.messages.line.keep(PROBLEMS, "The image was not found.\nThe labels are on black.\n" * 3)
    check("problems")
    dock.forms.queue.noted.emit("Another score orders the slices. " * 3)
    check("a note")
    dock.forms.export.show_message("Saved a.nii.gz, b.csv and c.html in /a/long/path. " * 4)
    check("an export")
    press(dock._viewer, "D")
    check("an edit")
    dock.forms.corrections.buttons["next alternative"].click()
    check("an alternative")
    dock.forms.slice.buttons["flag"].click()
    check("a flag")
    dock.controller.comment("valve plane?")
    check("a comment")
    with monkeypatch.context() as patch:
        patch.setattr(study_saver, "save_work", fail)
        for _ in range(2):  # the slice has a finding
            dock.forms.slice.buttons["accept"].click()
        qtbot.waitUntil(lambda: dock.messages.line.notice(UNSAVED) != "")
    check("a failed save")
    assert dock.messages.saved.text() == UNSAVED
    for _ in range(16):
        press(dock._viewer, "A")
        settle(qtbot, dock.controller)
    assert dock.controller.session.state.finished
    check("the end of the queue")
    dock.setStyleSheet(get_stylesheet("dark"))
    dock.messages.saved.show_message("")
    settle(qtbot, dock, dock.controller)
    before = positions(dock)
    dock.messages.saved.show_message(UNSAVED)
    check("the state of saving", before)


def fail(*_: object) -> None:
    raise DataError("Disk full.")


def test_numbers_and_messages_follow_the_reader(dock, qtbot) -> None:
    numbers, controller, notice = dock.forms.key_numbers, dock.controller, dock.messages.notice
    press(dock._viewer, "A")
    assert dock.messages.line.message
    layer = controller.picture.edited
    dock._viewer.layers.selection.active, layer.mode = layer, "paint"
    controller.corrections._on_press(dock._viewer, None)
    assert not dock.messages.line.message  # painting removes it
    layer.mode = "pan_zoom"
    assert str(ED) in numbers.caption.text()
    assert str(ES) in numbers.caption.text()
    before = numbers.table.texts("LV EF")
    assert before[CHANGED] == ""
    controller.picture.show_slice((ED, 1))
    dock.forms.corrections.structures.chips["LV"].click()
    press(dock._viewer, "D")
    settle(qtbot, dock, controller)
    after = numbers.table.texts("LV EF")
    assert after[VALUE] != before[VALUE]
    measured, predicted = controller.session.measured(), controller.session.predicted()
    change = measured["LV EF"].value - predicted["LV EF"].value
    assert float(after[CHANGED].replace("−", "-")) == pytest.approx(change, abs=0.051)
    controller.picture.go_to((2, 0))
    settle(qtbot, controller)
    press(dock._viewer, "A")
    assert notice.overlay.visible  # a refusal is also on the canvas
    noticed = " ".join(notice.overlay.text.split())
    assert noticed == NOT_SEGMENTED == dock.messages.line.message
    controller.picture.show_slice((ED, 0))
    assert not notice.overlay.visible
    controller.saver.other_found.emit(OTHER_WORK)
    dock.close_study()
    assert OTHER_WORK in dock.messages.hint.text()
    assert NO_STUDY in dock.messages.hint.text()


def test_missing_phases_are_said_when_the_study_opens(model_dock, tmp_path, qtbot) -> None:
    dock, folder = model_dock, make_study(tmp_path / "stopped", phases=(1, 5), unfinished=(2, 3))
    open_in(dock, folder, qtbot)
    lacks = LACKS_PHASES.format(phases="phases 2, 3")
    assert dock.messages.line.notice(PROBLEMS) == lacks
    assert dock.messages.line.toolTip().startswith(lacks)
    assert " ".join(dock.messages.notice.overlay.text.split()) == lacks
    assert dock.messages.notice.overlay.visible


def test_sections_and_target_stay_as_they_were_left(dock, folder, settings, qtbot) -> None:
    assert dock.forms.sections[QUEUE].isExpanded()
    assert not dock.forms.sections[NUMBERS].isExpanded()
    for name in (PICTURE, NUMBERS):
        dock.forms.sections[name].toggleButton().click()
    for _ in range(3):
        dock.forms.stop.target.stepUp()
    assert settings.kept.stop_target is None
    dock.close_study()
    assert settings.kept.stop_target == StopTarget(points=4.5, level=90)
    settings.keep(stop_target=StopTarget(points=6.0, level=80))
    open_in(dock, folder, qtbot)
    are_open = {name: part.isExpanded() for name, part in dock.forms.sections.items()}
    assert (are_open[QUEUE], are_open[PICTURE], are_open[NUMBERS]) == (True, False, True)
    assert dock.forms.stop.target.value() == 6.0
    settings.keep(stop_target=StopTarget(points=7.0, level=80))  # in another window
    dock.close_study()
    assert settings.kept.stop_target == StopTarget(points=7.0, level=80)


# Reading layout


def docks_of(dock: ReviewWidget) -> dict[str, tuple[bool, int]]:
    """Return whether each dock of the window is shown, and the widths of napari's.

    The Review dock is a little wider with a study than without. Thumbnails belong to the study.
    """
    QApplication.processEvents()
    docks = {part.objectName(): part for part in dock.window().findChildren(QDockWidget)}
    docks.pop(THUMBNAIL_TITLE, None)
    return {
        name: (part.isVisible(), part.width() if name in LAYER_DOCKS else 0)
        for name, part in docks.items()
    }


def test_reading_layout_hides_docks_and_shows_tools(
    opened_dock, shared_study, qtbot, monkeypatch
) -> None:
    dock, settings, tools = opened_dock, opened_dock._settings, opened_dock.forms.corrections.tools
    reading, controller = docks_of(dock), dock.controller  # it is on at first
    assert not tools.visibleRegion().isEmpty()
    assert not any(reading[name][0] for name in LAYER_DOCKS)

    def turn() -> None:
        dock.findChild(FittingScrollArea).ensureWidgetVisible(dock.reading_button)
        qtbot.mouseClick(dock.reading_button, Qt.MouseButton.LeftButton)

    turn()
    before, width = docks_of(dock), dock.width()
    assert before != reading
    turn()
    assert docks_of(dock) == reading
    turn()
    assert docks_of(dock) == before
    assert dock.width() == width
    assert not tools.visibleRegion().isEmpty()
    assert reading["Review"] == before["Review"]
    turn()
    with monkeypatch.context() as patch:
        patch.setattr(review_dock, "CLOSING_MS", 20)
        dock.eventFilter(dock.window(), QCloseEvent())  # and the window stays open
        qtbot.waitUntil(lambda: dock.reading_button.isChecked() and docks_of(dock) == reading)
    dock.eventFilter(dock.window(), QCloseEvent())  # napari saves the layout as it closes
    assert docks_of(dock) == before
    # It ends also when a study cannot be shown, and is remembered
    with monkeypatch.context() as patch, qtbot.captureExceptions() as raised:
        patch.setattr(review_dock, "ReviewController", broken)
        dock.open(shared_study)
        qtbot.waitUntil(lambda: not dock.is_opening)
    assert [kind for kind, _, _ in raised] == [RuntimeError]
    assert docks_of(dock) == before
    assert settings.kept.reading_layout
    open_in(dock, shared_study, qtbot)
    assert dock.controller is not controller
    assert dock.reading_button.isChecked()
    assert docks_of(dock) == reading
    dock.close_study()
    assert docks_of(dock) == before


def counts_from_zero(window: Any) -> list[QWidget]:
    """Return what the window shows of napari's own counts."""
    counts = window.findChildren(QWidget, "slice_label")
    return [part for part in (*counts, window.statusBar()) if part.isVisible()]


def test_nothing_counts_from_zero_while_a_dock_is_open(opened_dock, qtbot) -> None:
    main = opened_dock.window()
    qtbot.waitUntil(lambda: not counts_from_zero(main))
    names = [n for n in main.findChildren(QLineEdit, "axis_label") if n.isVisible()]
    assert {name.text() for name in names} == {"slice", "phase"}
    for name in names:
        assert name.fontMetrics().horizontalAdvance(name.text()) <= name.width()
    dock = opened_dock.parent()
    dock.hide()
    assert len(counts_from_zero(main)) == 2 * len(names) + 1
    dock.show()
    assert not counts_from_zero(main)
    opened_dock.close_study()
    qtbot.waitUntil(lambda: not counts_from_zero(main))


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("No controller.")
