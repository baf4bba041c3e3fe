"""Slider of the level."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.widgets.editing.level_slider import SLIDER_STEPS, LevelSlider


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
    assert level.value.text() == "margin 0.00"
    level.set_level(-0.32)
    level.set_volume(14.23)
    text = level.value.text()
    assert "−0.32" in text
    assert "14.2 mL" in text
    level.set_level(0.5)
    level.set_volume(None)
    assert level.value.text() == "margin +0.50"


def test_setters_emit_no_signal(level, told) -> None:
    level.set_level(0.25)
    level.set_volume(3)
    assert level.margin == pytest.approx(0.25, abs=1 / SLIDER_STEPS)
    assert told == []


def test_button_and_double_click_return_to_prediction(qtbot, level, told) -> None:
    level.set_level(0.5)
    level.zero_button.click()
    assert level.margin == 0
    level.set_level(0.5)
    with qtbot.waitSignal(level.level_released):
        qtbot.mouseDClick(level.slider, Qt.MouseButton.LeftButton)
    assert level.margin == 0
    assert level.value.text() == "margin 0.00"
    assert told == [0, 0]


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
