"""Form of the corrections: its buttons, signals and setters."""

from __future__ import annotations

import re
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon, QImage
from qtpy.QtWidgets import QApplication, QCheckBox, QDoubleSpinBox, QPushButton, QToolButton

from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.editing.correction_form import (
    BUTTONS,
    COPIES,
    CORRECTION_HELP,
    EVERY_STRUCTURE,
    NO_ALTERNATIVES,
    NOTHING_TO_CORRECT,
    CorrectionForm,
)
from napari_bayes_nnunet.widgets.editing.slice_buttons import add_key
from napari_bayes_nnunet.widgets.editing.tool_strip import TOOLS

HEART = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def form(qtbot) -> CorrectionForm:
    """Return a form ready for a study with ED and ES."""
    made = CorrectionForm()
    for part in (made, made.tools, made.limits, made.looks):  # which have other places
        qtbot.addWidget(part)
    made.set_structures(HEART)
    made.set_unusable({})
    made.set_alternative(0, 4)
    return made


def buttons(form: CorrectionForm) -> list[Any]:
    return [*form.buttons.values(), *form.findChildren(QToolButton)]


def threshold(form: CorrectionForm) -> QDoubleSpinBox:
    return form.brush.above.editor.box.native


def test_nothing_can_be_used_without_a_study(qtbot) -> None:
    form = CorrectionForm()
    qtbot.addWidget(form)
    form.set_structures(HEART)
    widgets = [*buttons(form), *form.findChildren(QCheckBox), threshold(form), form.level]
    assert not any(widget.isEnabled() for widget in widgets)
    assert form.buttons["interpolate"].toolTip() == NOTHING_TO_CORRECT
    assert form.level.toolTip() == NOTHING_TO_CORRECT


def test_no_level_widens_the_form(form) -> None:
    form.setStyleSheet("* { font-size: 12pt }")
    form.show()
    widths = set()
    for level in (0, 0.9):
        form.set_level(level)
        form.level.set_volume(124.4)
        QApplication.processEvents()  # the new text asks for room
        widths.add(form.minimumSizeHint().width())
    assert len(widths) == 1


def test_keys_are_printed_on_their_buttons(form) -> None:
    buttons = (*form.findChildren(QPushButton), *form.tools.findChildren(QPushButton))
    buttons += (*form.more.findChildren(QPushButton),)
    texts = [button.text() for button in buttons]
    for text in (
        *("‹Q", "W›", "‹⇧Q", "⇧W›", "‹⇧E", "⇧R›", "Use  Enter", "Interpolate  I", "Revert  R"),
        *(
            "Scribble  J",
            "Handles  C",
            "Brush  P",
            "Eraser  E",
            "Move  Z",
            "Absent  D",
            "Copy from",
        ),
    ):
        assert text in texts


def test_one_tool_has_the_mouse_and_each_has_an_icon(form) -> None:
    for tool in (*TOOLS, ""):
        form.set_tool(tool)
        assert [name for name in TOOLS if form.buttons[name].isChecked()] == [tool][: len(tool)]
    pictures = {form.buttons[name].icon().pixmap(18, 18).cacheKey() for name in TOOLS}
    assert len(pictures) == len(TOOLS)
    icon = form.buttons["revert"].icon()
    bright, faint = (
        icon.pixmap(18, 18, mode).toImage() for mode in (QIcon.Mode.Normal, QIcon.Mode.Disabled)
    )
    assert strength(bright) > 1.5 * strength(faint) > 0


def strength(picture: QImage) -> int:
    """Return the sum of the opacity of all pixels."""
    size = range(18)
    return sum(picture.pixelColor(x, y).alpha() for x in size for y in size)


def test_each_button_requests_its_action(form) -> None:
    told: list[str] = []
    form.requested.connect(told.append)
    form.set_alternative(1, 4)
    for active in (False, True):  # while a contour is edited, it can be applied or cancelled
        form.set_tool("contour" if active else "move")
        for button in form.buttons.values():
            button.click() if button.menu() is None else None
    assert sorted({*told}) == sorted({*BUTTONS} - {"copy"})


def numbers(form: CorrectionForm) -> list[int]:
    """Return the numbers in the text on alternatives."""
    return [int(number) for number in re.findall(r"\d+", form.alternative.text())]


def test_an_alternative_is_used_only_if_shown(qtbot, form) -> None:
    assert numbers(form) == [4]
    assert not form.buttons["use answer"].isEnabled()
    form.set_alternative(2, 4)
    assert numbers(form) == [4]
    with qtbot.waitSignal(form.requested):
        form.buttons["use answer"].click()
    form.set_alternative(0, 0)
    assert form.alternative.text() == NO_ALTERNATIVES
    form.set_alternative(0, 1)
    assert numbers(form) == [1]


