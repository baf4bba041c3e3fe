"""Tests of the colours of messages and rows in both themes."""

from __future__ import annotations

from typing import Any

import pytest
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_bayes_nnunet.widgets.common.dock import LevelLabel, MessageLabel, column_layout
from napari_bayes_nnunet.widgets.common.levels import ON_DARK, ON_LIGHT

THEMES = {"dark": ON_DARK, "light": ON_LIGHT}


def luminance(color: QColor) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = [color.redF(), color.greenF(), color.blueF()]
    linear = [c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", THEMES)
def test_levels_are_readable_on_the_theme(name: str) -> None:
    background = luminance(QColor(*get_theme(name).background.as_rgb_tuple()))
    for level, text in THEMES[name].items():
        low, high = sorted((luminance(QColor(text)), background))
        contrast = (high + 0.05) / (low + 0.05)
        assert contrast >= (4.0 if level == "done" else 4.5), (level, contrast)


def test_message_follows_the_theme(qtbot: Any) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    label = MessageLabel("Memory is short.", level="warning")
    column_layout(window, label)
    with qtbot.waitExposed(window):
        window.show()
    for name in ("dark", "light", "dark"):
        background = get_theme(name).background.as_hex()
        window.setStyleSheet(f"QWidget {{ background-color: {background}; color: grey; }}")
        ink = label.palette().color(QPalette.ColorRole.WindowText)
        assert ink.name().upper() == THEMES[name]["warning"]
    assert label.textFormat() == Qt.TextFormat.PlainText
    label.show_message("", "fine")
    assert label.styleSheet() == ""


def test_label_keeps_its_style_beside_the_colour(qtbot: Any) -> None:
    label = LevelLabel("mL", level="done", style="padding: 0")
    qtbot.addWidget(label)
    assert label.styleSheet().startswith("QLabel { padding: 0; color: #")  # not its tooltip
    plain = LevelLabel("216", style="padding: 0")
    qtbot.addWidget(plain)
    assert plain.styleSheet() == "QLabel { padding: 0 }"


def test_message_appears_only_with_its_form(qtbot: Any) -> None:
    form = QWidget()
    qtbot.addWidget(form)
    said, empty, emptied = MessageLabel("One."), MessageLabel(), MessageLabel("Two.")
    emptied.show_message("")
    labels = said, empty, emptied
    assert not any(label.isVisible() for label in labels)
    column = QVBoxLayout(form)
    for label in labels:
        column.addWidget(label)
    with qtbot.waitExposed(form):
        form.show()
    assert [label.isVisible() for label in labels] == [True, False, False]
    empty.show_message("Three.")
    assert empty.isVisible()
