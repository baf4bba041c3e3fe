"""Form of the corrections: its buttons, signals and setters."""

from __future__ import annotations

import re
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QCheckBox, QDoubleSpinBox, QPushButton, QToolButton

from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.editing.correction_form import (
    ALL_AGREE,
    COPIES,
    CORRECTION_HELP,
    EVERY_STRUCTURE,
    NO_ALTERNATIVES,
    NOTHING_TO_CORRECT,
    CorrectionForm,
)

HEART = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def form(qtbot) -> CorrectionForm:
    """Return a form ready for a study with ED and ES."""
    made = CorrectionForm()
    qtbot.addWidget(made)
    made.set_structures(HEART)
    made.set_unusable({})
    made.set_alternative(0, 4, 30)
    return made


def buttons(form: CorrectionForm) -> list[Any]:
    return [*form.findChildren(QPushButton), *form.findChildren(QToolButton)]


def threshold(form: CorrectionForm) -> QDoubleSpinBox:
    return form.brush.above.editor.box.native


def test_nothing_can_be_used_without_a_study(qtbot) -> None:
    form = CorrectionForm()
    qtbot.addWidget(form)
    form.set_structures(HEART)
    widgets = [*buttons(form), *form.findChildren(QCheckBox), threshold(form), form.level]
    assert not any(widget.isEnabled() for widget in widgets)
    assert form.interpolate_button.toolTip() == NOTHING_TO_CORRECT
    assert form.level.toolTip() == NOTHING_TO_CORRECT


def test_no_level_widens_the_form(form) -> None:
    form.setStyleSheet("* { font-size: 12pt }")
    form.show()
    widths = set()
    for level in (0, 0.9):
        form.set_level(level)
        form.set_volume(124.4)
        QApplication.processEvents()  # the new text asks for room
        widths.add(form.minimumSizeHint().width())
    assert len(widths) == 1


def test_keys_are_printed_on_their_buttons(form) -> None:
    texts = [button.text() for button in form.findChildren(QPushButton)]
    for text in (
        *(
            "‹ Previous answer  Q",
            "Next answer ›  W",
            "Use this  A",
            "Interpolate  I",
            "Revert slice  R",
            "Mark absent  D",
        ),
        *("‹ Base  Shift+Q", "Base ›  Shift+W", "‹ Apex  Shift+E", "Apex ›  Shift+R"),
        *("Most uncertain  G", "ED ↔ ES  T", "Copy from…", "Play"),
    ):
        assert text in texts


@pytest.mark.parametrize(
    ("button", "signal", "carried"),
    [
        ("previous_button", "alternative_requested", [-1]),
        ("next_button", "alternative_requested", [1]),
        ("scribble_button", "scribble_requested", []),
        ("edit_button", "contour_requested", []),
        ("interpolate_button", "interpolate_requested", []),
        ("carry_button", "carry_requested", []),
        ("revert_button", "revert_requested", []),
        ("absent_button", "absent_requested", []),
        ("uncertain_button", "most_uncertain_requested", []),
        ("landmark_button", "landmark_requested", []),
        ("play_button", "play_requested", []),
    ],
)
def test_buttons_emit_their_signals(
    qtbot, form, button: str, signal: str, carried: list[Any]
) -> None:
    with qtbot.waitSignal(getattr(form, signal)) as told:
        getattr(form, button).click()
    assert [arg for arg in told.args if arg is not False] == carried


def numbers(form: CorrectionForm) -> list[int]:
    """Return the numbers in the text on alternatives."""
    return [int(number) for number in re.findall(r"\d+", form.alternative.text())]


def test_an_alternative_is_used_only_if_shown(qtbot, form) -> None:
    assert numbers(form) == [4, 30]
    assert not form.take_button.isEnabled()
    form.set_alternative(2, 4, 30)
    assert numbers(form) == [4, 30]
    with qtbot.waitSignal(form.alternative_taken):
        form.take_button.click()
    form.set_alternative(0, 0, 0)
    assert form.alternative.text() == NO_ALTERNATIVES
    form.set_alternative(0, 1, 1)
    assert numbers(form) == [1, 1]
    form.set_alternative(0, 1, 9)
    assert form.alternative.text() == ALL_AGREE.format(models="9 models")


def test_an_edited_contour_is_applied_or_cancelled(qtbot, form) -> None:
    def enabled() -> list[bool]:
        three = (form.edit_button, form.apply_button, form.cancel_button)
        return [button.isEnabled() for button in three]

    assert enabled() == [True, False, False]
    form.set_contour_active(True)
    assert enabled() == [False, True, True]
    with qtbot.waitSignal(form.contour_applied):
        form.apply_button.click()
    with qtbot.waitSignal(form.contour_cancelled):
        form.cancel_button.click()
    form.set_unusable({"contour": "Not here."})
    assert enabled() == [False, False, False]


def test_only_user_changes_emit_signals(form) -> None:
    told: list[Any] = []
    form.structure_chosen.connect(told.append)
    form.protection_toggled.connect(lambda *args: told.append(args))
    form.level_moved.connect(told.append)
    form.set_structure("LV")
    form.set_protected({"RV"})
    form.set_level(0.5)
    form.set_volume(12.0)
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
    actions = form.copy_button.menu().actions()
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
        (form.next_button, "alternatives"),
        (form.level, "level"),
        (threshold(form), "uncertain brush"),
        (form.landmark_button, "ED or ES"),
        (form.revert_button, "revert"),
    ):
        assert not button.isEnabled()
        assert button.toolTip() == f"No {part} here."
    form.set_unusable({"alternatives": "One alternative."})
    assert form.revert_button.isEnabled()
    assert form.revert_button.toolTip() == CORRECTION_HELP["revert"]
    form.set_alternative(1, 2, 4)
    assert not form.take_button.isEnabled()
    form.set_unusable({EVERY_STRUCTURE: NOTHING_TO_CORRECT})
    assert not form.structures.isEnabled()
    assert form.revert_button.toolTip() == NOTHING_TO_CORRECT


def test_unknown_parts_are_refused(form) -> None:
    with pytest.raises(ValueError, match="brush"):
        form.set_unusable({"brush": "no"})


def test_play_becomes_stop_and_shows_the_rate(form) -> None:
    form.set_playing(True, "22 a second")
    assert form.play_button.text() == "Stop"
    assert form.play_button.toolTip() == CORRECTION_HELP["play"] + " 22 a second."
    form.set_playing(False)
    assert form.play_button.text() == "Play"
    assert form.play_button.toolTip() == CORRECTION_HELP["play"]


def test_a_click_does_not_take_the_focus(form) -> None:
    for button in buttons(form):
        assert not button.focusPolicy() & Qt.FocusPolicy.ClickFocus


def test_the_form_fits_into_a_narrow_dock(form) -> None:
    form.set_alternative(12, 12, 300)
    assert form.minimumSizeHint().width() <= DOCK_WIDTH - 20
    form.set_alternative(0, 12, 10**30)
    assert form.minimumSizeHint().width() <= DOCK_WIDTH - 20
