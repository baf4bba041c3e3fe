"""The colours of the scores."""

from __future__ import annotations

import math

import pytest
from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QImage, QPainter

from napari_bayes_nnunet.widgets.reading.heat_scale import HeatScale, number_text


def lightness(color: QColor) -> float:
    return 0.21 * color.redF() + 0.72 * color.greenF() + 0.07 * color.blueF()


def test_the_higher_the_score_the_lighter() -> None:
    scale = HeatScale(200, "mm²·bit")
    levels = [lightness(scale.color(score)) for score in range(0, 201, 4)]
    assert levels == sorted(levels)
    assert levels[0] < 0.02
    assert levels[-1] > 0.9


def test_scores_beyond_the_ends_have_the_colour_of_the_end() -> None:
    scale = HeatScale(2, "mL")
    assert scale.color(-1) == scale.color(0)
    assert scale.color(7) == scale.color(2)


@pytest.mark.parametrize("top", [0.0, -1.0, math.nan, math.inf])
def test_without_any_disagreement_all_is_dark(top: float) -> None:
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
    assert number_text(score) == text


def test_tiny_scores_do_not_become_long_texts() -> None:
    assert number_text(1e-9) == "0.0000"


def test_scores_are_told_with_their_unit() -> None:
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
