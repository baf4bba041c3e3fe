"""Chips of the structures and boxes that lock them."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.core.heart.structures import CARDIAC, structure_title
from napari_bayes_nnunet.widgets.editing.structure_chips import LockBoxes, StructureChips

HEART = {"RV": 1, "MYO": 2, "LV": 3}


@pytest.fixture
def chips(qtbot) -> StructureChips:
    made = StructureChips()
    qtbot.addWidget(made)
    made.set_structures(HEART)
    return made


@pytest.fixture
def boxes(qtbot) -> LockBoxes:
    made = LockBoxes()
    qtbot.addWidget(made)
    made.set_structures(HEART)
    return made


def test_a_click_chooses_exactly_one_structure(chips) -> None:
    told: list[str] = []
    chips.structure_chosen.connect(told.append)
    assert chips.structure == "RV"
    chips.chips["LV"].click()
    chips.chips["LV"].click()
    assert chips.structure == "LV"
    assert [chip.isChecked() for chip in chips.chips.values()] == [False, False, True]
    assert told == ["LV", "LV"]


def test_setting_the_structure_emits_no_signal(chips) -> None:
    told: list[str] = []
    chips.structure_chosen.connect(told.append)
    chips.set_structure("MYO")
    chips.set_structure("aorta")
    assert chips.structure == "MYO"
    assert told == []


def test_chips_show_colour_and_name(chips) -> None:
    chip = chips.chips["LV"]
    image = chip.icon().pixmap(12, 12).toImage()
    assert image.pixelColor(6, 6).name().upper() == CARDIAC["LV"]
    assert CARDIAC["LV"] in chip.styleSheet()
    assert structure_title("LV") in chip.toolTip()


def test_new_structures_keep_the_choice_if_possible(chips) -> None:
    chips.set_structure("LV")
    chips.set_structures({"MYO": 1, "LV": 2})
    assert chips.structure == "LV"
    assert [*chips.chips] == ["MYO", "LV"]
    chips.set_structures({"aorta": 1, "LA": 2, "RA": 3, "PA": 4})
    assert chips.structure == "aorta"
    chips.set_structures({})
    assert chips.structure == ""


def test_locked_structures_are_emitted(boxes) -> None:
    told: list[tuple[str, bool]] = []
    boxes.protection_toggled.connect(lambda name, on: told.append((name, on)))
    boxes.boxes["RV"].click()
    boxes.boxes["LV"].click()
    boxes.boxes["RV"].click()
    assert told == [("RV", True), ("LV", True), ("RV", False)]
    assert boxes.protected == ("LV",)


def test_setting_locks_emits_no_signal(boxes) -> None:
    told: list[tuple[str, bool]] = []
    boxes.protection_toggled.connect(lambda name, on: told.append((name, on)))
    boxes.set_protected({"RV", "MYO"})
    assert boxes.protected == ("RV", "MYO")
    boxes.set_structures({"MYO": 1, "LV": 2})
    assert boxes.protected == ("MYO",)
    assert told == []