def test_an_edited_contour_is_applied_or_cancelled(qtbot, form) -> None:
    def enabled() -> list[bool]:
        three = [form.buttons[name] for name in ("contour", "apply contour", "cancel contour")]
        return [button.isEnabled() and not button.isHidden() for button in three]

    assert enabled() == [True, False, False]
    form.set_tool("contour")
    assert enabled() == [True, True, True]
    with qtbot.waitSignal(form.requested):
        form.buttons["apply contour"].click()
    with qtbot.waitSignal(form.requested):
        form.buttons["cancel contour"].click()
    form.set_unusable({"contour": "Not here."})
    assert enabled() == [False, False, False]


def test_only_user_changes_emit_signals(form) -> None:
    told: list[Any] = []
    form.structures.structure_chosen.connect(told.append)
    form.locks.protection_toggled.connect(lambda *args: told.append(args))
    form.level.level_moved.connect(told.append)
    form.structures.set_structure("LV")
    form.locks.set_protected({"RV"})
    form.set_level(0.5)
    form.level.set_volume(12.0)
    assert form.structure == "LV"
    assert told == []
    assert "12.0 mL" in form.level.value.text()
    form.structures.chips["MYO"].click()
    form.locks.boxes["RV"].click()
    form.level.slider.setValue(form.level.slider.maximum())
    assert told == ["MYO", ("RV", False), -1.0]


def test_the_brush_is_limited_by_an_entropy(form, qtbot) -> None:
    told: list[Any] = []
    form.brush_limited.connect(told.append)
    assert form.brush_limit is None
    check = form.brush.above.editor.check.native
    qtbot.keyClick(check, Qt.Key.Key_Space)
    threshold(form).selectAll()
    qtbot.keyClicks(threshold(form), "0.5")
    assert form.brush_limit == 0.5
    qtbot.keyClick(check, Qt.Key.Key_Space)
    assert told == [0.2, 0.0, 0.5, None]
    form.set_largest_entropy(0.3)
    assert threshold(form).value() == 0.3
    assert len(told) == 4


def test_the_copy_menu_requests_neighbours(form) -> None:
    told: list[str] = []
    form.copy_requested.connect(told.append)
    actions = form.buttons["copy"].menu().actions()
    assert [action.text() for action in actions] == [
        "Slice above",
        "Slice below",
        "Previous phase",
        "Next phase",
    ]
    for action in actions:
        action.trigger()
    assert told == [*COPIES]
    form.set_unusable({"previous phase": "One phase."})
    assert [action.isEnabled() for action in actions] == [True, True, False, True]
    assert actions[2].toolTip() == "One phase."


def test_an_unusable_part_gives_its_reason(form) -> None:
    reasons = {part: f"No {part} here." for part in CORRECTION_HELP}
    form.set_unusable(reasons)
    for button, part in (
        (form.buttons["next alternative"], "alternatives"),
        (form.level, "level"),
        (threshold(form), "uncertain brush"),
        (form.buttons["ED or ES"], "ED or ES"),
        (form.buttons["revert"], "revert"),
    ):
        assert not button.isEnabled()
        assert button.toolTip() == f"No {part} here."
    form.set_unusable({"alternatives": "One alternative."})
    assert form.buttons["revert"].isEnabled()
    assert form.buttons["revert"].toolTip() == CORRECTION_HELP["revert"]
    form.set_alternative(1, 2)
    assert not form.buttons["use answer"].isEnabled()
    form.set_unusable({EVERY_STRUCTURE: NOTHING_TO_CORRECT})
    assert not form.structures.isEnabled()
    assert form.buttons["revert"].toolTip() == NOTHING_TO_CORRECT


def test_play_becomes_stop_and_shows_the_rate(form) -> None:
    form.set_playing(True, "22 a second")
    assert form.buttons["play"].text() == add_key("Stop", "play")
    assert form.buttons["play"].toolTip() == CORRECTION_HELP["play"] + " 22 a second."
    form.set_playing(False)
    assert form.buttons["play"].text() == add_key("Play", "play")
    assert form.buttons["play"].toolTip() == CORRECTION_HELP["play"]


def test_a_click_does_not_take_the_focus(form) -> None:
    for button in buttons(form):
        assert not button.focusPolicy() & Qt.FocusPolicy.ClickFocus


def test_the_form_fits_into_a_narrow_dock(form) -> None:
    form.set_alternative(12, 12)
    assert form.minimumSizeHint().width() <= DOCK_WIDTH - 20
    form.set_alternative(0, 12)
    assert form.minimumSizeHint().width() <= DOCK_WIDTH - 20
