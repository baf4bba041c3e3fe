"""Layout of the window during a review: more room for the image, thumbnails at the bottom."""

from __future__ import annotations

from typing import Any, Final

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

from ..common.dock import WholeLabel, main_window
from ..common.settings import Settings
from ..reading.thumbnails import Thumbnails

LAYER_DOCKS: Final = ("layer list", "layer controls")
"""Names of napari's docks that are hidden. Docks of plugins stay."""
THUMBNAIL_TITLE: Final = "Thumbnails"
DOCK_HEIGHT_SHARE: Final = 0.18
"""Largest height of the dock relative to the window: 144 px on the smallest screen."""
ROUNDING_PX: Final = 2
"""Difference of heights that the user has not chosen."""
SIDE_CORNER: Final = Qt.Corner.BottomRightCorner
"""Corner that goes to the docks on the right, because *Review* needs the height more."""


class ReadingLayout:
    """Layout of a window without napari's layer docks, which can be left again."""

    def __init__(self) -> None:
        self._window: QMainWindow | None = None
        self._hidden: list[str] = []
        self._sizes: dict[str, QSize] = {}

    @property
    def is_on(self) -> bool:
        """Whether the docks are hidden."""
        return self._window is not None

    def enter(self, window: QMainWindow | None) -> None:
        """Hide the docks of ``window``; nothing happens without a window."""
        if self.is_on or window is None:
            return
        self._window = window
        docks = {dock.objectName(): dock for dock in _docks_at_the_sides(window)}
        self._sizes = {name: dock.size() for name, dock in docks.items() if dock.isVisible()}
        self._hidden = [
            name for name in LAYER_DOCKS if name in docks and not docks[name].isHidden()
        ]
        for name in self._hidden:
            docks[name].hide()

    def leave(self) -> None:
        """Show the hidden docks again, and give all docks their former sizes."""
        window, self._window = self._window, None
        if window is None:
            return
        docks = _docks_at_the_sides(window)
        for dock in docks:
            if dock.objectName() in self._hidden:
                dock.show()
        sized = [dock for dock in docks if dock.objectName() in self._sizes and dock.isVisible()]
        sizes = [self._sizes[dock.objectName()] for dock in sized]
        window.resizeDocks(sized, [size.width() for size in sizes], Qt.Orientation.Horizontal)
        window.resizeDocks(sized, [size.height() for size in sizes], Qt.Orientation.Vertical)


