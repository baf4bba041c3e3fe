"""Tests of the switch between the views of the uncertainty."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.reading.uncertainty_view import EXPLAINED, UncertaintyView
from napari_bayes_nnunet.widgets.reading.view_form import ViewForm


@pytest.fixture
def form(qtbot) -> ViewForm:
    made = ViewForm()
    qtbot.addWidget(made)
    return made


def choose(form: ViewForm, view: UncertaintyView) -> None:
    """Choose a view like the user."""
    index = form.views.findData(view)
    form.views.setCurrentIndex(index)
    form.views.activated.emit(index)


def test_all_views_are_offered_and_explained(form) -> None:
    count = form.views.count()
    assert [form.views.itemData(i) for i in range(count)] == [*UncertaintyView]
    assert all(form.views.itemText(i).startswith(form.views.itemData(i)) for i in range(count))
    tips = [form.views.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(count)]
    assert tips == [EXPLAINED[view] for view in UncertaintyView]


def test_inclusion_is_shown_at_first(form) -> None:
    assert form.view == UncertaintyView.INCLUSION
    assert form.explained.text() == EXPLAINED[UncertaintyView.INCLUSION]


def test_a_choice_is_signalled_and_explained(form, qtbot) -> None:
    for view in UncertaintyView:
        with qtbot.waitSignal(form.view_chosen) as told:
            choose(form, view)
        assert told.args == [view]
        assert form.explained.text() == EXPLAINED[view]
        assert form.views.toolTip() == EXPLAINED[view]


@pytest.mark.parametrize("view", list(UncertaintyView))
def test_a_text_takes_at_most_two_lines(form, view) -> None:
    form.set_view(view)
    line = form.explained.fontMetrics().lineSpacing()
    assert form.explained.heightForWidth(DOCK_WIDTH - 20) <= 2.5 * line


def test_a_choice_is_remembered(form, settings, qtbot) -> None:
    chosen = ViewForm(settings)
    qtbot.addWidget(chosen)
    choose(chosen, UncertaintyView.ENTROPY)
    chosen.choose_next()
    chosen.set_view(UncertaintyView.MEMBERS)  # not a choice of the user
    again = ViewForm(settings)
    qtbot.addWidget(again)
    assert again.view == UncertaintyView.MUTUAL_INFORMATION
    again.choose_next()
    assert again.view == UncertaintyView.NOTHING
    settings.keep(uncertainty_view="of a later version")
    unknown = ViewForm(settings)
    qtbot.addWidget(unknown)
    assert unknown.view == UncertaintyView.INCLUSION


def test_setting_is_silent(form, qtbot) -> None:
    with qtbot.assertNotEmitted(form.view_chosen):
        form.set_view(UncertaintyView.MEMBERS)
    assert form.view == UncertaintyView.MEMBERS
    assert form.explained.text() == EXPLAINED[UncertaintyView.MEMBERS]
