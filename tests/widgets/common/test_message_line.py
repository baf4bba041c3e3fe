"""Tests of the line of messages."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.widgets.common.dock import MessageLabel
from napari_bayes_nnunet.widgets.common.message_line import MORE_MESSAGES, MessageLine

LONG = "heart.nii.gz was not found.\nPut the file next to the study, or choose it. " * 3


@pytest.fixture
def line(qtbot: Any) -> MessageLine:
    made = MessageLine()
    qtbot.addWidget(made)
    made.resize(made.minimumSizeHint().expandedTo(made.sizeHint()))
    made.setFixedWidth(200)
    made.show()
    return made


def test_no_message_changes_the_height(line: MessageLine) -> None:
    heights = {line.sizeHint().height(), line.minimumSizeHint().height()}
    line.keep("problem", LONG, "blocking")
    line.show_message(LONG)
    heights |= {line.sizeHint().height(), line.minimumSizeHint().height()}
    assert len(heights) == 1
    assert line.minimumSizeHint().width() == 0


def test_a_long_message_is_shortened_and_kept_whole(line: MessageLine) -> None:
    line.show_message(LONG)
    assert line.message == LONG
    assert line.toolTip() == LONG
    assert line.fontMetrics().horizontalAdvance(line.text()) <= line.width()
    assert "\n" not in line.text()


def test_a_notice_returns_when_the_message_ends(line: MessageLine) -> None:
    line.keep("problem", "No image.")
    line.show_message("Done.")
    assert line.title == MORE_MESSAGES.format(text="Done.")
    line.show_message("")
    assert line.title == "No image."
    line.keep("problem", "")
    assert (line.title, line.notice("problem")) == ("", "")


def test_a_click_shows_all_messages_in_full(line: MessageLine, qtbot: Any) -> None:
    line.keep("problem", LONG)
    line.show_message("Done.")
    qtbot.mouseClick(line, Qt.MouseButton.LeftButton)
    assert line.panel is not None
    labels = line.panel.findChildren(MessageLabel)
    assert [label.text() for label in labels] == ["Done.", LONG]
    for label in labels:
        assert label.height() >= label.heightForWidth(label.width())
    line.panel.close()


def test_an_empty_line_unfolds_nothing(line: MessageLine, qtbot: Any) -> None:
    qtbot.mouseClick(line, Qt.MouseButton.LeftButton)
    assert line.panel is None
    assert QApplication.activePopupWidget() is None
