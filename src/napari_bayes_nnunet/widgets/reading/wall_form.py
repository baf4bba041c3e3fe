"""Wall thickness by segment: a bull's-eye and a table."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPalette
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QWidget

from ...app.report.bullseye import SIDE
from ...app.review.walls import WALL_TITLES, Walls
from ..common.dock import TwoLineMessage, column_layout
from ..common.form import NarrowComboBox
from ..common.levels import Themed
from ..common.rows_table import Column, Row, RowsTable

DRAG: Final = "Drag the RV insertions on the image: magenta is anterior, orange is inferior."
BULLSEYE: Final = "Bull's-eye of the wall, with the apex in the middle and the septum on the left"
_COLUMNS: Final = (
    Column("Segment", "Segments 1 to 16 of the American Heart Association."),
    Column("ED, mm", WALL_TITLES["ED"]),
    Column("ES, mm", WALL_TITLES["ES"]),
    Column("Change, %", WALL_TITLES["thickening"]),
)


class WallForm(Themed, QWidget):
    """Bull's-eye of one value of the segments, and a table of all values.

    Both have their room before they are measured, so that nothing below them moves.
    """

    def __init__(self) -> None:
        super().__init__()
        self._walls = Walls()
        self.shown = NarrowComboBox()
        self.shown.set_choices(WALL_TITLES)
        self.bullseye = Bullseye()
        # All 16 segments are seen without scrolling.
        self.table = RowsTable(_COLUMNS, rows_shown=16)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.notes = TwoLineMessage()
        column = column_layout(self, self.shown, self.bullseye, self.table, self.notes)
        column.setAlignment(self.bullseye, Qt.AlignmentFlag.AlignHCenter)
        self.shown.currentIndexChanged.connect(self.take_theme)
        self.set_walls(self._walls)

    def set_walls(self, walls: Walls) -> None:
        """Show the segments, and how they were measured or why they are unknown."""
        self._walls = walls
        self.table.set_rows(
            [Row((f"{number} {title}", *values)) for number, title, *values in walls.rows()]
        )
        self.notes.show_message(" ".join([*walls.notes, *([DRAG] if walls.numbers else [])]))
        self.take_theme()

    def take_theme(self) -> None:
        """Draw the bull's-eye in the colour of texts."""
        ink = self.palette().color(QPalette.ColorRole.WindowText).name()
        self.bullseye.show_drawing(self._walls.draw(self.shown.currentData(), ink=ink))


class Bullseye(QWidget):
    """A bull's-eye as drawn by `draw_bullseye`, in its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.drawing = ""
        self._renderer = QSvgRenderer()
        self.setFixedSize(SIDE, SIDE)
        self.setAccessibleName(BULLSEYE)

    def show_drawing(self, drawing: str) -> None:
        """Show an SVG."""
        self.drawing = drawing
        self._renderer.load(drawing.encode())
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the drawing."""
        painter = QPainter(self)
        self._renderer.render(painter)
        painter.end()
