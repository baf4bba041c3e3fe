"""The form of a schedule."""

from __future__ import annotations

from typing import Any

import pytest
from napari.qt import get_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.core.ensemble.training_settings import PRESETS, TrainingSettings
from napari_bayes_nnunet.widgets.common.dock import SteadyLabel
from napari_bayes_nnunet.widgets.common.form import NO_NUMBER
from napari_bayes_nnunet.widgets.training.schedule_form import (
    NO_RUN,
    PRESET_TEXTS,
    ScheduleForm,
    ScheduleValues,
)

from .test_schedule_plot import turn
from .test_watch_form import numbers

SMALL = TrainingSettings(
    preset="quick",
    schedule=RestartSchedule(epochs=30, restart_first_cycle=False),
    selection=MemberSelection(per_cycle=2, step=1),
    batch_size=4,
    iterations_per_epoch=5,
)
TRAINED = TrainingSettings(
    preset="quick",
    schedule=RestartSchedule(epochs=60, gamma=0.5, restart_lr=0.05),
    selection=MemberSelection(per_cycle=4, step=1),
    batch_size=3,
    augmentation="wide",
)


@pytest.fixture
def form(qtbot: Any) -> ScheduleForm:
    made = ScheduleForm({**PRESETS, "quick": SMALL})
    qtbot.addWidget(made)
    return made


def valid(form: ScheduleForm) -> ScheduleValues:
    values = form.values()
    assert values is not None, form.problem
    return values


def type_in(form: ScheduleForm, **numbers: Any) -> None:
    for name, value in numbers.items():
        form.fields[name].value = value


def shown_problems(form: ScheduleForm) -> dict[str, str]:
    return {n: f.problem.text() for n, f in form.fields.items() if not f.problem.isHidden()}


def test_presets_set_all_numbers(form: ScheduleForm) -> None:
    assert valid(form) == ScheduleValues(settings=PRESETS["paper"])
    assert numbers(form.summary.text()) == [3, 400, 90, 30]
    assert form.problem == ""
    seen: list[ScheduleValues | None] = []
    form.changed.connect(lambda: seen.append(form.values()))
    for name, preset in {**PRESETS, "quick": SMALL}.items():
        form.choose_preset(name)
        assert valid(form) == ScheduleValues(settings=preset)
        assert form.explanation.text() == PRESET_TEXTS[name][1]
        assert form.fields["restart_first_cycle"].value == preset.schedule.restart_first_cycle
    seen.clear()
    form.choose_preset("demo")
    type_in(form, epochs=151)
    assert [values and values.settings.preset for values in seen] == ["demo", None]


def test_every_number_can_be_edited(form: ScheduleForm) -> None:
    type_in(
        form, cycles=2, epochs=10, per_cycle=3, step=1, batch_size=6, iterations_per_epoch=7,
        gamma="0.5", initial_lr="2e-2", restart_lr="0,2", exponent="1", decay_over="Tc",
        restart_first_cycle=False, augmentation="wide",
    )  # fmt: skip
    assert valid(form).settings == TrainingSettings(
        schedule=RestartSchedule(
            cycles=2, epochs=10, gamma=0.5, initial_lr=0.02, restart_lr=0.2, exponent=1,
            decay_over="Tc", restart_first_cycle=False,
        ),
        selection=MemberSelection(per_cycle=3, step=1),
        batch_size=6,
        iterations_per_epoch=7,
        augmentation="wide",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "problems"),
    [
        ({"epochs": 1000}, {"epochs": ["1000", "3"]}),
        ({"gamma": "1.5"}, {"gamma": ["1.5"]}),
        ({"gamma": "nan"}, {"gamma": ["nan"]}),
        ({"initial_lr": "0"}, {"initial_lr": ["Rate α₀", "0"]}),
        ({"restart_lr": "-1"}, {"restart_lr": ["Restart αᵣ", "-1"]}),
        ({"exponent": "-0.1"}, {"exponent": ["-0.1"]}),
        ({"exponent": "x"}, {"exponent": [NO_NUMBER.format(text="x")]}),
        (
            {"epochs": 7, "gamma": "2"},
            {"epochs": ["7", "3"], "gamma": ["2"]},
        ),
    ],
)
def test_invalid_number_is_marked_at_its_field(
    form: ScheduleForm, typed: dict[str, Any], problems: dict[str, list[str]]
) -> None:
    type_in(form, **typed)
    shown = shown_problems(form)
    assert shown.keys() == problems.keys()
    for name, values in problems.items():
        assert all(value in shown[name] for value in values)
        assert "border" in form.fields[name].editor.native.styleSheet()
    assert form.values() is None
    assert shown[next(iter(problems))] in form.problem


def test_unusual_number_is_noted_at_its_field(form: ScheduleForm) -> None:
    def notes() -> dict[str, str]:
        return {n: f.note.text() for n, f in form.fields.items() if not f.note.isHidden()}

    assert notes() == {}
    type_in(form, per_cycle=100, restart_lr="5")
    assert set(notes()) == {"per_cycle", "restart_lr"}
    assert {40, 100} <= set(numbers(notes()["per_cycle"]))
    assert valid(form).settings.selection.per_cycle == 100
    form.choose_preset("demo")  # which asks for more than its cycles have, and says “up to”
    assert notes() == {}


