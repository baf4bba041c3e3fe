"""Tests of what our docks share: tabs, titles and widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.qt import get_stylesheet
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDockWidget,
    QLabel,
    QMainWindow,
    QScrollArea,
    QStyle,
    QStyleOptionComboBox,
    QVBoxLayout,
    QWidget,
)

from napari_bayes_nnunet.widgets.common.dock import (
    PLUGIN,
    DockContent,
    MessageLabel,
    TwoLineMessage,
    column_layout,
    raise_dock,
)
from napari_bayes_nnunet.widgets.common.eliding_button import ElidingButton
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.evaluation.dock import EvaluationWidget
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget
from napari_bayes_nnunet.widgets.training.dock import TrainingWidget

from ...helpers.data.cines import make_cine
from ...helpers.processes.thread_child import ThreadChild
from ...helpers.windows.settling import settle

ADJUSTS = QComboBox.SizeAdjustPolicy.AdjustToContents
RIGHT, LEFT = Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.LeftDockWidgetArea


class First(DockContent):
    TITLE = "First"

    def sizeHint(self) -> QSize:
        return QSize(300, 300)


class Second(First):
    TITLE = "Second"


@pytest.fixture
def window(qtbot: Any) -> QMainWindow:
    """A window in which docks are placed as napari places them."""
    made = QMainWindow()
    qtbot.addWidget(made)
    made.setCentralWidget(QWidget())
    made.resize(1000, 700)
    made.show()
    return made


def process_events() -> None:
    """Process the events of a window that arranges its docks in several steps."""
    for _ in range(5):
        QApplication.processEvents()


@pytest.fixture
def add(window: QMainWindow, qtbot: Any) -> Callable[..., QDockWidget]:
    """Return a function that adds a dock as napari does, with a long name and a title bar."""

    def add_dock(content: QWidget, area: Qt.DockWidgetArea = RIGHT) -> QDockWidget:
        dock = QDockWidget(f"{type(content).__name__} ({PLUGIN})")
        bar = QWidget()
        QLabel(dock.windowTitle(), bar)
        dock.setTitleBarWidget(bar)
        dock.setWidget(content)
        window.addDockWidget(area, dock)
        dock.setFloating(False)
        process_events()
        return dock

    return add_dock


def test_docks_join_as_tabs_with_short_titles(window: QMainWindow, add: Any) -> None:
    of_others = add(QLabel("another plugin"))
    first = add(First())
    assert window.tabifiedDockWidgets(first) == []
    second = add(Second())
    assert window.tabifiedDockWidgets(second) == [first]
    assert window.tabifiedDockWidgets(of_others) == []
    assert (first.windowTitle(), second.windowTitle()) == ("First", "Second")
    assert second.titleBarWidget().findChild(QLabel).text() == "Second"
    second.setFloating(True)
    process_events()
    assert window.tabifiedDockWidgets(first) == []


def test_a_dock_in_another_area_stays_there(window: QMainWindow, add: Any) -> None:
    first, second = add(First()), add(Second(), LEFT)
    assert window.tabifiedDockWidgets(first) == []
    assert window.dockWidgetArea(second) == LEFT


def test_raising_finds_the_dock_in_the_window(add: Any) -> None:
    first, second = First(), Second()
    add(first)
    add(second)
    assert first.visibleRegion().isEmpty()
    assert not second.visibleRegion().isEmpty()
    assert raise_dock(None, second, "First") is first
    process_events()
    assert not first.visibleRegion().isEmpty()
    first.parent().close()
    raise_dock(None, second, "First")
    process_events()
    assert not first.visibleRegion().isEmpty()


# Widths


@pytest.fixture
def docks(
    qtbot: Any, settings: Settings, no_demo: None, tmp_path: Any
) -> Iterator[list[DockContent]]:
    """All docks, the Review dock with an open study."""
    child: Any = ThreadChild()
    segment = SegmentWidget(ViewerModel(), child=child, settings=settings)
    review = ReviewWidget(ViewerModel(), settings=settings)
    training = TrainingWidget(ViewerModel(), settings=settings)
    evaluation = EvaluationWidget(ViewerModel(), settings=settings)
    made = [segment, review, training, evaluation]
    for dock in made:
        qtbot.addWidget(dock)
    review.open(make_cine(tmp_path / "heart"))
    qtbot.waitUntil(lambda: review.controller is not None and not review.is_opening)
    for section in review.forms.sections.values():
        section.expand()
    yield made
    review.close_study()
    segment.close_child()
    settle(qtbot)


def cut_off(dock: DockContent) -> list[str]:
    """Return the texts of labels, buttons and fixed choices that are wider than their widget."""
    texts = []
    for label in dock.findChildren(QLabel):
        width = label.fontMetrics().horizontalAdvance(label.text())
        is_plain = label.text().isprintable() and not label.text().startswith("<")
        if label.isVisible() and is_plain and not label.wordWrap() and not _elides(label):
            texts += [label.text()] if width > label.width() else []
    for button in dock.findChildren(QAbstractButton):
        if button.isVisible() and button.text() and not isinstance(button, ElidingButton):
            texts += [button.text()] if button.sizeHint().width() > button.width() else []
    for box in dock.findChildren(QComboBox):
        if box.isVisible() and box.sizeAdjustPolicy() == ADJUSTS:
            option = QStyleOptionComboBox()
            box.initStyleOption(option)
            kind, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
            room = box.style().subControlRect(kind, option, field, box).width()
            choices = [box.itemText(index) for index in range(box.count())]
            # Qt's own size for the choices may be a pixel short.
            texts += [c for c in choices if box.fontMetrics().horizontalAdvance(c) > room + 1]
    return texts


def _elides(label: QLabel) -> bool:
    return type(label).__name__ == "QElidingLabel"


def test_no_word_is_cut_off_at_any_font(docks: list[DockContent]) -> None:
    for points, dock in product((8, 12, 18), docks):
        dock.setStyleSheet(get_stylesheet("dark", extra_variables={"font_size": f"{points}pt"}))
        dock.show()
        QApplication.processEvents()
        dock.resize(dock.minimumSizeHint().width(), 900)
        QApplication.processEvents()
        assert cut_off(dock) == [], (dock.TITLE, points)
        for area in dock.findChildren(QScrollArea):
            bar = area.horizontalScrollBarPolicy()
            if area.isVisible() and bar == Qt.ScrollBarPolicy.ScrollBarAlwaysOff:
                assert area.widget().width() <= area.viewport().width(), (dock.TITLE, points)
        dock.hide()


def test_a_two_line_message_has_room_for_both_lines(qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.setStyleSheet(get_stylesheet("dark"))
    room, lines = TwoLineMessage(), MessageLabel("x\nx")
    column_layout(window, room, lines)
    window.show()
    assert room.heightForWidth(300) >= lines.heightForWidth(300)
    height = room.heightForWidth(300)
    room.show_message("x\nx\nx")
    assert room.heightForWidth(300) == height


def test_a_longer_message_ends_after_two_lines(qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    room = TwoLineMessage()
    column.addWidget(room)
    window.setFixedWidth(220)
    window.show()
    two = "The RV has a piece.\nThe LV has none."
    room.show_message(two)
    assert room.text() == two
    three = "Slice 11: the RV has a separate piece.\nSlice 11: the LV has no myocardium at all."
    room.show_message(three)
    assert room.text().endswith("…")
    assert QLabel.heightForWidth(room, room.width()) <= room.heightForWidth(room.width())
    assert room.toolTip() == three
    window.setFixedWidth(600)
    qtbot.waitUntil(lambda: room.text() == three)
