"""Headings, rows, messages and scroll areas of all docks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

from napari.plugins import menu_item_template
from npe2 import PluginManager
from qtpy.QtCore import QEvent, QObject, QRect, QSize, Qt, QTimer
from qtpy.QtGui import (
    QFont,
    QFontMetrics,
    QIcon,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
    QTextLayout,
)
from qtpy.QtWidgets import (
    QWIDGETSIZE_MAX,
    QBoxLayout,
    QDockWidget,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QListView,
    QMainWindow,
    QScrollArea,
    QScrollBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from .levels import Level, Themed, level_color

PLUGIN = "napari-bayes-nnunet"
TITLE_STYLE = "font-size: 13px"
"""Size of a text that fits napari's title bar, which does not grow with the font."""
SETTLED_MS = 50
"""Delay after which all parts of a window have passed on the width that they need."""
DOCK_WIDTH = 360
"""Smallest width of a dock in pixels; laptop screens have no more to spare."""


def heading(text: str) -> QLabel:
    """Return the title of a part of a dock."""
    label = QLabel(f"<b>{text}</b>")
    label.setContentsMargins(0, 6, 0, 0)
    return label


Control = TypeVar("Control", bound=QWidget)


def explained(control: Control, help_text: str) -> Control:
    """Return a button, switch or choice with its help.

    It takes the focus by the Tab key only, because letters are keys of a review.
    """
    control.setToolTip(help_text)
    control.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return control


def line() -> QFrame:
    """Return a horizontal line."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    return frame


LINE_BREAK: Final = r"(?<=[_.^-])(?!nii|gz)"
"""Where a name of a file or a person without spaces may go on in the next line."""
_STYLE_CHANGES = (QEvent.Type.StyleChange, QEvent.Type.Polish)


class ThemeFont(QObject):
    """Keeps the fonts of ``widget`` and its ``others`` as large as those of napari's lists.

    napari's style sheet sets the size of the font of each class of widgets, but not of tables or
    of widgets that are painted, which would stay at the size of the system.
    """

    def __init__(self, widget: QWidget, *others: QWidget) -> None:
        super().__init__(widget)
        self._widgets = (widget, *others)
        self._list = QListView(widget)
        self._list.hide()
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the size of a new style sheet."""
        if event.type() in _STYLE_CHANGES:
            # Qt gives a widget that was never shown its style only on request.
            self._list.ensurePolished()
            size = self._list.font().pointSizeF()
            for widget in self._widgets:
                font = widget.font()
                if size > 0 and font.pointSizeF() != size:
                    font.setPointSizeF(size)
                    widget.setFont(font)
        return bool(super().eventFilter(watched, event))


class QuietScrollBar(QScrollBar):
    """Scroll bar that is invisible while there is nothing to scroll."""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bar if it can move."""
        if self.maximum() > self.minimum():
            super().paintEvent(event)


class ContentScrollArea(QScrollArea):
    """Scroll area without a frame, whose own size follows that of its content."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the new size of the content."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


class FittingScrollArea(ContentScrollArea):
    """Vertical scroll area that is as wide as its content needs, so that nothing is cut off.

    The content has the same width with and without something to scroll.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__(content)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBar(QuietScrollBar())
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest width of the content next to a scroll bar."""
        size = super().minimumSizeHint()
        beside = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
        size.setWidth(max(self.widget().minimumSizeHint().width() + beside, DOCK_WIDTH))
        return size

    def sizeHint(self) -> QSize:
        """Return the preferred height of a scroll area, and the smallest width."""
        return QSize(self.minimumSizeHint().width(), super().sizeHint().height())


