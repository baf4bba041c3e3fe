"""Choosing a phase."""

from __future__ import annotations

from typing import Any

import pytest

from napari_bayes_nnunet.widgets.reading.phase_box import PhaseBox


@pytest.fixture
def box(qtbot: Any) -> PhaseBox:
    made = PhaseBox()
    qtbot.addWidget(made)
    made.set_phases([1, 2, 4])
    return made


@pytest.fixture
def heard(box: PhaseBox) -> list[int | None]:
    phases: list[int | None] = []
    box.chosen.connect(lambda: phases.append(box.phase))
    return phases


def test_phases_are_offered_and_none_is_chosen_at_first(box: PhaseBox) -> None:
    assert [box.itemText(place) for place in range(box.count())] == ["1", "2", "4"]
    assert box.phase is None


def test_only_the_user_is_heard(box: PhaseBox, heard: Any) -> None:
    box.set_phase(4)
    assert (box.phase, heard) == (4, [])
    box.setCurrentIndex(1)
    assert heard == [2]


def test_a_phase_that_is_not_offered_is_none(box: PhaseBox) -> None:
    box.set_phase(3)
    assert box.phase is None
    box.set_phase(None)
    assert box.phase is None


def test_the_same_phases_again_keep_the_choice(box: PhaseBox, heard: Any) -> None:
    box.set_phase(2)
    box.set_phases([1, 2, 4])
    assert box.phase == 2
    box.set_phases([1, 2])
    assert box.phase is None
    assert heard == []
