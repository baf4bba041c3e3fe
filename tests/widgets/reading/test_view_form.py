"""Tests of the switch between the views of the uncertainty."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.core.ensemble.maps import ENTROPY, MAPS, MUTUAL_INFORMATION
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.reading.uncertainty_view import (
    INCLUSION,
    MEMBER_LINES,
    NOTHING,
    VIEWS,
    UncertaintyView,
)
from napari_bayes_nnunet.widgets.reading.view_form import ViewForm


@pytest.fixture
def form(qtbot, settings) -> ViewForm:
    made = ViewForm(settings)
    qtbot.addWidget(made)
    return made


def choose(form: ViewForm, view: UncertaintyView) -> None:
    """Choose a view like the user."""
    index = VIEWS.index(view)
    form.views.setCurrentIndex(index)
    form.views.activated.emit(index)


def test_all_views_are_offered_and_explained(form) -> None:
    assert form.views.count() == len(VIEWS)
    assert all(form.views.itemText(i).startswith(v.view) for i, v in enumerate(VIEWS))
    tips = [form.views.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(len(VIEWS))]
    assert tips == [view.explained for view in VIEWS]


def test_inclusion_is_shown_at_first(form) -> None:
    assert form.view == INCLUSION
    assert form.explained.text() == INCLUSION.explained


def test_a_choice_is_signalled_and_explained(form, qtbot) -> None:
    for view in VIEWS:
        with qtbot.waitSignal(form.view_chosen) as told:
            choose(form, view)
        assert told.args == [view]
        assert form.explained.text() == view.explained
        assert form.views.toolTip() == view.explained


@pytest.mark.parametrize("view", VIEWS)
def test_a_text_takes_at_most_two_lines(form, view) -> None:
    form.set_view(view)
    line = form.explained.fontMetrics().lineSpacing()
    assert form.explained.heightForWidth(DOCK_WIDTH - 20) <= 2.5 * line


def test_a_choice_is_remembered(form, settings, qtbot) -> None:
    chosen = ViewForm(settings)
    qtbot.addWidget(chosen)
    choose(chosen, ENTROPY)
    chosen.choose_next()
    chosen.set_view(MEMBER_LINES)  # not a choice of the user
    again = ViewForm(settings)
    qtbot.addWidget(again)
    assert again.view == MUTUAL_INFORMATION
    again.set_view([*MAPS.values()][-1])
    again.choose_next()
    assert again.view == NOTHING
    settings.keep(uncertainty_view="of a later version")
    unknown = ViewForm(settings)
    qtbot.addWidget(unknown)
    assert unknown.view == INCLUSION


def test_setting_is_silent(form, qtbot) -> None:
    with qtbot.assertNotEmitted(form.view_chosen):
        form.set_view(MEMBER_LINES)
    assert form.view == MEMBER_LINES
    assert form.explained.text() == MEMBER_LINES.explained