class DockContent(QWidget):
    """Base class of the docks, with hooks for closing; a tab in front only hides a dock.

    When a dock is first shown, it becomes a tab named ``TITLE`` next to our other docks. napari
    0.9.2 ignores ``tabify`` in the manifest and names a tab after widget and plugin.
    """

    TITLE: ClassVar[str]
    READS_IMAGES: ClassVar[bool] = False
    """Whether a reader works with slices while the dock is open, see `quiet_window`."""
    dock_name = ""
    """Name by which napari knows the dock that holds this widget, or held it last."""
    _width, _widened = 0, 0
    """Width before the content widened the dock, and after it, px."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Call `_on_dock_closed` when the dock is closed, and keep the window quiet."""
        if event.type() == QEvent.Type.Close and isinstance(watched, QDockWidget):
            self._on_dock_closed()
        if event.type() == QEvent.Type.LayoutRequest and self.width() <= self._widened:
            QTimer.singleShot(SETTLED_MS, self._give_back_width)
        is_dock = isinstance(watched, QDockWidget)
        if self.READS_IMAGES and event.type() in (_DOCK_CHANGES if is_dock else _SLIDER_CHANGES):
            part = watched if isinstance(watched, QWidget) else None
            window = main_window(part)
            if window not in (None, part):
                quiet_window(window)
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Watch the dock that this widget enters; call `_on_taken_out` when it leaves."""
        if event.type() == QEvent.Type.ParentChange:
            dock = self.parent()
            if isinstance(dock, QDockWidget):
                self.dock_name = dock.objectName()
                dock.installEventFilter(self)
                # napari sets one, and with it Qt never lets the dock be narrower than it once was.
                dock.setMinimumSize(0, 0)
                dock.topLevelChanged.connect(self._show_title)  # napari makes a new title bar
                dock.dockLocationChanged.connect(self._show_title)
                QTimer.singleShot(0, self._join_tabs)  # after napari has placed the dock
            elif dock is None:
                self._on_taken_out()
        return bool(super().event(event))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Note that the content, not the user, has widened the dock."""
        super().resizeEvent(event)
        before, width = event.oldSize().width(), event.size().width()
        if 0 < before < width <= self.minimumSizeHint().width():
            self._width, self._widened = min(before, self._width or before), width

    def _give_back_width(self) -> None:
        """Narrow a dock that its content has widened to the width that it needs now."""
        dock, window = self.parent(), main_window(self)
        width = max(self._width, self.minimumSizeHint().width())
        if width < self.width() and isinstance(dock, QDockWidget) and window is not None:
            dock.layout().invalidate()  # it keeps the smallest width that the dock had
            dock.layout().activate()
            beside = dock.width() - self.width()
            window.resizeDocks([dock], [width + beside], Qt.Orientation.Horizontal)

    def raise_dock(self) -> None:
        """Show the dock in front of the other tabs."""
        dock = self.parent()
        if isinstance(dock, QDockWidget):
            dock.show()  # it may be closed
            dock.raise_()

    def raise_if_behind(self) -> bool:
        """Show the dock if another tab covers it, and return whether one did."""
        dock, window = self.parent(), main_window(self)
        if window is None or not window.isVisible() or not isinstance(dock, QDockWidget):
            return False
        is_behind = bool(window.tabifiedDockWidgets(dock)) and dock.visibleRegion().isEmpty()
        if is_behind:
            self.raise_dock()
        return is_behind

    def _join_tabs(self) -> None:
        """Make the dock a tab in front of our other docks in the same area."""
        self._show_title()
        dock, window = self.parent(), main_window(self)
        if not isinstance(dock, QDockWidget) or window is None:
            return
        self._on_docked(window)
        if self.READS_IMAGES and hasattr(window, "_qt_viewer"):
            window._qt_viewer.dims.installEventFilter(self)  # it makes new sliders at any time
            quiet_window(window)
        area = window.dockWidgetArea(dock)
        for content in dock_contents(window):
            other = content.parent()
            is_beside = window.dockWidgetArea(other) == area and not other.isFloating()
            if other is not dock and is_beside and not other.isHidden():
                if other not in window.tabifiedDockWidgets(dock):
                    window.tabifyDockWidget(other, dock)
                QTimer.singleShot(0, self.raise_dock)  # once the window has made the tab
                return

    def _show_title(self) -> None:
        dock = self.parent()
        if isinstance(dock, QDockWidget):
            dock.setWindowTitle(self.TITLE)
            bar = dock.titleBarWidget()
            for label in bar.findChildren(QLabel) if bar is not None else ():
                label.setText(self.TITLE)
                label.setStyleSheet(TITLE_STYLE)

    def _lay_out_page(self, *parts: Part) -> FittingScrollArea:
        """Show the parts below each other, in an area that scrolls."""
        content = QWidget()
        page_layout(content, *parts, None)
        area = FittingScrollArea(content)
        column_layout(self, area)
        return area

    def _on_docked(self, window: QMainWindow) -> None:
        """Prepare the window in which the dock is shown."""

    def _on_dock_closed(self) -> None:
        """Handle the closing of the dock, which may be shown again."""

    def _on_taken_out(self) -> None:
        """Release the viewer, because the dock was removed."""


