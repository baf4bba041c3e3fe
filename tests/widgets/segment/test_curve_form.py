"""Tests of the volume curves in the Segment dock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from napari_bayes_nnunet.widgets.common.plotting import Legend
from napari_bayes_nnunet.widgets.segment.curve_form import (
    HELP,
    LINES_NOTE,
    PROVISIONAL_NOTE,
    CurveForm,
)

from ..reading.test_volume_plot import PHASES, curve


@pytest.fixture
def form(qtbot: Any) -> CurveForm:
    made = CurveForm()
    qtbot.addWidget(made)
    return made


def test_curves_are_shown_with_their_provisional_phases(form: CurveForm) -> None:
    form.set_curves([replace(curve(), provisional=frozenset(PHASES[:3])), curve("RV")])
    assert not form.isHidden()
    assert form.plot is not None
    assert form.plot.provisional("LV") == list(PHASES[:3])
    ed, es = form.plot.proposal
    note = PROVISIONAL_NOTE + LINES_NOTE.format(ed=ed, es=es)
    assert form.note.text() == note
    form.set_curves([curve(), curve("RV")])
    assert form.note.isHidden()
    assert form.plot.provisional("LV") == []


def test_the_title_of_the_curves_explains_them(form: CurveForm) -> None:
    form.set_curves([curve(), curve("RV")])
    (legend,) = form.findChildren(Legend)
    assert legend.toolTip() == HELP


def test_few_phases_make_no_curve(form: CurveForm) -> None:
    few = replace(curve(), phases=(1, 7), volumes=(100.0, 50.0), spreads=(1.0, 1.0))
    for curves in ((), [few]):
        form.set_curves(curves)
        assert form.isHidden()
    assert form.plot is None
