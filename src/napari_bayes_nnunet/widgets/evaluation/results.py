"""Results of an evaluation: the main numbers, reliability diagrams and links to the report."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from ...app.evaluation.request import CALIBRATION, DICE, EvaluationOutcome
from ...app.evaluation.tables import Table, TableCell
from ...core.heart.structures import structure_title
from ..common.dialogs import NOT_OPENED, open_path
from ..common.dock import CollapsibleSection, MessageLabel, column_layout, heading, share_row
from ..common.rows_table import Column, Row, RowsTable


class ScaledPicture(QLabel):
    """A picture that is scaled down to the width of the widget, which sets its own height."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = QPixmap()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_picture(self, content: bytes | None) -> None:
        """Show the content of a PNG file; hide the widget if there is none."""
        self.picture = QPixmap()
        self.picture.loadFromData(content or b"", "PNG")
        self.setVisible(content is not None)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the picture to the width."""
        super().resizeEvent(event)
        # Fitting sets the height, which is a change of the size, too.
        if event.oldSize().width() != event.size().width():
            self._fit()

    def _fit(self) -> None:
        if self.picture.isNull():
            return
        ratio = self.devicePixelRatioF()
        width = round(ratio * max(1, min(self.width(), self.picture.width())))
        scaled = self.picture.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)
        scaled.setDevicePixelRatio(ratio)
        self.setPixmap(scaled)
        self.setFixedHeight(round(scaled.deviceIndependentSize().height()))


TABLE_CAPTION = (
    "Dice and calibration error (ECE). The best value of each column is bold. Hover over a number "
    "for its interval."
)
DIAGRAM_CAPTION = (
    "Reliability: a bar on the dashed line means that confidence equals accuracy. Red: "
    "overconfident; pale: underconfident."
)
NO_DIAGRAM = (
    "There is no reliability diagram, because the predictions were saved without probabilities. "
    "Predict again and save probabilities."
)
NOTES = "Omissions and assumptions ({count})"
REPORT_WRITTEN = "{extent}. The report is in {folder}."


class EvaluationResults(QWidget):
    """Results of one evaluation, hidden until there are any.

    ``outcome`` is the one that is shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outcome: EvaluationOutcome | None = None
        self.summary = MessageLabel()
        self.table = RowsTable((), rows_shown=_ROWS_SHOWN)
        self.caption = MessageLabel(TABLE_CAPTION)
        self.diagram_caption = MessageLabel()
        self.picture = ScaledPicture()
        self.notes_text = MessageLabel()
        self.notes = CollapsibleSection("", self.notes_text)
        self.report_button = QPushButton("Open report")
        self.folder_button = QPushButton("Open folder")
        self.problem = MessageLabel()
        self.table.setAccessibleName("Dice and calibration error of the methods")
        self.table.setTabKeyNavigation(False)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.table.horizontalHeader().setStretchLastSection(False)
        self.picture.setAccessibleName("Reliability diagrams")
        self._lay_out()
        self.report_button.clicked.connect(lambda: self._open(self._page))
        self.folder_button.clicked.connect(lambda: self._open(self._page.parent))
        self.set_outcome(None)

    def set_outcome(self, outcome: EvaluationOutcome | None) -> None:
        """Show an outcome, or nothing."""
        self.outcome = outcome
        self.problem.show_message("")
        if outcome is not None:
            folder = outcome.page.parent
            self.summary.show_message(REPORT_WRITTEN.format(extent=outcome.extent, folder=folder))
            self.table.set_rows(table_rows(outcome.table), table_columns(outcome.table))
            # The table has no column before its first rows.
            self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            self.diagram_caption.show_message(DIAGRAM_CAPTION if outcome.picture else NO_DIAGRAM)
            self.picture.set_picture(outcome.picture)
            self._show_notes(outcome.notes)
            self.report_button.setToolTip(f"Open {outcome.page} in the browser.")
            self.folder_button.setToolTip(f"Open {folder} in the file manager.")
        self.setVisible(outcome is not None)

    def _lay_out(self) -> None:
        buttons = share_row(None, {self.report_button: 3, self.folder_button: 2})
        column_layout(
            self,
            *(heading("Result"), self.summary, buttons, self.problem, self.table, self.caption),
            *(self.picture, self.diagram_caption, self.notes),
        )

    def _show_notes(self, notes: tuple[str, ...]) -> None:
        self.notes_text.setText("\n\n".join(notes))
        self.notes.setText(NOTES.format(count=len(notes)))
        self.notes.collapse()
        self.notes.setVisible(bool(notes))

    @property
    def _page(self) -> Path:
        assert self.outcome is not None  # without one, there are no buttons
        return self.outcome.page

    def _open(self, path: Path) -> None:
        opened = path.exists() and open_path(path)
        self.problem.show_message("" if opened else NOT_OPENED.format(path=path))


_ROWS_SHOWN = 8
ECE_HELP = (
    "Expected calibration error over the voxels of all volumes: the mean gap between confidence "
    "and accuracy. 0 is perfect."
)
_DICE_HELP = "Dice of the {structure}: overlap with the reference. 1 is perfect."


def table_columns(table: Table) -> list[Column]:
    """Return the columns of a table of results."""
    heads = ((block, title) for block, titles in table.heads for title in titles)
    numbers = (Column(title, _help(block, title)) for block, title in heads)
    return [Column("Method", "Name of the method."), *numbers]


def table_rows(table: Table) -> list[Row]:
    """Return a row for each method; the tooltip of a number has its deviation and interval."""
    titles = [title for _, titles in table.heads for title in titles]
    return [
        Row(
            (name, *(cell.value for cell in cells)),
            helps=(
                name,
                *(f"{name}, {t}: {cell_text(c)}" for t, c in zip(titles, cells, strict=True)),
            ),
            bold=tuple(n for n, cell in enumerate(cells, start=1) if cell.stands_out),
        )
        for name, cells in table.rows
    ]


def cell_text(cell: TableCell) -> str:
    """Return a value with its deviation, interval and remark, in one line."""
    interval = f"95 % interval {cell.interval}" if cell.interval else ""
    first = " ".join(filter(None, (cell.value, cell.deviation)))
    return ", ".join(filter(None, (first, interval, cell.remark)))


def _help(block: str, title: str) -> str:
    texts = {DICE: _DICE_HELP.format(structure=structure_title(title)), CALIBRATION: ECE_HELP}
    return texts[block]