def main_window(widget: QWidget | None) -> QMainWindow | None:
    """Return the main window of ``widget``, even of one in a floating dock."""
    while widget is not None and not isinstance(widget, QMainWindow):
        widget = widget.parentWidget()
    return widget


def dock_contents(window: QMainWindow) -> list[DockContent]:
    """Return the contents of our docks in ``window``."""
    contents = (dock.widget() for dock in window.findChildren(QDockWidget))
    return [content for content in contents if isinstance(content, DockContent)]


_DOCK_CHANGES = (QEvent.Type.Show, QEvent.Type.Hide)  # a dock lays itself out at every message
_SLIDER_CHANGES = (QEvent.Type.LayoutRequest,)


def quiet_window(window: QMainWindow) -> None:
    """Hide what napari counts from 0 or says about its tools while a reader has a dock open.

    These are the numbers of the sliders, which the canvas shows counted from 1, and the status bar.
    The names of the sliders become as wide as their texts, as napari does for typed names.
    """
    viewer: Any = getattr(window, "_qt_viewer", None)
    if viewer is None:
        return
    docks = [content for content in dock_contents(window) if content.READS_IMAGES]
    is_quiet = any(not content.parent().isHidden() for content in docks)
    window.statusBar().setVisible(not is_quiet)
    for name in ("slice_label", "slice_label_sep"):
        for part in viewer.dims.findChildren(QWidget, name):
            part.setVisible(not is_quiet)
    # napari fits them only to typed texts and a wider window, so that both could read "…".
    for label in viewer.dims.findChildren(QLineEdit, "axis_label")[:1]:
        label.textChanged.emit(label.text())


def raise_dock(viewer: Any, asking: QWidget, title: str) -> Any:
    """Return the dock ``title`` in the window of ``asking``, opened and in front."""
    window = main_window(asking)
    for content in dock_contents(window) if window is not None else ():
        if title == content.TITLE:
            content.raise_dock()
            return content
    plugins = PluginManager.instance()
    (found,) = (
        widget
        for widget in plugins.iter_widgets()
        if (widget.plugin_name, widget.display_name) == (PLUGIN, title)
    )
    # Window.add_plugin_dock_widget gives it a name that napari's menu does not know, which then
    # opens a second one.
    name = menu_item_template.format(plugins.get_manifest(PLUGIN).display_name, title)
    made: Any = found.get_callable()(viewer)
    viewer.window.add_dock_widget(made, name=name, tabify=True)
    made.raise_dock()
    return made


Part: TypeAlias = QWidget | QLayout | None
"""Part of a column or a row; None is an empty space that takes the rest of the room."""
_Box = TypeVar("_Box", bound=QBoxLayout)


def column_layout(parent: QWidget | None, *parts: Part) -> QVBoxLayout:
    """Return a column of widgets and layouts without margins."""
    return _lay_out(QVBoxLayout(parent), parts)


