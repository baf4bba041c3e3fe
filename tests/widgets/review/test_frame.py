"""Frame of the *Review* dock: what never scrolls or moves, its sections and the reading layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
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
from napari_bayes_nnunet.widgets.common.settings import Settings, StopTarget
from napari_bayes_nnunet.widgets.reading.numbers import CHANGED, VALUE
from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.forms import NUMBERS, PICTURE, QUEUE
from napari_bayes_nnunet.widgets.review.messages import NO_STUDY, PROBLEMS, UNSAVED, VIEWED_ONLY
from napari_bayes_nnunet.widgets.review.saver import OTHER_WORK
from napari_bayes_nnunet.widgets.review.view import NOT_SEGMENTED
from napari_bayes_nnunet.widgets.review.window_layout import LAYER_DOCKS, THUMBNAIL_TITLE

from ...helpers.data.cines import ED, ES, make_cine
from ...helpers.data.studies import make_study
from ...helpers.windows.reviewing import press
from ...helpers.windows.settling import settle
from ..conftest import NEVER

WITH_TEXT = (QAbstractButton, QLabel)
CONTROLS = (QAbstractButton, QComboBox, QAbstractSlider, QLineEdit)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_cine(tmp_path / "heart")


@pytest.fixture
def dock(qtbot: Any, folder: Path, settings: Settings) -> Iterator[ReviewWidget]:
    """The dock with an open study, in a window of its own."""
    made = ReviewWidget(ViewerModel(), every_ms=NEVER, settings=settings)
    qtbot.addWidget(made)
    open_in(made, folder, qtbot)
    made.resize(380, 760)
    made.show()
    settle(qtbot, made)
    yield made
    made.close_study()
    settle(qtbot)


def open_in(dock: ReviewWidget, folder: Path, qtbot: Any) -> None:
    dock.open(folder)
    qtbot.waitUntil(lambda: not dock.is_opening)
    assert dock.controller is not None, dock.messages.line.message


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


def test_case_numbers_and_queue_never_scroll(dock: ReviewWidget) -> None:
    slice_ = dock.forms.slice
    fixed = (
        *(dock.title, dock.messages.saved, dock.forms.key_numbers, dock.messages.line),
        *(*slice_.buttons.values(), dock.forms.export, dock.forms.progress),
    )
    assert not any(scrolls(part) for part in fixed)
    assert all(part.isVisible() for part in fixed if part is not dock.messages.saved)
    assert scrolls(dock.forms.corrections)


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape])
def test_return_and_escape_leave_a_field(dock: ReviewWidget, key: Qt.Key, qtbot: Any) -> None:
    for section in dock.forms.sections.values():
        section.expand()
    dock.forms.stop.show()
    dock.activateWindow()
    forms = dock.forms
    height = forms.numbers.findChild(QLineEdit)
    boxes = (forms.corrections.limits.findChild(QAbstractSpinBox), forms.stop.target)
    for field in (forms.slice.comment, height, *boxes, forms.queue.scores, forms.stop.levels):
        field.setFocus()
        qtbot.waitUntil(lambda field=field: QApplication.focusWidget() is field)
        qtbot.keyClick(field, key)
        assert not field.hasFocus(), field


def test_no_message_decision_or_edit_moves_a_control(
    dock: ReviewWidget, monkeypatch: Any, qtbot: Any
) -> None:
    for section in dock.forms.sections.values():
        section.expand()
    settle(qtbot, dock, dock.controller)
    before = positions(dock)
    assert len(before) > 30

    def check(step: str) -> None:
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


def test_save_state_moves_no_control(dock: ReviewWidget, qtbot: Any) -> None:
    dock.setStyleSheet(get_stylesheet("dark"))
    settle(qtbot, dock, dock.controller)
    dock.messages.saved.show_message("")
    before = positions(dock)
    dock.messages.saved.show_message(UNSAVED)
    settle(qtbot, dock, dock.controller)
    assert positions(dock) == before


def fail(*_: object) -> None:
    raise DataError("Disk full.")


def test_the_key_numbers_follow_a_correction(dock: ReviewWidget, qtbot: Any) -> None:
    numbers = dock.forms.key_numbers
    assert str(ED) in numbers.caption.text()
    assert str(ES) in numbers.caption.text()
    before = numbers.texts("LV EF")
    assert before[CHANGED] == ""
    dock.controller.picture.show_slice((ED, 1))
    dock.forms.corrections.structures.chips["LV"].click()
    press(dock._viewer, "D")
    settle(qtbot, dock, dock.controller)
    after = numbers.texts("LV EF")
    assert after[VALUE] != before[VALUE]
    measured, predicted = dock.controller.session.measured(), dock.controller.session.predicted()
    change = measured["LV EF"].value - predicted["LV EF"].value
    assert float(after[CHANGED].replace("−", "-")) == pytest.approx(change, abs=0.051)


def test_a_refusal_is_also_on_the_canvas(dock: ReviewWidget, qtbot: Any) -> None:
    dock.controller.picture.go_to((2, 0))
    settle(qtbot, dock.controller)
    press(dock._viewer, "A")
    assert dock.messages.notice.overlay.visible
    noticed = " ".join(dock.messages.notice.overlay.text.split())
    assert noticed == NOT_SEGMENTED == dock.messages.line.message
    dock.controller.picture.show_slice((ED, 0))
    assert not dock.messages.notice.overlay.visible


def test_painting_removes_the_message_of_accepting(dock: ReviewWidget) -> None:
    press(dock._viewer, "A")
    assert dock.messages.line.message
    layer = dock.controller.picture.edited
    dock._viewer.layers.selection.active, layer.mode = layer, "paint"
    dock.controller.corrections._on_press(dock._viewer, None)
    assert not dock.messages.line.message


def test_missing_phases_are_said_when_the_study_opens(
    dock: ReviewWidget, tmp_path: Path, qtbot: Any
) -> None:
    folder = make_study(tmp_path / "stopped", phases=(1, 5), unfinished=(2, 3))
    open_in(dock, folder, qtbot)
    lacks = LACKS_PHASES.format(phases="phases 2, 3")
    assert dock.messages.line.notice(PROBLEMS) == lacks
    assert dock.messages.line.toolTip().startswith(lacks)
    assert " ".join(dock.messages.notice.overlay.text.split()) == lacks
    assert dock.messages.notice.overlay.visible


def test_members_have_one_word(dock: ReviewWidget) -> None:
    texts = [
        text
        for part in dock.findChildren(QWidget)
        for text in (part.toolTip(), part.text() if isinstance(part, WITH_TEXT) else "")
    ]
    assert any("members" in text for text in texts)
    assert not [text for text in texts if "model" in text.lower()]


def test_read_only_study_is_marked_at_the_top(
    dock: ReviewWidget, folder: Path, settings: Settings, qtbot: Any
) -> None:
    second = ReviewWidget(ViewerModel(), every_ms=NEVER, settings=settings)
    qtbot.addWidget(second)
    open_in(second, folder, qtbot)
    assert second.messages.saved.text() == VIEWED_ONLY
    second.close_study()


def test_sections_stay_as_they_were_left(
    dock: ReviewWidget, folder: Path, settings: Settings, qtbot: Any
) -> None:
    assert dock.forms.sections[QUEUE].isExpanded()
    assert not dock.forms.sections[NUMBERS].isExpanded()
    for name in (PICTURE, NUMBERS):
        dock.forms.sections[name].toggleButton().click()
    dock.close_study()
    open_in(dock, folder, qtbot)
    are_open = {name: part.isExpanded() for name, part in dock.forms.sections.items()}
    assert (are_open[QUEUE], are_open[PICTURE], are_open[NUMBERS]) == (True, False, True)


def test_the_target_is_kept_when_the_study_is_closed(
    dock: ReviewWidget, folder: Path, settings: Settings, qtbot: Any
) -> None:
    target = dock.forms.stop.target
    for _ in range(3):
        target.stepUp()
    assert settings.kept.stop_target is None
    dock.close_study()
    assert settings.kept.stop_target == StopTarget(points=4.5, level=90)
    settings.keep(stop_target=StopTarget(points=6.0, level=80))
    open_in(dock, folder, qtbot)
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
    window_dock: ReviewWidget, folder: Path, settings: Settings, qtbot: Any, monkeypatch: Any
) -> None:
    dock = window_dock
    settings.keep(reading_layout=False)  # it is on at first
    dock._reads = False
    open_in(dock, folder, qtbot)
    settle(qtbot, dock)
    before, controller = docks_of(dock), dock.controller
    tools = dock.forms.corrections.tools
    assert not tools.visibleRegion().isEmpty()
    dock.findChild(FittingScrollArea).ensureWidgetVisible(dock.reading_button)
    qtbot.mouseClick(dock.reading_button, Qt.MouseButton.LeftButton)
    assert not tools.visibleRegion().isEmpty()
    reading, width = docks_of(dock), dock.width()
    assert not any(reading[name][0] for name in LAYER_DOCKS)
    assert reading["Review"] == before["Review"]
    qtbot.mouseClick(dock.reading_button, Qt.MouseButton.LeftButton)
    assert docks_of(dock) == before
    assert dock.width() == width
    qtbot.mouseClick(dock.reading_button, Qt.MouseButton.LeftButton)
    dock.close_study()
    assert docks_of(dock) == before
    # It is remembered, and ends also when a study cannot be shown
    open_in(dock, folder, qtbot)
    assert dock.controller is not controller
    assert dock.reading_button.isChecked()
    assert docks_of(dock) == reading
    monkeypatch.setattr(review_dock, "ReviewController", broken)
    with qtbot.captureExceptions() as raised:
        dock.open(folder)
        qtbot.waitUntil(lambda: not dock.is_opening)
    assert [kind for kind, _, _ in raised] == [RuntimeError]
    assert docks_of(dock) == before
    assert settings.kept.reading_layout
    monkeypatch.undo()
    open_in(dock, folder, qtbot)
    assert docks_of(dock) == reading
    dock.eventFilter(dock.window(), QCloseEvent())  # napari saves the layout as it closes
    assert docks_of(dock) == before
    dock.close_study()
    settle(qtbot)


def test_a_refused_close_keeps_the_reading_layout(
    window_dock: ReviewWidget, folder: Path, qtbot: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(review_dock, "CLOSING_MS", 20)
    dock = window_dock
    open_in(dock, folder, qtbot)
    reading = docks_of(dock)
    assert not any(reading[name][0] for name in LAYER_DOCKS)
    dock.eventFilter(dock.window(), QCloseEvent())  # and the window stays open
    qtbot.waitUntil(lambda: dock.reading_button.isChecked() and docks_of(dock) == reading)
    dock.close_study()
    settle(qtbot)


def counts_from_zero(window: Any) -> list[QWidget]:
    """Return what the window shows of napari's own counts."""
    counts = window.findChildren(QWidget, "slice_label")
    return [part for part in (*counts, window.statusBar()) if part.isVisible()]


def test_nothing_counts_from_zero_while_a_dock_is_open(
    window_dock: ReviewWidget, folder: Path, qtbot: Any
) -> None:
    main = window_dock.window()
    qtbot.waitUntil(lambda: not counts_from_zero(main))
    open_in(window_dock, folder, qtbot)  # now there are sliders
    qtbot.waitUntil(lambda: not counts_from_zero(main))
    names = [n for n in main.findChildren(QLineEdit, "axis_label") if n.isVisible()]
    assert {name.text() for name in names} == {"slice", "phase"}
    for name in names:
        assert name.fontMetrics().horizontalAdvance(name.text()) <= name.width()
    dock = window_dock.parent()
    dock.hide()
    assert len(counts_from_zero(main)) == 2 * len(names) + 1
    dock.show()
    assert not counts_from_zero(main)


def test_work_of_others_is_told_at_closing(dock: ReviewWidget) -> None:
    dock.controller.saver.other_found.emit(OTHER_WORK)
    dock.close_study()
    assert OTHER_WORK in dock.messages.hint.text()
    assert NO_STUDY in dock.messages.hint.text()


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("No controller.")
