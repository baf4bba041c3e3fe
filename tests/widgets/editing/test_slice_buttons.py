"""Buttons and comment of the slice on screen."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.editing.slice_buttons import SliceButtons, add_key
from napari_bayes_nnunet.widgets.layers.keys import key_text


@pytest.fixture
def buttons(qtbot: Any) -> SliceButtons:
    made = SliceButtons()
    qtbot.addWidget(made)
    made.layout().addWidget(made.comment)  # which is elsewhere in the dock
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.mark.parametrize("name", ["previous", "next", "accept", "flag"])
def test_a_click_requests_its_action(buttons: SliceButtons, name: str, qtbot: Any) -> None:
    with qtbot.waitSignal(buttons.requested) as told:
        qtbot.mouseClick(buttons.buttons[name], Qt.MouseButton.LeftButton)
    assert told.args == [name]


def test_every_button_shows_its_key(buttons: SliceButtons) -> None:
    parts = [*buttons.buttons.values()]
    texts = [button.text() for button in parts]
    assert texts == ["‹", "Next ›  N", "Accept  A", "Flag  K"]
    assert key_text("previous") in parts[0].toolTip()
    assert all(button.toolTip().endswith(".") for button in parts)
    assert add_key("Revert", "revert") == "Revert  R"


def test_buttons_show_the_decision(buttons: SliceButtons) -> None:
    buttons.set_slice("accepted", comment="papillary muscle")
    assert buttons.buttons["accept"].text() == "Accepted"
    buttons.set_slice("flagged", comment="papillary muscle")
    assert buttons.buttons["flag"].text() == "Flagged"
    assert buttons.comment.text() == "papillary muscle"
    buttons.set_slice("", comment="")
    assert buttons.buttons["accept"].text() == "Accept  A"
    assert buttons.buttons["flag"].text() == "Flag  K"
    assert buttons.comment.text() == ""


def test_every_letter_of_a_comment_is_emitted(buttons: SliceButtons, qtbot: Any) -> None:
    heard: list[str] = []
    buttons.comment_changed.connect(heard.append)
    buttons.set_slice("", comment="R")
    qtbot.keyClicks(buttons.comment, "V?")
    assert heard == ["RV", "RV?"]


def test_the_cursor_stays_in_a_stored_comment(buttons: SliceButtons, qtbot: Any) -> None:
    qtbot.keyClicks(buttons.comment, "apex")
    buttons.comment.setCursorPosition(1)
    buttons.set_slice("flagged", comment="apex")
    assert buttons.comment.cursorPosition() == 1


def test_buttons_are_disabled_at_queue_ends(buttons: SliceButtons) -> None:
    buttons.set_queue(has_previous=False, has_next=True)
    assert not buttons.buttons["previous"].isEnabled()
    assert buttons.buttons["next"].isEnabled()