def row_layout(parent: QWidget | None, *parts: Part, wide: QWidget | None = None) -> QHBoxLayout:
    """Return a row without margins, in which the ``wide`` widget takes the rest of the room."""
    row = _lay_out(QHBoxLayout(parent), parts)
    if wide is not None:
        row.setStretchFactor(wide, 1)
    return row


def share_row(parent: QWidget | None, shares: Mapping[QWidget, int]) -> QHBoxLayout:
    """Return a row without margins, in which each widget has its share of the room."""
    row = row_layout(parent, *shares)
    for widget, share in shares.items():
        row.setStretchFactor(widget, share)
    return row


def page_layout(parent: QWidget, *parts: Part) -> QVBoxLayout:
    """Return a column that fills ``parent`` but for the usual margins of a window."""
    column = column_layout(None, *parts)
    QVBoxLayout(parent).addLayout(column)
    return column


def _lay_out(box: _Box, parts: Sequence[Part]) -> _Box:
    box.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        if part is None:
            box.addStretch(1)
        elif isinstance(part, QLayout):
            box.addLayout(part)
        else:
            box.addWidget(part)
    return box


def form_layout(parent: QWidget | None = None, **fields: QWidget) -> QFormLayout:
    """Return a form without margins, of ``fields`` by their titles, which take the full width."""
    rows = QFormLayout(parent)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for title, field in fields.items():
        rows.addRow(row_label(title), field)
    return rows


WIDEST_LABEL = "Decay over"
LABEL_PADDING = 12
"""Room for the padding that napari's style gives a label, px."""
TEXT_MARGIN = 4
"""Margin around selectable text in a QLabel, px."""


def row_label(text: str) -> QLabel:
    """Return the label of a row, as wide as `WIDEST_LABEL` so that all rows line up."""
    label = SteadyLabel(WIDEST_LABEL, padding=LABEL_PADDING)
    label.setText(text)
    label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
    return label


_FLAT = """
QPushButton, QPushButton:checked { text-align: left; border: 0; background: transparent; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""


class CollapsibleSection(QCollapsible):
    """Content below a button that shows and hides it; hidden at first."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__(title, None, QIcon(), QIcon())  # its arrows ignore napari's theme
        self._title = title
        self.toggleButton().setStyleSheet(_FLAT)
        # superqt adds the new content next to its own, which it does not take out.
        self.content().setParent(None)
        self.setContent(content)
        # An animation would move what the reader wants to click.
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def text(self) -> str:
        """Return the title."""
        return self._title

    def setText(self, text: str) -> None:
        """Set the title."""
        self._title = text
        super().setText(f"{'▾' if self.isExpanded() else '▸'} {text}")

    def _on_toggled(self, shown: bool) -> None:
        """Let shown content grow, and keep hidden content from taking the Tab key."""
        # superqt fixes the height of what it shows, but this content may grow later.
        self.content().setMaximumHeight(QWIDGETSIZE_MAX)
        self.content().setVisible(shown)
        self.setText(self._title)


class LevelLabel(Themed, QLabel):
    """Text in the colour of its level, which follows the theme; ``style`` adds other properties."""

    def __init__(self, text: str = "", *, level: Level = "fine", style: str = "") -> None:
        self._level: Level = level
        self._style = style
        super().__init__(text)
        self.take_theme()

    def take_theme(self) -> None:
        """Take the colour of the level."""
        color = level_color(self._level, self)
        style = "; ".join(filter(None, (self._style, f"color: {color}" if color else "")))
        style = f"QLabel {{ {style} }}" if style else ""  # else tooltips take the colour as well
        if style != self.styleSheet():  # setting a style emits another change
            self.setStyleSheet(style)


