"""Tests of the switches of the picture."""

from __future__ import annotations

from napari_bayes_nnunet.widgets.common.display_form import DisplayForm
from napari_bayes_nnunet.widgets.common.settings import Display


def test_choices_are_remembered_and_announced(qtbot, settings) -> None:
    form, told = DisplayForm(settings), []
    qtbot.addWidget(form)
    form.changed.connect(told.append)
    assert form.display == Display(contours=True, fill=False, smooth=True)
    form.fill.click()
    form.smooth.click()
    assert told == [Display(fill=True), Display(fill=True, smooth=False)]
    form.toggle_fill()
    assert settings.kept.display == told[-1] == Display(smooth=False)


def test_another_dock_takes_the_choices_over(qtbot, settings) -> None:
    first, second = DisplayForm(settings), DisplayForm(settings)
    told: list[Display] = []
    for form in (first, second):
        qtbot.addWidget(form)
    second.changed.connect(told.append)
    first.contours.click()
    second.show()
    assert told == [Display(contours=False)]
    assert not second.contours.isChecked()


def test_the_key_switches_what_another_dock_chose(qtbot, settings) -> None:
    first, second = DisplayForm(settings), DisplayForm(settings)
    for form in (first, second):
        qtbot.addWidget(form)
    first.toggle_fill()
    second.toggle_fill()  # never shown since, as in a folded section
    assert not settings.kept.display.fill
