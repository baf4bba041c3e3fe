"""Tests of the switch between the views of the uncertainty."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.reading.uncertainty_view import EXPLAINED, UncertaintyView
from napari_bayes_nnunet.widgets.reading.view_form import ViewForm


@pytest.fixture
def form(qtbot) -> ViewForm:
    made = ViewForm()
    qtbot.addWidget(made)
    return made


def choose(form: ViewForm, view: UncertaintyView) -> None:
    """Choose a view like the user."""
    index = form.views.findText(view.value)
    form.views.setCurrentIndex(index)
    form.views.activated.emit(index)


def test_all_views_are_offered_and_explained(form) -> None:
    count = form.views.count()
    assert [form.views.itemText(i) for i in range(count)] == [
        view.value for view in UncertaintyView
    ]
    tips = [form.views.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(count)]
    assert tips == [EXPLAINED[view] for view in UncertaintyView]


def test_nothing_is_shown_at_first(form) -> None:
    assert form.views.currentText() == UncertaintyView.NOTHING.value
    assert form.explained.text() == ""


def test_a_choice_is_signalled_and_explained(form, qtbot) -> None:
    with qtbot.waitSignal(form.view_chosen) as told:
        choose(form, UncertaintyView.ENTROPY)
    assert told.args == [UncertaintyView.ENTROPY]
    assert form.explained.text() == EXPLAINED[UncertaintyView.ENTROPY]
    assert form.views.toolTip() == EXPLAINED[UncertaintyView.ENTROPY]
    choose(form, UncertaintyView.NOTHING)
    assert form.explained.text() == ""


def test_setting_is_silent(form, qtbot) -> None:
    with qtbot.assertNotEmitted(form.view_chosen):
        form.set_view(UncertaintyView.MEMBERS)
    assert form.views.currentText() == UncertaintyView.MEMBERS.value
    assert form.explained.text() == EXPLAINED[UncertaintyView.MEMBERS]
