"""Tests of the grid of slices and phases."""

from __future__ import annotations

import math
import re
from itertools import cycle
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QFont, QHelpEvent, QImage, QKeyEvent, QPainter, QPixmap
from qtpy.QtWidgets import QApplication, QScrollArea, QToolTip, QVBoxLayout, QWidget

from napari_bayes_nnunet.widgets.reading.heat_grid import HEAT_HELP, HeatGrid
from napari_bayes_nnunet.widgets.reading.slice_table import (
    NO_SCORE,
    HeatScale,
    format_score,
    small_font,
)

SLICES, PHASES = 12, 25
UNIT = "mm²·bit"
SCORES = np.arange(SLICES * PHASES, dtype=float).reshape(SLICES, PHASES)


@pytest.fixture
def make_grid(qtbot: Any) -> Any:
    def make(scores: Any = SCORES, phases: Any = range(1, PHASES + 1)) -> HeatGrid:
        grid = HeatGrid()
        qtbot.addWidget(grid)
        scores = np.asarray(scores)
        top = float(np.nanmax(scores, initial=0.0))
        grid.set_scores(scores, list(phases), UNIT, top=top)
        grid.resize(340, grid.sizeHint().height())
        grid.show()
        qtbot.waitExposed(grid)
        return grid

    return make


@pytest.fixture
def grid(make_grid: Any) -> HeatGrid:
    return make_grid()


@pytest.fixture
def chosen(grid: HeatGrid) -> list[tuple[int | None, int]]:
    return listen(grid)


def listen(grid: HeatGrid) -> list[tuple[int | None, int]]:
    heard: list[tuple[int | None, int]] = []
    grid.cell_chosen.connect(lambda phase, z: heard.append((phase, z)))
    return heard


def click(grid: HeatGrid, phase: int | None, z: int, qtbot: Any) -> None:
    press(grid, grid.cell_rect(phase, z).center(), qtbot)


def press(
    grid: HeatGrid, point: QPoint, qtbot: Any, button: Any = Qt.MouseButton.LeftButton
) -> None:
    """Click at a point of the whole grid."""
    part = grid.childAt(point)
    qtbot.mouseClick(part, button, pos=part.mapFrom(grid, point))


def color_at(grid: HeatGrid, phase: int | None, z: int) -> QColor:
    return picture(grid).pixelColor(grid.cell_rect(phase, z).center())


def picture(grid: HeatGrid) -> QImage:
    pixmap = QPixmap(grid.size())
    pixmap.fill(QColor("lightgray"))
    grid.render(pixmap)
    return pixmap.toImage()


def test_a_click_chooses_phase_and_slice(grid: HeatGrid, chosen: Any, qtbot: Any) -> None:
    click(grid, 1, 0, qtbot)
    click(grid, 25, 11, qtbot)
    click(grid, 10, 3, qtbot)
    assert chosen == [(1, 0), (25, 11), (10, 3)]
    assert grid.current == (10, 3)


def test_a_click_outside_the_cells_chooses_nothing(grid: HeatGrid, chosen: Any, qtbot: Any) -> None:
    for point in (QPoint(2, 2), QPoint(339, 60), QPoint(100, grid.height() - 2)):
        press(grid, point, qtbot)
    press(grid, grid.cell_rect(3, 3).center(), qtbot, Qt.MouseButton.RightButton)
    assert chosen == []
    assert grid.current is None


def test_a_basal_last_slice_is_at_the_top(grid: HeatGrid, qtbot: Any) -> None:
    grid.set_ends(False)
    assert grid.cell_rect(1, 11).top() < grid.cell_rect(1, 0).top()
    heard = listen(grid)
    click(grid, 4, 11, qtbot)
    qtbot.keyClick(grid, Qt.Key.Key_Down)
    assert heard == [(4, 11), (4, 10)]


def test_arrow_keys_stop_at_the_ends(grid: HeatGrid, chosen: Any, qtbot: Any) -> None:
    grid.set_current(24, 10)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Down):
        qtbot.keyClick(grid, key)
    assert chosen == [(25, 10), (25, 10), (25, 11), (25, 11)]
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Up):
        qtbot.keyClick(grid, key)
    assert chosen[-2:] == [(24, 11), (24, 10)]