def test_corrected_number_is_no_longer_marked(form: ScheduleForm) -> None:
    type_in(form, epochs=1000)
    assert form.plot._past.opacity() < 1
    type_in(form, cycles=4)
    assert shown_problems(form) == {}
    assert form.fields["epochs"].editor.native.styleSheet() == ""
    assert numbers(form.summary.text()) == [4, 250, 100, 25]
    assert form.plot._past.opacity() == 1


def test_curve_follows_every_key(form: ScheduleForm, qtbot: Any) -> None:
    editor = form.fields["epochs"].editor.native
    editor.selectAll()
    sizes = []
    with qtbot.waitSignals([form.changed] * 3):
        for key in "120":
            qtbot.keyClicks(editor, key)
            assert form.plot.curve is not None
            sizes.append((form.plot.curve.rates.size, form.plot._past.opacity() < 1))
    assert sizes == [(1200, True), (12, False), (120, False)]


def test_edited_preset_can_be_reset(form: ScheduleForm, qtbot: Any) -> None:
    assert form.reset_button.isHidden()
    type_in(form, initial_lr="1e-2")  # as it was
    assert form.reset_button.isHidden()
    type_in(form, gamma="0.5", cycles=1, epochs=1)
    assert not form.reset_button.isHidden()
    assert numbers(form.summary.text()) == [1, 1, 1, 1]
    for noun in ("cycles", "epochs", "members"):
        assert noun not in form.summary.text()
    qtbot.mouseClick(form.reset_button, Qt.MouseButton.LeftButton)
    assert valid(form).settings.schedule == RestartSchedule()
    assert form.reset_button.isHidden()
    form.setEnabled(False)
    assert not form.fields["epochs"].editor.native.isEnabled()


def test_invalid_number_expands_its_section(form: ScheduleForm, qtbot: Any) -> None:
    form.show()
    assert not form.fields["gamma"].visible
    assert form.fields["cycles"].visible
    qtbot.mouseClick(form.more.toggleButton(), Qt.MouseButton.LeftButton)
    assert form.fields["gamma"].visible
    form.more.collapse()
    type_in(form, gamma="2")
    assert form.fields["gamma"].problem.isVisible()


def test_one_more_cycle_extends_the_run(form: ScheduleForm) -> None:
    item = form.preset.model().item(form.preset.findData("add_cycle"))
    assert not item.isEnabled()
    assert item.toolTip() == NO_RUN
    form.set_extension(None, reason="Some reason.")
    assert item.toolTip() == "Some reason."
    form.set_extension(TRAINED)
    assert item.isEnabled()
    assert valid(form).settings.schedule == RestartSchedule()  # offered, not chosen
    form.choose_preset("add_cycle")
    values = valid(form)
    assert values == ScheduleValues(settings=TRAINED, add_cycle=True)
    assert values.planned.all_epochs == 80
    assert not any(field.enabled for field in form.fields.values())
    assert form.fields["restart_lr"].value == 0.05
    assert numbers(form.summary.text()) == [4, 20, 16, 4]
    assert form.plot.curve is not None
    assert form.plot.curve.rates.size == 80
    # Another run, which was extended before
    form.set_extension(TrainingSettings(schedule=RestartSchedule(epochs=60, added_cycles=1)))
    assert valid(form).settings.schedule.added_cycles == 1
    assert valid(form).planned.all_cycles == 5
    form.set_extension(None)
    assert valid(form).settings.preset == "paper"
    assert not valid(form).add_cycle
    assert all(field.enabled for field in form.fields.values())


def test_tooltips_of_numbers_have_their_symbols(form: ScheduleForm) -> None:
    tips = [field.editor.native.toolTip() for field in form.fields.values()]
    assert all(tip.endswith(".") for tip in tips)
    helps = " ".join(tips)
    for symbol in ("M of", "T of", "γ", "α0", "αr", "ε", "Tc"):
        assert symbol in helps


def test_wheel_over_a_number_changes_nothing(form: ScheduleForm) -> None:
    before = valid(form)
    for name in ("cycles", "decay_over"):
        assert not turn(form.fields[name].editor.native)
    assert not turn(form.preset)
    assert valid(form) == before


def test_form_fits_a_narrow_dock_and_theme(form: ScheduleForm) -> None:
    form.more.expand()
    form.show()
    type_in(form, epochs=1000, gamma="much")
    for theme in ("light", "dark"):
        form.setStyleSheet(get_stylesheet(theme))
        QApplication.processEvents()
        parts: list[QWidget] = [form, form.rare.native, *(f.native for f in form.fields.values())]
        assert max(part.minimumSizeHint().width() for part in parts) <= 340
        text = form.plot.getAxis("left").textPen().color()
        assert text == form.summary.palette().color(form.summary.foregroundRole())
        assert (text.lightness() > 128) == (theme == "dark")
    labels = form.findChildren(SteadyLabel)
    assert {field.label for field in form.fields.values()} <= {label.text() for label in labels}
    assert len({label.sizeHint().width() for label in labels if label.text()}) == 1
