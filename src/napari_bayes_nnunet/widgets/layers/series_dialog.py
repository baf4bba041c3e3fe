"""Dialog to choose the short axis and the long axes among the series of a DICOM folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from napari import current_viewer
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QWidget,
)

from ...core.heart.long_axis import LONG_AXIS_KINDS, LongAxisKind
from ...io import DataError
from ...io.dicom.examination import (
    NEVER_LONG_AXES,
    SHORT_AXIS_VIEW,
    SeriesView,
    change_view,
    classify_series,
)
from ...io.dicom.reader import read_study_date, read_thumbnail
from ...io.dicom.series import Stack
from ..common.dock import page_layout
from ..common.form import NarrowComboBox
from ..common.settings import Settings
from ..common.wording import in_the_window
from .study_card import THUMBNAIL_SIDE, AliasForm, make_thumbnail

SEVERAL_CANDIDATES = "Several series could be the short-axis cine. Choose the one to open."
NO_CANDIDATE = "None of these series looks like a short-axis cine. Choose the one to open."
CHANGE_VIEWS = "Choose the short axis in the list, and the long axes below it."
CANDIDATE = "Possibly the short-axis cine."
NOT_TAKEN = "Not used, because {reason}."
NO_SERIES = "none"
STUDY_DATE, NO_DATE = "Study of {date}", "unknown date"


class StackChooser(QDialog):
    """List of stacks, each with a description and a picture of its middle slice.

    The selected one is the short axis; the boxes below have the stack of each long axis, at first
    those of ``views``, or as `classify_series` finds them. The user's own names and, if the user
    wants them, the dates of the studies are shown too.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        *,
        views: Sequence[SeriesView] = (),
        settings: Settings | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._stacks: list[Stack] = list(stacks)
        self._settings = settings or Settings()
        self._dates: dict[str, str] = {}
        self.views: list[SeriesView] = []
        self.setWindowTitle("DICOM series")
        has_candidate = any(stack.is_short_axis_cine for stack in stacks)
        question = SEVERAL_CANDIDATES if has_candidate else NO_CANDIDATE
        self.question = QLabel(CHANGE_VIEWS if views else question)
        self.list = QListWidget()
        self.list.setIconSize(QSize(THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        self.list.setMinimumSize(QSize(560, 340))
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self.notes = AliasForm(self._settings)
        self.boxes = {kind: NarrowComboBox() for kind in LONG_AXIS_KINDS}
        self._long_axes = QWidget()
        boxes = QFormLayout(self._long_axes)
        for kind, box in self.boxes.items():
            boxes.addRow(kind, box)
            box.activated.connect(partial(self._on_chosen, kind))
        page_layout(self, self.question, self.list, self._long_axes, self.notes, self.buttons)
        for stack in self._stacks:
            self.list.addItem(_make_item(stack))
        row = next((r for r, v in enumerate(views) if v.view == SHORT_AXIS_VIEW), None)
        self.list.setCurrentRow(_first_readable(self._stacks) if row is None else row)
        self._on_row_changed(self.list.currentRow())
        if views:
            self._show(views)
        self.notes.changed.connect(self._describe)
        self.list.currentRowChanged.connect(self._on_row_changed)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.list.itemDoubleClicked.connect(self._on_double_clicked)

    @property
    def chosen(self) -> Stack:
        """The selected stack."""
        row: int = max(self.list.currentRow(), 0)
        return self._stacks[row]

    def _on_row_changed(self, row: int) -> None:
        self.notes.set_study(self.chosen.pseudonym if row >= 0 else "")
        self._show(classify_series(self._stacks, self.chosen))

    def _on_chosen(self, kind: LongAxisKind, _: int) -> None:
        self._show(change_view(self.views, kind, self.boxes[kind].currentData()))

    def _show(self, views: Sequence[SeriesView]) -> None:
        """Show what the series are taken as; some of them cannot be a long axis of this heart."""
        self.views = list(views)
        names = {
            row: str(series.stack)
            for row, series in enumerate(views)
            if series.view != SHORT_AXIS_VIEW and series.reason not in NEVER_LONG_AXES
        }
        self._long_axes.setVisible(bool(names))
        for kind, box in self.boxes.items():
            box.set_choices({None: NO_SERIES} | names)
            box.choose(next((r for r, v in enumerate(views) if v.view == kind), None))
        self._describe()

    def _describe(self) -> None:
        """Show the texts of all stacks, with names and dates as they are now wanted."""
        for row, stack in enumerate(self._stacks):
            alias = self._settings.kept.study_aliases.get(stack.pseudonym, "")
            view = self.views[row]
            taken = view.view or NOT_TAKEN.format(reason=view.reason)
            parts = [alias, describe_stack(stack), taken, self._date_of(stack)]
            self.list.item(row).setText("\n".join(filter(None, parts)))

    def _date_of(self, stack: Stack) -> str:
        """Return the line with the date of a stack, which is only read if it is shown."""
        if not self._settings.kept.shows_study_dates:
            return ""
        if stack.pseudonym not in self._dates:
            self._dates[stack.pseudonym] = read_study_date(stack)
        return STUDY_DATE.format(date=self._dates[stack.pseudonym] or NO_DATE)

    def _on_double_clicked(self, item: QListWidgetItem) -> None:
        if item.flags() & Qt.ItemFlag.ItemIsEnabled:
            self.accept()


def ask_for_views(
    stacks: Sequence[Stack],
    *,
    views: Sequence[SeriesView] = (),
    parent: QWidget | None = None,
) -> list[SeriesView]:
    """Let the user choose what the stacks show; return [] if the dialog is cancelled."""
    viewer = current_viewer()  # no window need be active just after a drop
    window = parent or (viewer and viewer.window._qt_window)
    dialog = StackChooser(stacks, views=views, parent=window)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    # Its parent would keep it until the window is closed.
    dialog.deleteLater()
    return dialog.views if accepted else []


def describe_stack(stack: Stack) -> str:
    """Return lines with the series, its size and, if it cannot be read, the reason."""
    lines = [f"{stack.description or 'no description'} ({stack.series_name})", stack.size]
    if stack.is_short_axis_cine:
        lines.append(CANDIDATE)
    if stack.problem:
        lines.append(f"Cannot be read: {stack.problem}.")
    return "\n".join(lines)


def _make_item(stack: Stack) -> QListWidgetItem:
    item = QListWidgetItem()
    try:
        item.setIcon(QIcon(make_thumbnail(read_thumbnail(stack))))
    except DataError as error:
        item.setToolTip(in_the_window(error))
    if stack.problem:
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
    return item


def _first_readable(stacks: Sequence[Stack]) -> int:
    return next((row for row, stack in enumerate(stacks) if not stack.problem), 0)