def test_arrow_keys_begin_at_the_base(grid: HeatGrid, chosen: Any, qtbot: Any) -> None:
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    grid.set_current(99, 3)
    qtbot.keyClick(grid, Qt.Key.Key_Down)
    assert chosen == [(1, 0), (1, 0)]


@pytest.mark.parametrize("key", [Qt.Key.Key_N, Qt.Key.Key_A, Qt.Key.Key_K])
def test_other_keys_are_left_to_the_window(grid: HeatGrid, chosen: Any, key: Qt.Key) -> None:
    control = Qt.KeyboardModifier.ControlModifier
    assert not is_taken(grid, key)
    assert not is_taken(grid, Qt.Key.Key_Left, control)
    assert is_taken(grid, Qt.Key.Key_Left)
    assert chosen == [(1, 0)]


def is_taken(widget: QWidget, key: Qt.Key, modifier: Any = Qt.KeyboardModifier.NoModifier) -> bool:
    """Press a key, and return whether the widget used it."""
    event = QKeyEvent(QEvent.Type.KeyPress, key, modifier)
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def test_phases_that_were_not_segmented_are_skipped(make_grid: Any, qtbot: Any) -> None:
    scores = SCORES.copy()
    scores[:, 4] = np.nan
    grid = make_grid(scores)
    heard = listen(grid)
    click(grid, 5, 3, qtbot)
    assert heard == []
    grid.set_current(4, 3)
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    assert heard == [(6, 3)]
    assert NO_SCORE in grid.slice_model.reading(5, 3)


def test_setters_are_silent(grid: HeatGrid, chosen: Any) -> None:
    grid.set_current(3, 4)
    grid.set_marks({(3, 4): {"accepted"}})
    grid.set_landmarks(1, 10)
    grid.set_ends(True)
    grid.set_scores(SCORES[:, :2], [1, 10], "mL", top=1)
    assert chosen == []
    assert grid.current is None
    grid.set_scores(SCORES, range(1, PHASES + 1), "mL", top=1)
    assert grid.current == (3, 4)
    grid.set_current(None, None)
    assert grid.current is None


def test_a_reading_has_slice_phase_score_and_state(grid: HeatGrid) -> None:
    grid.set_landmarks(1, 10)
    grid.set_marks({(10, 2): {"edited", "accepted"}, (11, 2): {"flagged"}, (12, 2): set()})
    place, state = grid.slice_model.reading(10, 2).splitlines()
    assert re.findall(r"[\d.]+", place) == ["3", "10", "59.0"]
    assert "(ES)" in place
    assert place.endswith(UNIT)
    assert state == "accepted, edited"
    place, state = grid.slice_model.reading(11, 2).splitlines()
    assert re.findall(r"[\d.]+", place) == ["3", "11", "60.0"]
    assert "(ES)" not in place
    assert state == "flagged"
    assert grid.slice_model.reading(12, 2).endswith("not accepted")
    grid.set_marks({})
    assert grid.slice_model.reading(10, 2).endswith("not accepted")


def test_pointing_shows_the_reading(grid: HeatGrid, qtbot: Any) -> None:
    grid.activateWindow()
    qtbot.waitUntil(grid.isActiveWindow)
    view = grid.viewport()
    shown = []
    for point in (grid.cell_rect(2, 1).center(), QPoint(grid.width() - 1, grid.height() - 1)):
        point = view.mapFrom(grid, point)
        QApplication.sendEvent(
            view, QHelpEvent(QEvent.Type.ToolTip, point, view.mapToGlobal(point))
        )
        shown.append(QToolTip.text())
    assert shown == [grid.slice_model.reading(2, 1), HEAT_HELP]


def test_cells_have_the_colours_of_the_scale(grid: HeatGrid) -> None:
    scale = HeatScale(SCORES.max(), UNIT)
    for phase, z in ((1, 0), (13, 6), (25, 11)):
        assert color_at(grid, phase, z) == scale.color(SCORES[z, phase - 1])
    grid.set_scores(SCORES, range(1, PHASES + 1), UNIT, top=10 * SCORES.max())
    assert color_at(grid, 25, 11) == HeatScale(10 * SCORES.max(), UNIT).color(SCORES.max())


