"""Tests of the volume curves in the Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from napari_bayes_nnunet.core.heart.volume_curve import VolumeCurve
from napari_bayes_nnunet.widgets.common.plotting import Legend
from napari_bayes_nnunet.widgets.layers.result import ResultNumbers
from napari_bayes_nnunet.widgets.segment.run_form import (
    HELP,
    LINES_NOTE,
    PROVISIONAL_NOTE,
    CurveForm,
)

from ...helpers.windows.curves import proposal, provisional
from ..reading.test_volume_plot import PHASES, curve

COUNT = 40


@pytest.fixture
def form(qtbot: Any) -> CurveForm:
    made = CurveForm()
    qtbot.addWidget(made)
    return made


def show(form: CurveForm, curves: Sequence[VolumeCurve]) -> None:
    form.set_numbers(ResultNumbers(measured={}, curves=tuple(curves), count=COUNT))


def test_curves_are_shown_with_their_provisional_phases(form: CurveForm) -> None:
    show(form, [replace(curve(), provisional=frozenset(PHASES[:3])), curve("RV")])
    assert not form.isHidden()
    assert form.plot is not None
    assert provisional(form.plot) == list(PHASES[:3])
    ed, es = proposal(form.plot)
    note = PROVISIONAL_NOTE + LINES_NOTE.format(ed=ed, es=es)
    assert form.note.text() == note
    show(form, [curve(), curve("RV")])
    assert form.note.isHidden()
    assert provisional(form.plot) == []


def test_the_title_of_the_curves_explains_them(form: CurveForm) -> None:
    show(form, [curve(), curve("RV")])
    (legend,) = form.findChildren(Legend)
    assert legend.toolTip() == HELP


def test_the_axis_has_all_phases_from_the_first_curve_on(form: CurveForm) -> None:
    show(form, [curve()])
    assert form.plot is not None
    first = form.plot.viewRange()[0]
    show(form, [curve(), curve("RV")])
    assert form.plot.viewRange()[0] == first
    assert first[0] <= 1 < COUNT <= first[1]


def test_few_phases_make_no_curve(form: CurveForm) -> None:
    few = replace(curve(), phases=(1, 7), volumes=(100.0, 50.0))
    for curves in ((), [few]):
        show(form, curves)
        assert form.isHidden()
    assert form.plot is None


def test_looks_alone_make_no_curve(form: CurveForm) -> None:
    looks = replace(curve(), provisional=frozenset(PHASES))
    show(form, [looks, replace(looks, structure="RV")])
    assert form.isHidden()
    show(form, [replace(looks, provisional=frozenset(PHASES[1:]))])
    assert not form.isHidden()