class MessageLabel(LevelLabel):
    """Text that wraps and can be copied, in the colour of its level; hidden while it is empty."""

    def __init__(self, text: str = "", *, level: Level = "fine") -> None:
        super().__init__(level=level)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names from files may look like HTML
        self.setMinimumSize(QSize(0, 0))
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.show_message(text, level)

    def show_message(self, text: str, level: Level | None = None) -> None:
        """Show ``text`` in place of the previous text, in the same level unless one is given."""
        self._level = level or self._level
        self.take_theme()
        self.setText(text)
        if self.isWindow():  # not yet in a form; shown now, it would flash as a window of its own
            self.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, not text)
        else:
            self.setVisible(bool(text))


class SteadyLabel(QLabel):
    """Label that is wide enough for each of the ``widest`` texts in the font in use.

    ``padding`` is the room beside the text, px. Without it, napari's is taken away, too.
    """

    def __init__(self, *widest: str, padding: int = 0) -> None:
        super().__init__()
        self._widest, self._padding = widest, padding or 2  # Qt rounds up
        if not padding:
            self.setStyleSheet("padding: 0")

    def minimumSizeHint(self) -> QSize:
        """Return the size that fits all texts."""
        return self.sizeHint()

    def sizeHint(self) -> QSize:
        """Return the size that fits all texts."""
        advance = self.fontMetrics().horizontalAdvance
        widest = max(map(advance, self._widest), default=0) + self._padding
        return super().sizeHint().expandedTo(QSize(widest, 0))


class WholeLabel(QLabel):
    """Bold text, such as a file name, that wraps after _ . ^ and - and is never cut."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names from files may look like HTML
        self.setStyleSheet("font-weight: bold; padding: 1px 0")
        # A long name wraps instead of widening the dock.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def show_text(self, text: str) -> None:
        """Show ``text``, which may have no spaces."""
        self.setText(re.sub(LINE_BREAK, "\N{ZERO WIDTH SPACE}", text))


class TwoLineMessage(MessageLabel):
    """Message with room for two lines, also while there is none, so that nothing below it moves.

    A longer text ends in "…"; the whole text is also the tooltip.
    """

    def __init__(self, *, level: Level = "fine") -> None:
        super().__init__(level=level)
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)

    def heightForWidth(self, width: int) -> int:
        """Return the height of two lines, px, at any width."""
        margins = self.contentsMargins()
        lines = self.fontMetrics().boundingRect(QRect(), 0, "x\nx").height()
        return int(lines + margins.top() + margins.bottom() + 2 * TEXT_MARGIN)

    def sizeHint(self) -> QSize:
        """Return the size of two lines."""
        return QSize(super().sizeHint().width(), self.heightForWidth(0))

    def minimumSizeHint(self) -> QSize:
        """Return the height of two lines."""
        return QSize(0, self.heightForWidth(0))

    def show_message(self, text: str, level: Level | None = None) -> None:
        """Show ``text`` in place of the previous text, in the same level unless one is given."""
        self.setToolTip(text)
        super().show_message(text, level)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the text to the new width."""
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        """Fit a text that was given before."""
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        # Before it is shown, the label does not have its width.
        if self.isVisible():
            width = self.contentsRect().width() - 2 * TEXT_MARGIN
            text = fit_two_lines(self.toolTip(), self.font(), width)
            if text != self.text():
                self.setText(text)


def fit_two_lines(text: str, font: QFont, width: int) -> str:
    """Return a text that fits into two lines of this width, px; a longer one ends in "…"."""
    # QTextLayout breaks lines at this separator, not at "\n".
    layout = QTextLayout(text.replace("\n", "\u2028"), font)
    layout.beginLayout()
    starts = []
    while (line := layout.createLine()).isValid():
        line.setLineWidth(width)
        starts.append(line.textStart())
    layout.endLayout()
    if len(starts) <= 2:
        return text
    first, rest = text[: starts[1]].rstrip(), text[starts[1] :].replace("\n", " ")
    elided = QFontMetrics(font).elidedText(rest, Qt.TextElideMode.ElideRight, width)
    return f"{first}\n{elided}"