def test_marks_outline_and_headings_are_drawn(grid: HeatGrid) -> None:
    def changes(act: Any, *arguments: Any) -> QRect:
        """Return the rectangle around all pixels that a call has changed."""
        before = pixels(picture(grid))
        act(*arguments)
        y, x = np.nonzero((pixels(picture(grid)) != before).any(axis=2))
        return QRect(QPoint(x.min(), y.min()), QPoint(x.max(), y.max()))

    cell = grid.cell_rect(7, 5)
    assert cell.contains(changes(grid.set_marks, {(7, 5): {"accepted"}}))
    assert changes(grid.set_current, 7, 5).contains(cell.adjusted(0, 0, -1, -1))
    heading = changes(grid.set_landmarks, 7, None)
    assert heading.bottom() < grid.cell_rect(7, 0).top()
    assert abs(heading.center().x() - cell.center().x()) < cell.width()


def pixels(image: QImage) -> Any:
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    data = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), np.uint8)
    lines = data.reshape(image.height(), image.bytesPerLine())
    return lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def test_cells_are_crisp_on_dense_screens(grid: HeatGrid) -> None:
    dense = QPixmap(2 * grid.size())
    dense.setDevicePixelRatio(2)
    grid.render(dense)
    image, color = dense.toImage(), HeatScale(SCORES.max(), UNIT).color(SCORES[6, 12])
    cell = grid.cell_rect(13, 6)
    rows = [
        image.pixelColor(2 * cell.center().x(), y) for y in range(2 * cell.top(), 2 * cell.bottom())
    ]
    assert set(map(QColor.name, rows)) == {color.name()}


@pytest.mark.parametrize(
    ("scores", "phases"),
    [
        (SCORES[:10, :1], [None]),
        (SCORES[:10, :2], [1, 10]),
        (np.zeros((10, 2)), [1, 10]),
        (np.full((3, 2), np.nan), [1, 2]),
        (np.ones((18, 110)), range(1, 111)),
        (np.ones((90, 1)), [None]),
        (np.zeros((0, 0)), []),
    ],
    ids=[
        "3D",
        "ED and ES",
        "no disagreement",
        "nothing known",
        "many phases",
        "many slices",
        "empty",
    ],
)
@pytest.mark.parametrize("base_first", [True, False, None])
def test_all_kinds_of_studies_fit_a_narrow_dock(
    make_grid: Any, scores: Any, phases: Any, base_first: bool | None, qtbot: Any
) -> None:
    grid = make_grid(scores, phases)
    grid.set_ends(base_first)
    grid.set_landmarks(1, 2)
    for z in range(len(scores)):
        for phase in phases:
            assert grid.rect().contains(grid.cell_rect(phase, z))
            assert grid.cell_rect(phase, z).width() <= 44
    picture(grid)
    qtbot.keyClick(grid, Qt.Key.Key_Down)


def test_a_volume_has_no_phase(make_grid: Any, qtbot: Any) -> None:
    grid = make_grid(SCORES[:10, :1], [None])
    heard = listen(grid)
    click(grid, None, 4, qtbot)
    assert heard == [(None, 4)]
    assert grid.slice_model.reading(None, 4).startswith("Slice 5: 100 mm²·bit")


def test_grid_of_another_size_asks_for_another_height(qtbot: Any) -> None:
    area, inner, grid = QScrollArea(), QWidget(), HeatGrid()
    qtbot.addWidget(area)
    column = QVBoxLayout(inner)
    column.addWidget(grid)
    column.addStretch()
    area.setWidgetResizable(True)
    area.setWidget(inner)
    area.show()
    grid.set_scores(SCORES, range(1, PHASES + 1), UNIT, top=1)
    qtbot.waitUntil(lambda: grid.height() == grid.sizeHint().height())
    before = grid.height()
    grid.set_scores(SCORES[:6], range(1, PHASES + 1), UNIT, top=1)
    qtbot.waitUntil(lambda: grid.height() < before - 60)


