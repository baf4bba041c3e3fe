"""Wall thickness in the *Review* dock."""

from __future__ import annotations

import re
from typing import Any

from qtpy.QtGui import QColor

from napari_bayes_nnunet.app.report.bullseye import SIDE
from napari_bayes_nnunet.app.review.report_numbers import UNKNOWN
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.walls import NO_STRUCTURES, measure_walls
from napari_bayes_nnunet.widgets.review.forms import WALL

from ...helpers.data.cines import ED, ES, MYO
from ...helpers.windows.reviewing import Review, paint


def open_wall(review: Review) -> None:
    section = review.forms.sections[WALL]
    section.expand()
    review.qtbot.waitUntil(lambda: bool(review.forms.wall.notes.text()))


def shown(review: Review) -> list[str]:
    """Return the texts of the segments in the bull's-eye."""
    return re.findall(r"<title>[^:]*: (\S+) ", review.forms.wall.bullseye.drawing)


def expected(review: Review, name: str = "ED") -> list[str]:
    numbers = measure_walls(ReviewSession(review.session.study)).numbers
    digits = 0 if name == "thickening" else 1
    return [f"{numbers[f'AHA {n} {name}'].value:.{digits}f}" for n in range(1, 17)]


def test_open_section_shows_all_values(review: Review) -> None:
    open_wall(review)
    form = review.forms.wall
    assert shown(review) == expected(review)
    columns = list(zip(*(row.cells for row in form.table.rows), strict=True))
    assert list(columns[1]) == expected(review, "ED")
    assert list(columns[2]) == expected(review, "ES")
    for name in ("thickening", "ES"):
        form.shown.setCurrentIndex(form.shown.findData(name))
        assert shown(review) == expected(review, name)


def test_closed_section_costs_nothing(review: Review, monkeypatch: Any) -> None:
    review.forms.sections[WALL].collapse()
    measured: list[Any] = []
    monkeypatch.setattr(review.session, "wall_in", measured.append)
    paint(review.layer, (ED, 1), 6, 26, MYO, review.qtbot)
    review.settle()
    assert not measured


def test_edit_and_other_phases_change_the_values(review: Review) -> None:
    open_wall(review)
    before = shown(review)
    paint(review.layer, (ED, 1), 7, 26, MYO, review.qtbot)
    review.qtbot.waitUntil(lambda: shown(review) != before)
    assert shown(review) == expected(review)
    review.forms.volumes.phases_changed.emit(ES, ED)
    at_ed, at_es = expected(review, "ED"), expected(review, "ES")
    review.qtbot.waitUntil(lambda: shown(review) == at_es)
    assert at_es != at_ed


def test_reason_is_shown_without_values(make_review: Any) -> None:
    review = make_review(structures={"MYO": 2, "LV": 3})
    open_wall(review)
    assert review.forms.wall.notes.text() == NO_STRUCTURES
    assert all({*row.cells[1:]} == {UNKNOWN} for row in review.forms.wall.table.rows)


def test_bullseye_is_painted(review: Review) -> None:
    open_wall(review)
    image = review.forms.wall.bullseye.grab().toImage()
    scale = image.width() / SIDE
    middle, ring = (QColor(image.pixel(int(x * scale), int(96 * scale))) for x in (110, 190))
    assert ring.blue() > ring.red()
    assert abs(middle.blue() - ring.blue()) + abs(middle.red() - ring.red()) > 20
