"""Tests of the form for a new training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, TrainingRecord, write_record
from napari_bayes_nnunet.widgets.training import preflight_form
from napari_bayes_nnunet.widgets.training.new_training_form import PROPOSED, SLOW, NewTrainingForm
from napari_bayes_nnunet.widgets.training.schedule_form import EXTENSION

CPU, CARD = {"cpu": "CPU, 2 threads"}, {"cuda:0": "Some card", "cpu": "CPU, 2 threads"}


@pytest.fixture
def make_form(settings, qtbot, monkeypatch) -> Callable[[dict[str, str]], NewTrainingForm]:
    """Return a function that makes a form on a computer with the given devices."""

    def make(devices: dict[str, str]) -> NewTrainingForm:
        monkeypatch.setattr(preflight_form, "find_devices", lambda: devices)
        form = NewTrainingForm(settings=settings)
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
    assert form.request().augmentation == "nnunet"
    form.schedule.fields["augmentation"].value = "wide"
    qtbot.waitUntil(lambda: form.request() is not None)
    assert form.request().augmentation == "wide"
    assert "--augmentation wide" in form.start_button.toolTip()


def finished(*folds: str) -> TrainingRecord:
    """Return the record of a run with these finished folds, the last with one more wide cycle."""
    entries: dict[str, Any] = {}
    for fold in folds:
        cycle = {"training_cases": [], "dataset": {"cases": {}}, "augmentation": "wide"}
        cycles = [cycle] if fold == folds[-1] else []
        last = {"epoch": 7 if cycles else 5, "cycle": 2, "learning_rate": 0.01}
        member = {**last, "file": "x.pth", "bytes": 1, "sha256": ""}
        entries[fold] = {
            "training_cases": [], "validation_cases": [], "members": [member],
            "added_cycles": cycles,
        }  # fmt: skip
    return TrainingRecord(
        name="run", configuration="2d", schedule=RestartSchedule(epochs=6, gamma=0.5),
        selection=MemberSelection(per_cycle=1, step=1), batch_size=2, iterations_per_epoch=1,
        labels={"background": 0, "RV": 1, "MYO": 2, "LV": 3}, channels=["cine 0"], preset="quick",
        folds=entries,
    )  # fmt: skip


def offers_cycle(form: NewTrainingForm) -> bool:
    box = form.schedule.preset
    return bool(box.model().item(box.findData(EXTENSION)).isEnabled())


@pytest.fixture
def extend(make_form, hearts, tmp_path) -> Callable[[TrainingRecord], NewTrainingForm]:
    """Return a function that makes a form with a run of the record as its output."""

    def make(record: TrainingRecord) -> NewTrainingForm:
        run = RunFolder(tmp_path / "run")
        for fold in record.folds:
            run.fold(fold).mkdir(parents=True)
            (run.fold(fold) / "checkpoint_final.pth").touch()
        write_record(run.record, record)
        form = make_form(CPU)
        form.data.choose(hearts)
        form.output.choose(run.path)
        return form

    return make


def test_added_cycle_of_several_folds_names_the_chosen_one(extend, qtbot) -> None:
    form = extend(finished("0", "1"))
    qtbot.waitUntil(lambda: offers_cycle(form))
    form.schedule.choose_preset(EXTENSION)
    for fold, epochs, augmentation in (("0", 6, "nnunet"), ("1", 8, "wide")):
        form.preflight.folds.setCurrentIndex(int(fold))
        values = form.schedule.values()
        assert values.add_cycle
        assert (values.settings.schedule.all_epochs, values.settings.augmentation) == (
            epochs,
            augmentation,
        )
        qtbot.waitUntil(lambda: form.request() is not None)
        assert (form.request().fold, form.request().add_cycle) == (fold, True)
    form.preflight.folds.setCurrentIndex(2)
    assert not offers_cycle(form)
    form.preflight.folds.setCurrentIndex(0)
    assert offers_cycle(form)


def test_added_cycle_continues_the_only_fold(extend, qtbot) -> None:
    form = extend(finished("3"))
    qtbot.waitUntil(lambda: offers_cycle(form))
    form.schedule.choose_preset(EXTENSION)
    qtbot.waitUntil(lambda: form.request() is not None)
    assert (form.request().fold, form.request().add_cycle) == (None, True)
    assert form.schedule.values().settings.augmentation == "wide"
