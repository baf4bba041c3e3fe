"""Tests of the thumbnails of slices."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QHelpEvent, QImage, QKeyEvent, QPalette, QPixmap
from qtpy.QtWidgets import QApplication, QToolTip

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.widgets.common.levels import ON_DARK
from napari_bayes_nnunet.widgets.layers.viewing import PlaneOrientation
from napari_bayes_nnunet.widgets.reading import thumbnails as thumbnails_module
from napari_bayes_nnunet.widgets.reading.slice_pictures import SlicePictures, thin_out
from napari_bayes_nnunet.widgets.reading.slice_table import HeatScale
from napari_bayes_nnunet.widgets.reading.thumbnails import (
    INSET,
    LIGHT_FRAME,
    SMALLEST_PICTURE,
    THUMBNAIL_HELP,
    Thumbnails,
)

from ...helpers.data.cines import CINE, ED, ES, LV, SHAPE, STRUCTURES, make_cine, voxels_of

SLICES = SHAPE[0]
UNIT = "mm²·bit"
SCORES = np.array([[0.0, 5.0], [20.0, 2.0], [10.0, 1.0], [math.nan, 3.0]])
WINDOW = (0.0, 400.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cine(tmp_path_factory.mktemp("studies") / "heart")


@pytest.fixture
def strip(session: ReviewSession, qtbot: Any) -> Thumbnails:
    """Thumbnails of ED and ES, all drawn."""
    made = Thumbnails()
    qtbot.addWidget(made)
    made.set_landmarks(ED, ES)
    made.set_ends(True)
    made.set_scores(SCORES, (ED, ES), UNIT, top=20)
    made.set_pictures(pictures_of(session))
    made.resize(500, 140)
    made.show()
    qtbot.waitUntil(lambda: not made.is_drawing)
    return made


def pictures_of(session: ReviewSession) -> SlicePictures:
    return SlicePictures(session, voxels_of(CINE.shape), WINDOW, PlaneOrientation())


@pytest.fixture
def chosen(strip: Thumbnails) -> list[tuple[int | None, int]]:
    heard: list[tuple[int | None, int]] = []
    strip.cell_chosen.connect(lambda phase, z: heard.append((phase, z)))
    return heard


def picture(strip: Thumbnails) -> QImage:
    pixmap = QPixmap(strip.size())
    pixmap.fill(QColor("lightgray"))
    strip.render(pixmap)
    return pixmap.toImage()


def press(
    strip: Thumbnails, point: QPoint, qtbot: Any, button: Any = Qt.MouseButton.LeftButton
) -> None:
    part = strip.childAt(point)
    qtbot.mouseClick(part, button, pos=part.mapFrom(strip, point))


def frame_color(strip: Thumbnails, phase: int, z: int) -> QColor:
    """Return the colour next to the left edge of the picture in a thumbnail."""
    cell = strip.cell_rect(phase, z)
    return picture(strip).pixelColor(cell.left() + INSET - 1, cell.center().y())


def colors_in(strip: Thumbnails, phase: int, z: int) -> set[str]:
    part = picture(strip).copy(strip.cell_rect(phase, z))
    points = ((x, y) for x in range(part.width()) for y in range(part.height()))
    return {part.pixelColor(x, y).name() for x, y in points}


def drawn_parts(strip: Thumbnails, part: QRect) -> QImage:
    return picture(strip).copy(part)


def test_a_click_chooses_phase_and_slice(strip, chosen, qtbot) -> None:
    for place in ((ED, 0), (ES, 3), (ED, 2)):
        press(strip, strip.cell_rect(*place).center(), qtbot)
    assert chosen == [(ED, 0), (ES, 3), (ED, 2)]
    assert strip.current == (ED, 2)


def test_a_click_beside_the_thumbnails_chooses_nothing(strip, chosen, qtbot) -> None:
    press(strip, QPoint(2, 2), qtbot)
    press(strip, strip.cell_rect(ED, 1).center(), qtbot, Qt.MouseButton.RightButton)
    assert chosen == []


def test_ed_is_above_es_with_base_left(strip) -> None:
    assert strip.cell_rect(ED, 0).bottom() < strip.cell_rect(ES, 0).top()
    assert strip.cell_rect(ED, 0).right() < strip.cell_rect(ED, 3).left()
    strip.set_ends(False)
    assert strip.cell_rect(ED, 0).left() > strip.cell_rect(ED, 3).right()


def test_arrow_keys_move_and_stop_at_ends(strip, chosen, qtbot) -> None:
    keys = Qt.Key
    for key in (keys.Key_Right, keys.Key_Right, keys.Key_Down, keys.Key_Down, keys.Key_Left):
        qtbot.keyClick(strip, key)
    assert chosen == [(ED, 0), (ED, 1), (ES, 1), (ES, 1), (ES, 0)]
    strip.set_ends(False)
    qtbot.keyClick(strip, keys.Key_Left)
    qtbot.keyClick(strip, keys.Key_Up)
    assert chosen[-2:] == [(ES, 1), (ED, 1)]


@pytest.mark.parametrize("key", [Qt.Key.Key_N, Qt.Key.Key_A, Qt.Key.Key_K])
def test_other_keys_are_left_to_the_window(strip, chosen, key) -> None:
    event = QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(strip, event)
    assert not event.isAccepted()
    assert chosen == []


def test_the_text_of_a_slice_counts_from_one(strip: Thumbnails, qtbot: Any) -> None:
    read = strip.slice_model.reading
    strip.set_marks({(ES, 0): {"accepted", "edited"}})
    assert read(ES, 0) == f"Slice 1, phase {ES} (ES): 5.00 {UNIT}\naccepted, edited"
    assert read(ED, 1) == f"Slice 2, phase {ED} (ED): 20.0 {UNIT}\nnot accepted"
    strip.set_current(ES, 0)
    assert strip.accessibleDescription() == read(ES, 0)
    strip.activateWindow()
    qtbot.waitUntil(strip.isActiveWindow)
    shown, view = [], strip.viewport()
    for point in (strip.cell_rect(ED, 1).center(), strip.rect().bottomRight()):
        point = view.mapFrom(strip, point)
        QApplication.sendEvent(
            view, QHelpEvent(QEvent.Type.ToolTip, point, view.mapToGlobal(point))
        )
        shown.append(QToolTip.text())
    assert shown == [strip.slice_model.reading(ED, 1), THUMBNAIL_HELP]


def test_frames_have_colours_of_heat_grid_and_queue(strip) -> None:
    dark = strip.palette()
    dark.setColor(QPalette.ColorRole.Window, QColor("#262930"))
    strip.setPalette(dark)
    scale = HeatScale(20, UNIT)
    assert frame_color(strip, ED, 1) == scale.color(20)
    assert frame_color(strip, ES, 0) == scale.color(5)
    strip.set_marks({(ED, 1): {"flagged"}, (ES, 0): {"accepted"}, (ES, 1): {"edited"}})
    assert frame_color(strip, ED, 1).name().upper() == ON_DARK["warning"]
    assert frame_color(strip, ES, 0).name().upper() == ON_DARK["done"]
    assert frame_color(strip, ES, 1) == scale.color(2)


@pytest.mark.parametrize("mark", ["accepted", "flagged", "edited"])
def test_a_state_is_also_a_mark(strip, mark) -> None:
    inside = strip.cell_rect(ED, 1).adjusted(INSET, INSET, -INSET, -INSET)
    before = drawn_parts(strip, inside)
    strip.set_marks({(ED, 1): {mark}})
    after = drawn_parts(strip, inside)
    assert after != before
    lower = QRect(0, inside.height() // 2, inside.width(), inside.height() // 2)
    assert after.copy(lower) == before.copy(lower)  # in a corner, off the heart


def test_a_light_frame_has_a_dark_edge_on_a_light_window(strip) -> None:
    worst = strip.cell_rect(ED, 1)

    def edge(lightness: int) -> QColor:
        palette = strip.palette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor.fromHsl(0, 0, lightness))
        strip.setPalette(palette)
        colors = [picture(strip).pixelColor(worst.left() + x, worst.center().y()) for x in range(3)]
        return min(colors, key=QColor.lightness)

    assert frame_color(strip, ED, 1).lightness() > LIGHT_FRAME
    assert edge(20).lightness() < 60 < edge(235).lightness()


def test_the_slice_on_screen_is_outlined(strip) -> None:
    before = picture(strip)
    strip.set_current(ES, 2)
    assert picture(strip) != before
    cell = strip.cell_rect(ES, 2)
    edge = picture(strip).pixelColor(cell.left() + 2, cell.center().y())
    assert edge == QColor("white")
    strip.set_current(2, 0)  # a phase without thumbnails
    assert strip.current is None
    assert picture(strip) == before


def test_structures_are_drawn_in_their_colours(strip, session) -> None:
    colors = pictures_of(session).colors
    assert set(colors) == set(STRUCTURES.values())
    for color in colors.values():
        target = QColor(color)
        near = [
            max(abs(c.red() - target.red()), abs(c.green() - target.green()))
            for c in map(QColor, colors_in(strip, ED, 0))
        ]
        assert min(near) < 30


def test_only_the_corrected_thumbnail_changes(strip, session, monkeypatch) -> None:
    drawn: list[tuple[int | None, int]] = []
    draw = SlicePictures.draw
    monkeypatch.setattr(
        SlicePictures, "draw", lambda self, place: drawn.append(place) or draw(self, place)
    )
    before = {z: drawn_parts(strip, strip.cell_rect(ED, z)) for z in range(SLICES)}
    labels = session.labels_in((ED, 1))
    original = labels.copy()
    labels[labels == LV] = 0
    strip.refresh()
    assert drawn == [(ED, 1)]
    assert not strip.is_drawing
    after = {z: drawn_parts(strip, strip.cell_rect(ED, z)) for z in range(SLICES)}
    assert [z for z in before if before[z] != after[z]] == [1]
    labels[...] = original  # as after an undo
    strip.refresh()
    assert drawn_parts(strip, strip.cell_rect(ED, 1)) == before[1]
    strip.refresh()
    assert drawn == [(ED, 1), (ED, 1)]


def test_a_correction_is_drawn_within_milliseconds(strip, session) -> None:
    times = []
    for step in range(12):
        session.labels_in((ED, step % SLICES))[20 + step, 20] ^= 1
        start = thread_time()
        strip.refresh()
        times.append(thread_time() - start)
    assert median(times) < 0.02


def test_pictures_are_drawn_in_steps(strip, session, monkeypatch, qtbot) -> None:
    monkeypatch.setattr(thumbnails_module, "STEP_MS", 0)
    waiting: list[int] = []
    strip._timer.timeout.connect(lambda: waiting.append(len(strip._waiting)))
    strip.set_current(ES, 3)
    strip.set_pictures(pictures_of(session))
    assert strip._waiting[0] == (ES, 3)
    qtbot.waitUntil(lambda: not strip.is_drawing)
    assert len(waiting) >= 2 * SLICES - 1


def test_nothing_is_drawn_while_hidden(strip, session, qtbot) -> None:
    strip.hide()
    session.labels_in((ED, 0))[...] = 0
    strip.refresh()
    QApplication.processEvents()
    assert strip._waiting
    strip.show()
    qtbot.waitUntil(lambda: not strip.is_drawing)


def test_pictures_are_sharp_after_a_resize(strip, qtbot) -> None:
    small = strip.cell_rect(ED, 0).size()
    strip.resize(700, 240)
    assert strip.cell_rect(ED, 0).height() > small.height()
    qtbot.waitUntil(lambda: not strip.is_drawing)
    for (phase, z), pixmap in strip._pixmaps.items():
        size = strip.cell_rect(phase, z).adjusted(INSET, INSET, -INSET, -INSET).size()
        assert pixmap.size() == size * strip.devicePixelRatioF()


def test_the_fitting_height_is_that_of_the_pictures(strip) -> None:
    strip.resize(260, 400)
    height = strip.fitting_height(400)
    assert height == strip.cell_rect(ES, 0).bottom() + 1 < 400
    strip.resize(260, height)
    assert strip.cell_rect(ES, 0).bottom() + 1 == height
    assert strip.fitting_height(100) <= 100


def test_the_focus_is_visible(strip, qtbot) -> None:
    before = picture(strip)
    strip.activateWindow()
    strip.setFocus()
    qtbot.waitUntil(strip.hasFocus)
    assert picture(strip) != before


def test_a_volume_has_one_row_without_name(qtbot) -> None:
    strip = Thumbnails()
    qtbot.addWidget(strip)
    strip.set_scores(SCORES[:, :1], (None,), UNIT, top=20)
    assert not strip.cell_rect(None, 0).isEmpty()
    assert strip.slice_model.reading(None, 1) == f"Slice 2: 20.0 {UNIT}\nnot accepted"


def test_many_slices_ask_for_more_room(qtbot) -> None:
    strip = Thumbnails()
    qtbot.addWidget(strip)
    strip.set_scores(np.zeros((100, 1)), (ED,), UNIT, top=1)
    assert strip.minimumSizeHint().width() > 2000
    assert strip.minimumSizeHint().height() < 100


def test_thinned_contours_keep_their_shape() -> None:
    angles = np.linspace(0, 2 * np.pi, 600, endpoint=False)
    circle = 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    thin = thin_out(circle)
    assert len(thin) < 160
    assert np.hypot(*np.diff(thin, axis=0).T).max() < 2
    assert len(thin_out(circle / 100)) >= 12


@pytest.mark.parametrize(("width", "height"), [(500, 140), (1500, 140), (500, 400)])
def test_pictures_keep_their_aspect(strip, session, width, height) -> None:
    strip.resize(width, height)
    cell = strip.cell_rect(ED, 0).adjusted(INSET, INSET, -INSET, -INSET)
    aspect = pictures_of(session).aspect
    assert cell.width() / cell.height() == pytest.approx(aspect, rel=0.05)
    assert max(cell.width(), cell.height()) >= SMALLEST_PICTURE - 1


def test_the_higher_the_score_the_wider_the_frame(strip) -> None:
    def inner(phase: int, z: int) -> QColor:
        cell = strip.cell_rect(phase, z)
        return picture(strip).pixelColor(cell.left() + INSET - 3, cell.center().y())

    scale = HeatScale(20, UNIT)
    assert inner(ED, 1) == scale.color(20)  # 3 px wide
    assert inner(ED, 2) != scale.color(10)
    assert frame_color(strip, ED, 2) == scale.color(10)
