"""Tests of the form for the order of the queue."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.core.heart.structures import structure_title
from napari_bayes_nnunet.core.review.queue import REVIEW_SCORES
from napari_bayes_nnunet.widgets.reading.queue_form import ALL_STRUCTURES, SCORE_HELP, QueueForm

FIRST = next(iter(REVIEW_SCORES.values()))
OTHER = REVIEW_SCORES["disagreement"]


@pytest.fixture
def form(qtbot: Any) -> QueueForm:
    made = QueueForm()
    qtbot.addWidget(made)
    made.set_structures(["RV", "MYO", "LV"])
    made.show()
    return made


@pytest.fixture
def changes(form: QueueForm) -> list[int]:
    heard: list[int] = []
    form.changed.connect(lambda *_: heard.append(1))
    return heard


def test_the_first_score_is_chosen_and_explained(form: QueueForm) -> None:
    assert (form.score, form.unit) == (FIRST.name, FIRST.unit)
    score, note = form.scores.toolTip().split("\n\n")
    assert score.startswith(FIRST.help)
    assert "mm²·bit" in score
    assert note == SCORE_HELP
    role = Qt.ItemDataRole.ToolTipRole
    assert form.scores.itemData(form.scores.findData(OTHER.name), role) == OTHER.help


def test_another_score_is_signalled(form: QueueForm, changes: Any) -> None:
    notes: list[str] = []
    form.noted.connect(notes.append)
    form.set_score(OTHER.name, "Single member.")
    assert (form.score, form.unit, changes) == (OTHER.name, OTHER.unit, [])
    assert notes == ["Single member."]
    form.scores.setCurrentIndex(0)
    assert (form.score, changes) == (FIRST.name, [1])
    assert notes == ["Single member.", ""]
    assert form.scores.toolTip().startswith(FIRST.help)


def test_one_structure_or_all(form: QueueForm, changes: Any) -> None:
    titles = [form.structures.itemText(index) for index in range(form.structures.count())]
    assert titles == [ALL_STRUCTURES, "RV", "MYO", "LV"]
    assert form.choices["structure"] is None
    form.structures.setCurrentIndex(3)
    assert (form.choices["structure"], changes) == ("LV", [1])
    role = Qt.ItemDataRole.ToolTipRole
    assert form.structures.itemData(3, role) == structure_title("LV")


def test_the_structure_stays_if_still_offered(form: QueueForm, changes: Any) -> None:
    form.structures.choose("LV")
    form.set_structures(["LV", "MYO"])
    assert form.choices["structure"] == "LV"
    form.set_structures(["scar"])
    assert form.choices["structure"] is None
    assert changes == []


def test_switches(form: QueueForm, changes: Any, qtbot: Any) -> None:
    assert [*form.choices.values()][2:] == [False, False]
    form.set_switches(all_phases=True, leave_out_borders=True)
    assert ([*form.choices.values()][2:], changes) == ([True, True], [])
    for switch in (form.phases_switch, form.borders_switch):
        switch.setFocus()
        qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert ([*form.choices.values()][2:], changes) == ([False, False], [1, 1])


@pytest.mark.parametrize(("phases", "is_offered"), [(1, False), (2, False), (25, True)])
def test_all_phases_are_offered_above_two(form: QueueForm, phases: int, is_offered: bool) -> None:
    form.set_phases(phases)
    assert form.phases_switch.isVisible() == is_offered


def test_everything_is_explained(form: QueueForm) -> None:
    parts = (form.scores, form.structures, form.phases_switch, form.borders_switch)
    assert all(part.toolTip().endswith(".") for part in parts)
