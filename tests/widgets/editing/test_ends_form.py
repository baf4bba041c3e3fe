"""Strip of the slices with a structure, and the buttons of base and apex."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QImage, QPixmap

from napari_bayes_nnunet.app.review.ends import End
from napari_bayes_nnunet.widgets.editing.ends_form import (
    BAR_HEIGHT,
    END_BUTTONS,
    EndsForm,
    SlicePresence,
)
from napari_bayes_nnunet.widgets.layers.keys import KEYS

SEEN = SlicePresence(
    shares=np.array([0, 1 / 3, 1, 1, 2 / 3, 0]),
    drawn=np.array([False, False, True, True, True, False]),
    current=1,
    models=9,
    base_first=True,
    color="#56B4E9",
)


@pytest.fixture
def form(qtbot) -> EndsForm:
    made = EndsForm()
    qtbot.addWidget(made)
    made.strip.set_presence(SEEN)
    made.resize(260, made.sizeHint().height())
    made.show()
    qtbot.waitExposed(made)
    return made


def picture(form: EndsForm) -> QImage:
    pixmap = QPixmap(form.strip.size())
    form.strip.render(pixmap)
    return pixmap.toImage()


def bar(form: EndsForm, z: int) -> list[str]:
    """Return the colours of a bar from bottom to top."""
    x, image = form.strip.cell_rect(z).center().x(), picture(form)
    return [image.pixelColor(x, y).name() for y in range(BAR_HEIGHT - 1, -1, -1)]


def has_line(form: EndsForm, z: int) -> bool:
    cell, image = form.strip.cell_rect(z), picture(form)
    ink = form.strip.palette().windowText().color().name()
    rows = range(BAR_HEIGHT + 1, BAR_HEIGHT + 6)
    return any(image.pixelColor(cell.center().x(), y).name() == ink for y in rows)


def test_bars_show_the_share_of_the_models(form) -> None:
    color = QColor(SEEN.color).name()
    for z, share in enumerate(SEEN.shares):
        colors = bar(form, z)
        empty = colors[-1] if share < 1 else ""
        assert sum(c != empty for c in colors) == pytest.approx(BAR_HEIGHT * share, abs=1)
        assert (color in colors) == (SEEN.drawn[z] and share > 0)  # paler where it is not drawn


def test_a_line_marks_the_slices_that_have_it(form) -> None:
    assert [has_line(form, z) for z in range(6)] == [*SEEN.drawn]
    form.strip.set_presence(replace(SEEN, drawn=np.ones(6, bool)))
    assert all(has_line(form, z) for z in range(6))


def test_the_number_on_screen_is_marked(form) -> None:
    def marked() -> list[int]:
        ink, image = form.strip.palette().windowText().color().name(), picture(form)
        cells = [form.strip.cell_rect(z) for z in range(6)]
        rows = [image.pixelColor(c.left() + 3, image.height() - 4).name() for c in cells]
        return [z for z, color in enumerate(rows) if color == ink]

    assert marked() == [SEEN.current]
    form.strip.set_presence(replace(SEEN, current=4))
    assert marked() == [4]


def test_the_base_is_on_the_left(form) -> None:
    assert SEEN.order == (0, 1, 2, 3, 4, 5)
    assert form.strip.cell_rect(0).x() < form.strip.cell_rect(5).x()
    form.strip.set_presence(replace(SEEN, base_first=False))
    assert form.strip.cell_rect(0).x() > form.strip.cell_rect(5).x()
    left = form.strip.cell_rect(5).x()
    form.strip.set_presence(replace(SEEN, base_first=None))
    assert form.strip.cell_rect(0).x() < left  # no room for "base"


def test_a_click_goes_to_the_slice(form, qtbot) -> None:
    chosen: list[int] = []
    form.slice_chosen.connect(chosen.append)
    for z in (4, 0):
        point = form.strip.cell_rect(z).center()
        qtbot.mouseClick(form.strip, Qt.MouseButton.LeftButton, pos=point)
    qtbot.mouseClick(form.strip, Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    assert chosen == [4, 0]


def test_a_reading_counts_models_and_slices_from_one() -> None:
    assert {"2", "3", "9"} <= set(SEEN.reading(1).replace(":", "").split())
    assert SEEN.reading(1) != replace(SEEN, drawn=np.ones(6, bool)).reading(1)
    assert "9" not in replace(SEEN, shares=None).reading(1)


def test_buttons_carry_their_key_and_request(form) -> None:
    told: list[Any] = []
    form.end_moved.connect(lambda end, outwards: told.append((end, outwards)))
    for action, button in form.buttons.items():
        assert button.text().endswith(KEYS[action].replace("-", "+"))
        button.click()
    assert told == [
        (End.BASE, True), (End.BASE, False), (End.APEX, False), (End.APEX, True),
    ]  # fmt: skip
    assert [*form.buttons] == [*END_BUTTONS]


@pytest.mark.parametrize("slices", [1, 12, 40, 200])
def test_any_number_of_slices_fits(form, slices) -> None:
    shares = np.linspace(0, 1, slices)
    form.strip.set_presence(replace(SEEN, shares=shares, drawn=shares > 0.5, current=slices - 1))
    picture(form)
    assert form.strip.cell_rect(slices - 1).right() <= max(form.strip.width(), 30 + slices + 30)


def test_a_missing_posterior_leaves_the_line(form) -> None:
    form.strip.set_presence(replace(SEEN, shares=None))
    assert QColor(SEEN.color).name() not in bar(form, 2)
    assert has_line(form, 2)
    form.strip.set_presence(None)
    picture(form)
