"""Tests of the form for a new training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.training.new_training_form import PROPOSED, SLOW, NewTrainingForm
from napari_bayes_nnunet.widgets.training.preflight_form import PreflightForm

CPU, CARD = {"cpu": "CPU, 2 threads"}, {"cuda:0": "Some card", "cpu": "CPU, 2 threads"}


@pytest.fixture
def make_form(settings, qtbot) -> Callable[[dict[str, str]], NewTrainingForm]:
    """Return a function that makes a form on a computer with the given devices."""

    def make(devices: dict[str, str]) -> NewTrainingForm:
        preflight = PreflightForm(find_devices=lambda: devices)
        form = NewTrainingForm(preflight=preflight, settings=settings)
        qtbot.addWidget(form)
        form.show()
        qtbot.waitUntil(lambda: form.preflight.devices.count() > 1)
        return form

    return make


def preset(form: NewTrainingForm) -> str:
    return str(form.schedule.preset.currentData())


def pick(form: NewTrainingForm, name: str, qtbot) -> None:
    """Pick a preset with the keys of the list, as a user does."""
    box = form.schedule.preset
    step = box.findData(name) - box.currentIndex()
    for _ in range(abs(step)):
        qtbot.keyClick(box, Qt.Key.Key_Down if step > 0 else Qt.Key.Key_Up)


@pytest.mark.parametrize(
    ("devices", "name", "advice"), [(CPU, "quick", PROPOSED), (CARD, "paper", "")]
)
def test_a_preset_for_the_device_is_proposed(make_form, devices, name, advice) -> None:
    form = make_form(devices)
    assert (preset(form), form.advice.text()) == (name, advice)


def test_the_own_choice_wins_and_is_remembered(make_form, qtbot) -> None:
    form = make_form(CPU)
    pick(form, "paper", qtbot)
    assert (preset(form), form.advice.text()) == ("paper", SLOW)
    again = make_form(CPU)
    assert preset(again) == "paper"
    pick(again, "demo", qtbot)
    assert preset(make_form(CARD)) == "demo"


def test_a_card_chosen_later_withdraws_the_proposal(make_form) -> None:
    form = make_form(CARD)
    devices = form.preflight.devices
    devices.setCurrentIndex(devices.findData("cpu"))
    assert preset(form) == "quick"
    devices.setCurrentIndex(devices.findData("cuda:0"))
    assert preset(form) == "paper"


def test_edited_numbers_are_not_replaced(make_form) -> None:
    form = make_form(CARD)
    form.schedule.usual.cycles.value = 4
    devices = form.preflight.devices
    devices.setCurrentIndex(devices.findData("cpu"))
    assert preset(form) == "paper"


def test_settings_under_more_are_requested(make_form, hearts, tmp_path, qtbot) -> None:
    form = make_form(CPU)
    form.data.choose(hearts)
    form.output.choose(tmp_path / "run")
    qtbot.waitUntil(lambda: form.request() is not None)
    assert (form.request().augmentation, form.request().sampler) == ("nnunet", "sgd")
    for name, value in (("augmentation", "wide"), ("sampler", "sghmc")):
        form.schedule.fields[name].value = value
    qtbot.waitUntil(lambda: form.request() is not None)
    assert (form.request().augmentation, form.request().sampler) == ("wide", "sghmc")
    for words in ("--augmentation wide", "--sampler sghmc", "--posterior-temperature 1.0"):
        assert words in form.start_button.toolTip()
