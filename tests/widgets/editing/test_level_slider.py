"""Slider of the level."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.widgets.editing.level_slider import (
    EDITED_BY_HAND,
    SLIDER_STEPS,
    LevelSlider,
    level_text,
)


@pytest.fixture
def level(qtbot) -> LevelSlider:
    made = LevelSlider()
    qtbot.addWidget(made)
    made.resize(260, made.sizeHint().height())
    made.show()
    return made


@pytest.fixture
def told(level) -> list[float]:
    margins: list[float] = []
    level.level_moved.connect(margins.append)
    return margins


def test_the_structure_grows_to_the_right(level, told) -> None:
    level.slider.setValue(SLIDER_STEPS)
    level.slider.setValue(-SLIDER_STEPS)
    assert told == [-1, 1]
    assert level.margin == 1


def test_the_slider_catches_around_the_prediction(level, told) -> None:
    for value in (2, -3, 4):
        level.slider.setValue(value)
    assert told == [0, 0, -4 / SLIDER_STEPS]


def test_margin_and_volume_are_shown(level) -> None:
    assert level.value.text() == level_text(0)
    level.set_level(-80 / SLIDER_STEPS)
    level.set_volume(14.23)
    text = level.value.text()
    assert text.startswith(level_text(-80 / SLIDER_STEPS))
    assert "14.2 mL" in text
    level.set_volume(None)
    level.set_level(None)
    assert (level.value.text(), level.margin) == (EDITED_BY_HAND, 0)
    level.slider.setValue(40)
    assert level.value.text() == level_text(-40 / SLIDER_STEPS)


def test_level_is_worded_like_ends_of_slider() -> None:
    larger, none, smaller = (level_text(margin) for margin in (-0.32, 0.0, 0.5))
    assert larger.endswith("0.32 larger")
    assert smaller.endswith("0.50 smaller")
    assert not any(letter.isdigit() for letter in none)


def test_setters_emit_no_signal(level, told) -> None:
    level.set_level(0.25)
    level.set_volume(3)
    assert level.margin == pytest.approx(0.25, abs=1 / SLIDER_STEPS)
    assert told == []


def test_a_double_click_returns_to_the_prediction(qtbot, level, told) -> None:
    level.set_level(0.5)
    with qtbot.waitSignal(level.level_released):
        qtbot.mouseDClick(level.slider, Qt.MouseButton.LeftButton)
    assert level.margin == 0
    assert level.value.text() == level_text(0)
    assert told == [0]


def test_release_is_emitted_for_mouse_and_keys(qtbot, level, told) -> None:
    left = Qt.MouseButton.LeftButton
    middle = level.slider.height() // 2
    for at in (level.slider.width() // 2, level.slider.width() - 4):
        with qtbot.waitSignal(level.level_released):
            qtbot.mouseClick(level.slider, left, pos=QPoint(at, middle))
    assert len(told) == 1
    with qtbot.waitSignal(level.level_released):
        qtbot.keyClick(level.slider, Qt.Key.Key_Left)
    assert len(told) == 2
    with qtbot.assertNotEmitted(level.level_released):
        qtbot.keyClick(level.slider, Qt.Key.Key_N)


def test_the_wheel_does_not_change_the_level(level, told) -> None:
    event = QWheelEvent(
        QPointF(50, 5),
        level.slider.mapToGlobal(QPointF(50, 5)),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(level.slider, event)
    assert level.margin == 0
    assert told == []
    assert not event.isAccepted()
