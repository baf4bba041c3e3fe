"""Tests of the marks."""

from __future__ import annotations

from itertools import combinations

import pytest
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QImage, QPainter

from napari_bayes_nnunet.widgets.reading.marks import MARKS, draw_mark, draw_marks

GROUNDS = ("#000004", "#b63679", "#fcffa4")
"""Low, middle and high scores."""


def drawn(marks: set[str], width: int, height: int, ground: str) -> set[tuple[int, int]]:
    """Return the pixels in which a cell differs from its background."""
    picture = QImage(width, height, QImage.Format.Format_RGB32)
    picture.fill(QColor(ground))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw_marks(painter, marks, QRectF(0, 0, width, height))
    painter.end()
    plain = QColor(ground).rgb()
    pixels = ((x, y) for x in range(width) for y in range(height))
    return {(x, y) for x, y in pixels if picture.pixel(x, y) != plain}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("size", [(11, 16), (43, 16), (23, 11), (5, 7)])
def test_every_mark_is_visible_on_every_colour(qapp, mark: str, ground: str, size) -> None:
    assert len(drawn({mark}, *size, ground)) >= 4


@pytest.mark.parametrize("size", [(43, 16), (33, 48)])
def test_marks_do_not_cover_each_other(qapp, size) -> None:
    for first, second in combinations(MARKS, 2):
        shared = drawn({first}, *size, GROUNDS[1]) & drawn({second}, *size, GROUNDS[1])
        assert len(shared) <= 6, (first, second)


def test_marks_stay_inside_their_cell(qapp) -> None:
    picture = QImage(40, 40, QImage.Format.Format_RGB32)
    picture.fill(QColor(GROUNDS[1]))
    painter = QPainter(picture)
    for mark in MARKS:
        draw_mark(painter, mark, QRectF(10, 10, 20, 20))
    painter.end()
    border = [(x, y) for x in range(40) for y in (0, 5, 34, 39)]
    assert {picture.pixel(x, y) for x, y in border} == {QColor(GROUNDS[1]).rgb()}


def test_a_cell_without_marks_is_unchanged(qapp) -> None:
    assert drawn(set(), 11, 16, GROUNDS[0]) == set()


def test_every_mark_is_explained() -> None:
    assert list(MARKS) == ["accepted", "flagged", "edited"]
    assert all(help_text.endswith(".") for help_text in MARKS.values())
