"""Strip of the slices with a structure."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QImage, QPixmap

from napari_bayes_nnunet.widgets.editing.presence_strip import (
    BAR_HEIGHT,
    PresenceStrip,
    SlicePresence,
)

SEEN = SlicePresence(
    shares=np.array([0, 1 / 3, 1, 1, 2 / 3, 0]),
    drawn=np.array([False, False, True, True, True, False]),
    current=1,
    models=9,
    base_first=True,
    color="#56B4E9",
)


@pytest.fixture
def strip(qtbot) -> PresenceStrip:
    made = PresenceStrip()
    qtbot.addWidget(made)
    made.set_presence(SEEN)
    made.resize(260, made.sizeHint().height())
    made.show()
    qtbot.waitExposed(made)
    return made


def picture(strip: PresenceStrip) -> QImage:
    pixmap = QPixmap(strip.size())
    strip.render(pixmap)
    return pixmap.toImage()


def bar(strip: PresenceStrip, z: int) -> list[str]:
    """Return the colours of a bar from bottom to top."""
    x, image = strip.cell_rect(z).center().x(), picture(strip)
    return [image.pixelColor(x, y).name() for y in range(BAR_HEIGHT - 1, -1, -1)]


def has_line(strip: PresenceStrip, z: int) -> bool:
    cell, image = strip.cell_rect(z), picture(strip)
    ink = strip.palette().windowText().color().name()
    rows = range(BAR_HEIGHT + 1, BAR_HEIGHT + 6)
    return any(image.pixelColor(cell.center().x(), y).name() == ink for y in rows)


def test_bars_show_the_share_of_the_models(strip) -> None:
    color = QColor(SEEN.color).name()
    for z, share in enumerate(SEEN.shares):
        colors = bar(strip, z)
        empty = colors[-1] if share < 1 else ""
        assert sum(c != empty for c in colors) == pytest.approx(BAR_HEIGHT * share, abs=1)
        assert (color in colors) == (SEEN.drawn[z] and share > 0)  # paler where it is not drawn


def test_a_line_marks_the_slices_that_have_it(strip) -> None:
    assert [has_line(strip, z) for z in range(6)] == [*SEEN.drawn]
    strip.set_presence(replace(SEEN, drawn=np.ones(6, bool)))
    assert all(has_line(strip, z) for z in range(6))


def test_the_number_on_screen_is_marked(strip) -> None:
    def marked() -> list[int]:
        ink, image = strip.palette().windowText().color().name(), picture(strip)
        cells = [strip.cell_rect(z) for z in range(6)]
        rows = [image.pixelColor(c.left() + 3, image.height() - 4).name() for c in cells]
        return [z for z, color in enumerate(rows) if color == ink]

    assert marked() == [SEEN.current]
    strip.set_presence(replace(SEEN, current=4))
    assert marked() == [4]


def test_the_base_is_on_the_left(strip) -> None:
    assert SEEN.order == (0, 1, 2, 3, 4, 5)
    assert strip.cell_rect(0).x() < strip.cell_rect(5).x()
    strip.set_presence(replace(SEEN, base_first=False))
    assert strip.cell_rect(0).x() > strip.cell_rect(5).x()
    left = strip.cell_rect(5).x()
    strip.set_presence(replace(SEEN, base_first=None))
    assert strip.cell_rect(0).x() < left  # no room for "base"


def test_a_click_goes_to_the_slice(strip, qtbot) -> None:
    chosen: list[int] = []
    strip.slice_chosen.connect(chosen.append)
    for z in (4, 0):
        point = strip.cell_rect(z).center()
        qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=point)
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    assert chosen == [4, 0]


def test_a_reading_counts_models_and_slices_from_one() -> None:
    assert {"2", "3", "9"} <= set(SEEN.reading(1).replace(":", "").split())
    assert SEEN.reading(1) != replace(SEEN, drawn=np.ones(6, bool)).reading(1)
    assert "9" not in replace(SEEN, shares=None).reading(1)


@pytest.mark.parametrize("slices", [1, 12, 40, 200])
def test_any_number_of_slices_fits(strip, slices) -> None:
    shares = np.linspace(0, 1, slices)
    strip.set_presence(replace(SEEN, shares=shares, drawn=shares > 0.5, current=slices - 1))
    picture(strip)
    assert strip.cell_rect(slices - 1).right() <= max(strip.width(), 30 + slices + 30)


def test_a_missing_posterior_leaves_the_line(strip) -> None:
    strip.set_presence(replace(SEEN, shares=None))
    assert QColor(SEEN.color).name() not in bar(strip, 2)
    assert has_line(strip, 2)
    strip.set_presence(None)
    picture(strip)


def test_share_beyond_the_valve_is_hatched_from_above(strip) -> None:
    beyond = np.array([0, 0, 0, 0.5, 0, 0])
    plain = bar(strip, 4)
    strip.set_presence(replace(SEEN, beyond=beyond))
    rows, image = strip.cell_rect(3), picture(strip)
    hatched = [
        any(
            image.pixelColor(x, y).name() == strip.palette().windowText().color().name()
            for x in range(rows.left(), rows.right())
        )
        for y in (2, BAR_HEIGHT - 3)
    ]
    assert hatched == [True, False]
    assert bar(strip, 4) == plain


def test_reading_tells_share_beyond_the_valve_and_shift() -> None:
    beyond, shifts = np.array([0.0, 0.83, 0, 0, 0, 0]), np.array([np.nan, 2.14, 0, 0, 0, 0])
    seen = replace(SEEN, beyond=beyond, shifts=shifts)
    assert seen.reading(0) == SEEN.reading(0)
    assert {"83 %", "2.1 mm"} <= {*re.findall(r"[\d.]+ (?:%|mm)", seen.reading(1))}
