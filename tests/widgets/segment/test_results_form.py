"""Tests of the numbers of results in the Segment dock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from napari_bayes_nnunet.widgets.layers.result import ResultNumbers
from napari_bayes_nnunet.widgets.segment.run_form import ResultsForm

from ...helpers.windows.curves import proposal
from ..reading.test_volume_plot import PHASES, curve


@pytest.fixture
def form(qtbot: Any) -> ResultsForm:
    made = ResultsForm()
    qtbot.addWidget(made)
    return made


LOOKS = replace(curve(), provisional=frozenset(PHASES))


@pytest.mark.parametrize(
    ("curves", "hidden"), [((LOOKS,), True), ((), False), ((LOOKS, curve()), False)]
)
def test_missing_numbers_are_explained_unless_phases_follow(
    form: ResultsForm, curves: tuple[Any, ...], hidden: bool
) -> None:
    form.set_results({"multi": ResultNumbers(measured={}, curves=curves)}, "multi")
    assert form.blocks["multi"].numbers.isHidden() is hidden


def test_curve_marks_the_phases_that_are_measured(form: ResultsForm) -> None:
    numbers = ResultNumbers(measured={}, ed=PHASES[1], es=PHASES[-1], curves=(curve(),))
    form.set_results({"multi": numbers}, "multi")
    assert form.curves.plot is not None
    assert proposal(form.curves.plot) == (PHASES[1], PHASES[-1])