class Painted(QObject):
    """Recorder of the rectangles that a widget must paint."""

    def __init__(self) -> None:
        super().__init__()
        self.rects: list[QRect] = []

    def eventFilter(self, _: Any, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.rects.append(event.rect())
        return False


def test_only_changed_cells_are_painted(grid: HeatGrid, qtbot) -> None:
    painted, cell = Painted(), grid.cell_rect(20, 9)
    grid.viewport().installEventFilter(painted)
    states = cycle(["accepted", "flagged"])

    def a_change_paints_its_cell() -> bool:
        painted.rects.clear()
        grid.set_marks({(2, 3): {"accepted"}, (20, 9): {next(states)}})
        qtbot.waitUntil(lambda: bool(painted.rects))  # Qt may paint a moment later
        assert painted.rects[0].contains(cell.translated(-grid.viewport().pos()))
        return painted.rects[0].width() < 3 * cell.width()

    # Until the window system has no more wish to paint the whole new window.
    qtbot.waitUntil(a_change_paints_its_cell)


def test_a_change_is_on_screen_within_10_ms(grid: HeatGrid) -> None:
    QApplication.processEvents()
    times = []
    for step in range(30):
        start = process_time()
        grid.set_current(1 + step % PHASES, step % SLICES)
        grid.set_marks({(1 + step % PHASES, step % SLICES): {"accepted", "edited"}})
        QApplication.processEvents()
        times.append(process_time() - start)
    assert median(times) < 0.01


def test_the_font_is_smaller_than_the_docks(qapp: Any) -> None:
    points, pixels = QFont(), QFont()
    points.setPointSizeF(10)
    pixels.setPixelSize(20)
    assert small_font(points).pointSizeF() == pytest.approx(8.5)
    assert small_font(pixels).pixelSize() == 17


def test_base_and_apex_are_named_if_known(grid: HeatGrid) -> None:
    def texts() -> QImage:
        QApplication.processEvents()
        return picture(grid).copy(0, 0, grid.cell_rect(1, 0).left(), grid.height())

    grid.set_ends(True)
    known = texts()
    grid.set_ends(None)
    assert known != texts()


def test_unknown_scores_are_hatched(make_grid: Any) -> None:
    scores = SCORES.copy()
    scores[3, 4] = math.nan
    grid = make_grid(scores)
    part = picture(grid).copy(grid.cell_rect(5, 3))
    points = ((x, y) for x in range(part.width()) for y in range(part.height()))
    assert len({part.pixelColor(x, y).name() for x, y in points}) > 1


def test_columns_of_a_usual_cine_are_equal(grid: HeatGrid) -> None:
    widths = {grid.cell_rect(phase, 0).width() for phase in range(1, PHASES + 1)}
    assert len(widths) == 1
    assert 300 - PHASES < PHASES * widths.pop() <= 340


def test_many_slices_get_low_rows(make_grid: Any) -> None:
    def height(slices: int) -> int:
        grid = make_grid(np.ones((slices, 2)), [1, 2])
        return grid.cell_rect(1, slices - 1).bottom() - grid.cell_rect(1, 0).top()

    assert height(12) > 180
    assert height(60) <= 300


def lightness(color: QColor) -> float:
    return 0.21 * color.redF() + 0.72 * color.greenF() + 0.07 * color.blueF()


def test_the_higher_the_score_the_lighter() -> None:
    scale = HeatScale(200, "mm²·bit")
    levels = [lightness(scale.color(score)) for score in range(0, 201, 4)]
    assert levels == sorted(levels)
    assert levels[0] < 0.02
    assert levels[-1] > 0.9


def test_colours_of_scores_are_clipped() -> None:
    scale = HeatScale(2, "mL")
    assert scale.color(-1) == scale.color(0)
    assert scale.color(7) == scale.color(2)


@pytest.mark.parametrize("top", [0.0, -1.0, math.nan, math.inf])
def test_scores_without_disagreement_are_dark(top: float) -> None:
    scale = HeatScale(top, "")
    assert scale.top == 1
    assert lightness(scale.color(0)) < 0.02


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0, "0"),
        (1240.4, "1240"),
        (213.6, "214"),
        (3.21, "3.21"),
        (0.0471, "0.0471"),
        (math.nan, "–"),
    ],
)
def test_scores_have_three_digits_and_no_exponent(score: float, text: str) -> None:
    assert format_score(score) == text


def test_tiny_scores_do_not_become_long_texts() -> None:
    assert format_score(1e-9) == "0.0000"


def test_scores_have_their_unit() -> None:
    assert HeatScale(1, "mL").text(0.5) == "0.500 mL"
    assert HeatScale(1, "").text(0.5) == "0.500"


def test_the_bar_goes_from_dark_to_light(qapp) -> None:
    picture = QImage(100, 10, QImage.Format.Format_RGB32)
    painter = QPainter(picture)
    HeatScale(1, "").draw(painter, QRect(0, 0, 100, 10))
    painter.end()
    levels = [lightness(picture.pixelColor(x, 5)) for x in range(0, 100, 9)]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 0.8
