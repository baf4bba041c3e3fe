"""Mouse and keyboard of a reader in a shown window, with Qt events as from a window system."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtGui import QAction
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QMenu,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QWidget,
)

from napari_bayes_nnunet.widgets.common.dock import dock_contents

PATIENCE_S = 900
POLL_MS = 30
SETTLED_MS = 120
OPENED_MS = 500
"""A list that has just opened ignores the mouse for the time of a double click."""
TRIES = 20
LEFT = Qt.MouseButton.LeftButton
NO_KEY = Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier

Dialog = TypeVar("Dialog", bound=QDialog)


class Hand:
    """Hand that clicks only where the mouse would hit, after scrolling there as a reader would."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.window = viewer.window._qt_window
        QApplication.setActiveWindow(self.window)  # without a window manager nobody else does

    def wait(self, milliseconds: int = SETTLED_MS) -> None:
        """Process events for some time."""
        QTest.qWait(milliseconds)

    def until(self, condition: Callable[[], Any]) -> None:
        """Process events until a condition is true. Raises AssertionError after 15 minutes."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"timed out after {PATIENCE_S} s"
            QTest.qWait(POLL_MS)

    def dock(self, title: str) -> Any:
        """Return our dock with a title, once it is shown."""
        found: list[Any] = []

        def is_shown() -> bool:
            found[:] = [d for d in dock_contents(self.window) if title == d.TITLE and d.isVisible()]
            return bool(found)

        self.until(is_shown)
        self.wait()
        return found[0]

    def click(self, part: QWidget, at: QPoint | None = None, *, double: bool = False) -> None:
        """Click on a part of a window. Raises AssertionError if the mouse would hit another one."""
        point = part.rect().center() if at is None else at
        self.until(part.isEnabled)
        for _ in range(TRIES):
            self._scroll_to(part)
            hit = QApplication.widgetAt(part.mapToGlobal(point))
            if hit is not None and (hit is part or part.isAncestorOf(hit)):
                break
            self.wait()  # until the window is laid out
        else:
            raise AssertionError(f"{hit} is in front of {part}")
        (QTest.mouseDClick if double else QTest.mouseClick)(part, LEFT, NO_KEY, point)
        self.wait()

    def drag(self, part: QWidget, start: QPoint, end: QPoint) -> None:
        """Drag something on a part of a window."""
        QTest.mousePress(part, LEFT, NO_KEY, start)
        QTest.mouseMove(part, end)
        QTest.mouseRelease(part, LEFT, NO_KEY, end)
        self.wait()

    def close_notifications(self) -> None:
        """Close what napari shows in front of the canvas."""
        for notification in self.window.findChildren(NapariQtNotification):
            notification.close()

    def press(self, key: Any, modifier: Any = NO_KEY) -> None:
        """Press a key while the canvas has the focus."""
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key, modifier)
        self.wait()

    def type(self, field: QWidget, text: str) -> None:
        """Replace the text of a field, and press Enter."""
        edit = field if isinstance(field, QLineEdit) else field.findChild(QLineEdit)
        self.click(edit)
        QTest.keyClick(edit, Qt.Key.Key_A, CONTROL)
        if text.isascii():
            QTest.keyClicks(edit, text)
        else:
            edit.insert(text)  # as if pasted, since QTest has keys for ASCII only
        QTest.keyClick(edit, Qt.Key.Key_Return)
        self.wait()

    def pick(self, combo: QComboBox, text: str) -> None:
        """Pick the entry of a list that starts with a text."""
        texts = [combo.itemText(row) for row in range(combo.count())]
        row = next(row for row, entry in enumerate(texts) if entry.startswith(text))
        self.click(combo)
        self.until(combo.view().isVisible)
        self.wait(OPENED_MS)
        view = combo.view()
        index = combo.model().index(row, combo.modelColumn())
        view.scrollTo(index)
        self.click(view.viewport(), view.visualRect(index).center())
        assert combo.currentIndex() == row

    def choose_in_menu(self, *titles: str) -> None:
        """Go through the menus of the window; each title is the start of an entry."""
        menu: Any = self.window.menuBar()
        for title in titles:
            action = next(a for a in menu.actions() if a.text().replace("&", "").startswith(title))
            self.click(menu, menu.actionGeometry(action).center())
            below: QMenu | None = action.menu()
            if below is not None:
                self.until(below.isVisible)
                menu = below

    def choose_below(self, button: QPushButton, action: QAction) -> None:
        """Open the menu of a button, which holds up the click, and choose an entry."""
        menu = button.menu()
        QTimer.singleShot(OPENED_MS, lambda: self.click(menu, menu.actionGeometry(action).center()))
        self.click(button)

    def answer(self, kind: type[Dialog], give: Callable[[Dialog], None]) -> None:
        """Answer the next dialog of a kind, which holds up the click that opens it."""
        timer = QTimer(self.window)

        def look() -> None:
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, kind):
                timer.stop()
                timer.deleteLater()
                self.wait()
                give(dialog)

        timer.timeout.connect(look)
        timer.start(POLL_MS)

    def choose_folder(self, folder: Path) -> None:
        """Enter a folder in the next file dialog."""

        def give(dialog: QFileDialog) -> None:
            edit = dialog.findChild(QLineEdit)
            QTest.keyClick(edit, Qt.Key.Key_A, CONTROL)
            edit.insert(str(folder))  # as if pasted, since completions would open while typing
            QTest.keyClick(edit, Qt.Key.Key_Return)

        folder.mkdir(parents=True, exist_ok=True)
        self.answer(QFileDialog, give)

    def say_yes(self, look: Callable[[QMessageBox], None] = lambda _: None) -> None:
        """Press *Yes* in the next question, after a look at it."""

        def give(box: QMessageBox) -> None:
            look(box)
            self.click(box.button(QMessageBox.StandardButton.Yes))

        self.answer(QMessageBox, give)

    def _scroll_to(self, part: QWidget) -> None:
        self.until(part.isVisible)
        parent = part.parentWidget()
        while parent is not None:
            if isinstance(parent, QScrollArea) and parent.widget().isAncestorOf(part):
                parent.ensureWidgetVisible(part)
            parent = parent.parentWidget()
        self.wait(POLL_MS)