class ThumbnailArea(QScrollArea):
    """Area for the thumbnails, which scroll sideways if there are very many, or a strip."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._patient = WholeLabel()
        self._patient.setParent(self)

    def show_patient(self, text: str) -> None:
        """Say above the content whose heart it shows."""
        self._patient.show_text(text)
        self._make_room()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the patient as many lines as the new width needs."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        height = self._patient.heightForWidth(self.width())
        self._patient.setGeometry(0, 0, self.width(), height)
        self.setViewportMargins(0, height, 0, 0)

    def set_content(self, content: QWidget) -> None:
        """Show this in place of the previous content, which is not deleted."""
        if content is self.widget():
            return  # it would lose the focus
        self.takeWidget()
        self.setWidget(content)
        content.show()
        self.setMinimumHeight(content.minimumSizeHint().height())

    def scroll_to(self, cell: QRect) -> None:
        """Bring a thumbnail into view."""
        center = cell.center()
        self.ensureVisible(center.x(), center.y(), cell.width(), 0)


class ThumbnailDock(QObject):
    """Dock with the thumbnails of the open study; it exists while they or a strip are shown.

    ``shown_changed`` is emitted when the thumbnails appear or disappear, ``strip_closed`` when the
    user closes the strip. ``settings`` remember that the user has closed the dock. It is no higher
    than its pictures need at their width, unless the user chooses its height. Without a window,
    nothing is shown.
    """

    shown_changed = Signal(bool)
    strip_closed = Signal()

    def __init__(self, viewer: Any, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._settings = settings
        self._is_wanted = True
        self._thumbnails: Thumbnails | None = None
        self._strip: QWidget | None = None
        self._patient = ""
        self._area: ThumbnailArea | None = None
        self._corner = Qt.DockWidgetArea.BottomDockWidgetArea
        self._main: QMainWindow | None = None  # a dock closed by its cross is in none
        self._height, self._fitted = 0, 0  # chosen by the user, and by us

    @property
    def is_shown(self) -> bool:
        """Whether the thumbnails have a place in the window, even if a strip covers them."""
        return self._area is not None and self._is_wanted

    def open(self, thumbnails: Thumbnails) -> None:
        """Show the thumbnails of a study, unless the user has closed those of another one."""
        self._thumbnails, self._is_wanted = thumbnails, self._settings.kept.thumbnails
        thumbnails.current_moved.connect(self._scroll_to)
        if self._is_wanted:
            self._show(thumbnails)
            self.shown_changed.emit(self.is_shown)
        else:
            self._remove()  # closed in another window

    def show_patient(self, text: str) -> None:
        """Say above the thumbnails whose heart they show."""
        self._patient = text
        if self._area is not None and isalive(self._area):
            self._area.show_patient(text)

    def cover(self, strip: QWidget, is_covered: bool) -> None:
        """Show a strip in place of the thumbnails, even if they are closed, or end this."""
        if is_covered:
            self._strip = strip
            self._show(strip)
        elif self._strip is not None:
            self._strip = None
            if self._is_wanted and self._thumbnails is not None:
                self._show(self._thumbnails)
                QTimer.singleShot(0, self._fit)  # the window may have another size
            else:
                self._remove()

    def set_shown(self, are_shown: bool) -> None:
        """Show or hide the thumbnails as the user wants, and remember the choice."""
        self._is_wanted = are_shown
        self._settings.keep(thumbnails=are_shown)
        if not are_shown:
            self._remove()
        elif self._area is None and self._thumbnails is not None:
            self._show(self._thumbnails)
        self.shown_changed.emit(self.is_shown)
        if not are_shown and self._strip is not None:
            self.strip_closed.emit()

    def clear(self) -> None:
        """Show no thumbnails, but keep the dock for the next study."""
        self._thumbnails = self._strip = None
        self.show_patient("")

    def close(self) -> None:
        """Remove the dock, because no study is open."""
        self.clear()
        self._remove()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fit the height to the width; remove the dock if the user hides or closes it."""
        if isinstance(event, QResizeEvent) and event.oldSize().width() != event.size().width():
            QTimer.singleShot(0, self._fit)  # after the window has its layout
        area = self._area
        if area is not None and isalive(area):
            is_hidden = event.type() == QEvent.Type.Close and watched is area.parent()
            is_taken = event.type() == QEvent.Type.ParentChange and area.parent() is None
            if is_hidden or (is_taken and watched is area):
                QTimer.singleShot(0, self._on_closed)  # after napari has ended
        return bool(super().eventFilter(watched, event))

    def _scroll_to(self, cell: QRect) -> None:
        if self._area is not None and self._strip is None:
            self._area.scroll_to(cell)

    def _on_closed(self) -> None:
        if self._area is not None and (self._strip is None or self._is_wanted):
            self.set_shown(False)
        elif self._area is not None:
            self.strip_closed.emit()

    def _fit(self) -> None:
        """Make the dock as high as its thumbnails, unless the user has chosen the height."""
        area, thumbnails = self._area, self._thumbnails
        if area is None or thumbnails is None or self._strip is not None or not isalive(area):
            return
        dock, main = area.parent(), main_window(area)
        if not isinstance(dock, QDockWidget) or main is None or dock.isFloating():
            return
        if self._is_fitted(dock):
            beside = dock.height() - area.viewport().height()
            most = round(DOCK_HEIGHT_SHARE * main.height()) - beside
            self._fitted = thumbnails.fitting_height(most) + beside
            main.resizeDocks([dock], [self._fitted], Qt.Orientation.Vertical)

    def _show(self, content: QWidget) -> None:
        """Show thumbnails or a strip, in a new dock if there is none."""
        if self._area is not None:
            self._area.set_content(content)
            return
        window = getattr(self._viewer, "window", None)
        if window is None:
            return
        self._area = area = ThumbnailArea()
        area.show_patient(self._patient)
        area.set_content(content)
        window.add_dock_widget(area, name=THUMBNAIL_TITLE, area="bottom")
        dock, main = area.parent(), main_window(area)
        if isinstance(dock, QDockWidget) and main is not None:
            self._main, self._corner = main, main.corner(SIDE_CORNER)
            main.setCorner(SIDE_CORNER, Qt.DockWidgetArea.RightDockWidgetArea)
            self._fitted = round(DOCK_HEIGHT_SHARE * main.height())
            height = self._height or self._fitted
            main.resizeDocks([dock], [height], Qt.Orientation.Vertical)
            dock.installEventFilter(self)
            area.installEventFilter(self)  # it is as wide as the thumbnails, unless they scroll

    def _remove(self) -> None:
        area, self._area = self._area, None
        if area is None or not isalive(area):  # the window was closed
            return
        dock, main = area.parent(), self._main
        if isinstance(dock, QDockWidget):
            is_chosen = not dock.isFloating() and not self._is_fitted(dock)
            self._height = dock.height() if is_chosen else 0
            self._viewer.window.remove_dock_widget(area)
        if main is not None:
            main.setCorner(SIDE_CORNER, self._corner)
        area.takeWidget()
        area.deleteLater()
        self.shown_changed.emit(False)

    def _is_fitted(self, dock: QDockWidget) -> bool:
        return bool(abs(dock.height() - self._fitted) <= ROUNDING_PX)


def _docks_at_the_sides(window: QMainWindow) -> list[QDockWidget]:
    """Return the docks to the left and the right of the canvas, without floating ones."""
    sides = (Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea)
    docks = window.findChildren(QDockWidget)
    return [
        dock for dock in docks if window.dockWidgetArea(dock) in sides and not dock.isFloating()
    ]
