"""The options of a segmentation."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.segmentation.methods import METHODS, refused_methods
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.segment.method_form import MethodForm

from ...helpers.models import make_model
from ..conftest import make_folder


@pytest.fixture
def form(settings, qtbot) -> MethodForm:
    made = MethodForm(settings)
    qtbot.addWidget(made)
    return made


def test_the_defaults_are_the_papers(form) -> None:
    assert asdict(form.settings) == asdict(SegmentationSettings(temperature=1.0))


def test_the_settings_are_what_is_chosen(form) -> None:
    form.set_devices({"cuda:0": "Card", "cpu": "CPU"})
    for combo, value in (
        (form.method, "single"),
        (form.mirroring, "spread"),
        (form.device, "cuda:0"),
    ):
        combo.setCurrentIndex(combo.findData(value))
    form.members.setValue(7)
    form.temperature.setValue(1.25)
    assert asdict(form.settings) == {
        "method": "single",
        "members": 7,
        "temperature": 1.25,
        "mirroring": "spread",
        "until_stable": False,
        "device": "cuda:0",
        "precision": "auto",
    }


@pytest.mark.parametrize("what", ["method", "members", "temperature", "mirroring", "device"])
def test_it_tells_when_something_else_is_asked(form, qtbot, what) -> None:
    form.set_devices({"cuda:0": "Card", "cpu": "CPU"})
    box = getattr(form, what)
    with qtbot.waitSignal(form.changed):
        if hasattr(box, "setCurrentIndex"):
            box.setCurrentIndex(1)
        else:
            box.setValue(3)


def test_it_tells_when_another_computer_is_named(form, qtbot) -> None:
    with qtbot.waitSignal(form.changed):
        form.remote.address.value = "tcp://127.0.0.1:1"


def test_every_choice_is_explained_in_plain_words(form) -> None:
    for index in range(form.method.count()):
        name = form.method.itemData(index)
        assert form.method.model().item(index).toolTip() == METHODS[name].help
    mirroring = SegmentationSettings.__dataclass_fields__["mirroring"]
    tooltips = mirroring.metadata["choice_help"]
    for index in range(form.mirroring.count()):
        tip = form.mirroring.itemData(index, Qt.ItemDataRole.ToolTipRole)
        assert tip == tooltips[form.mirroring.itemData(index)]


def test_methods_a_folder_cannot_serve_are_greyed_out(form, ensemble_folder) -> None:
    form.method.setCurrentIndex(form.method.findData("single"))
    folder = find_ensemble(ensemble_folder)
    form.set_ensemble(folder)
    item = form.method.model().item(form.method.findData("single"))
    assert not item.isEnabled()
    assert item.toolTip() == in_the_window(refused_methods(folder)["single"])
    assert form.method.currentData() == "multi"


def test_members_are_those_the_method_can_take(form, ensemble_folder) -> None:
    form.set_ensemble(find_ensemble(ensemble_folder))
    assert (form.members.value(), form.members.maximum()) == (3, 3)
    assert form.members.suffix() == " of 3"
    form.method.setCurrentIndex(form.method.findData("vanilla"))
    assert (form.members.value(), form.members.isEnabled()) == (1, False)


def test_large_ensembles_start_at_30(form, tmp_path) -> None:
    form.set_ensemble(find_ensemble(make_folder(tmp_path / "large", epochs=range(40))))
    assert (form.members.value(), form.members.maximum()) == (30, 40)


def test_without_any_usable_member_nothing_breaks(form, tmp_path) -> None:
    folder = find_ensemble(make_folder(tmp_path / "broken", epochs=(), damaged=True))
    form.set_ensemble(folder)
    assert form.members.maximum() == 1
    form.set_ensemble(None)
    assert form.members.maximum() == 30


def test_devices_come_with_name_and_free_memory(form) -> None:
    form.set_devices({"cuda:0": "NVIDIA T4, 14.1 of 15.0 GiB free", "cpu": "CPU, 2 threads"})
    titles = [form.device.itemText(i) for i in range(form.device.count())]
    assert titles == [
        "Automatic (cuda:0)",
        "cuda:0: NVIDIA T4, 14.1 of 15.0 GiB free",
        "CPU, 2 threads",
        "Another computer…",
    ]
    assert form.device_name == "auto"


def test_the_chosen_device_stays_when_a_new_child_reports(form) -> None:
    form.set_devices({"cuda:0": "A", "cpu": "CPU"})
    form.device.setCurrentIndex(2)
    form.set_devices({"cuda:0": "A", "cpu": "CPU"})
    assert form.device_name == "cpu"
    form.set_devices({"cuda:0": "A"})
    assert form.device_name == "auto"


def test_the_temperature_is_that_of_the_method_until_another_is_typed(form) -> None:
    assert form.temperature.value() == 1
    form.method.setCurrentIndex(form.method.findData("temperature"))
    assert form.temperature.value() == 1.5
    form.temperature.setValue(2.5)
    form.method.setCurrentIndex(form.method.findData("multi"))
    assert form.temperature.value() == 1


def test_dropout_can_look_as_often_as_asked(form, tmp_path) -> None:
    form.set_ensemble(find_ensemble(make_model(tmp_path, members=1, dropout=0.1)))
    form.method.setCurrentIndex(form.method.findData("mc-dropout"))
    assert form.members.maximum() == 30
    assert form.members.isEnabled()
    form.method.setCurrentIndex(form.method.findData("vanilla"))
    assert form.members.maximum() == 1


def test_a_fitted_temperature_is_offered_for_the_way_it_was_fitted(form, ensemble_folder) -> None:
    folder = find_ensemble(ensemble_folder)
    members = [f"fold {m.fold} epoch {m.epoch}" for m in folder.usable_members]
    fitted = {"temperature": 1.6204, "method": "multi", "members": members, "mirroring": "none"}
    (folder.path / "temperatures.json").write_text(json.dumps([{**fitted, "cases": ["a"]}]))
    form.set_ensemble(folder)
    assert form.fitted_button.isHidden()
    form.mirroring.setCurrentIndex(form.mirroring.findData("none"))
    assert form.fitted_button.text() == "Fitted: 1.62"
    form.fitted_button.click()
    assert form.temperature.value() == 1.62
    form.method.setCurrentIndex(form.method.findData("vanilla"))
    assert form.fitted_button.isHidden()


def test_damaged_temperatures_are_not_offered(form, ensemble_folder) -> None:
    folder = find_ensemble(ensemble_folder)
    (folder.path / "temperatures.json").write_text("no JSON")
    form.set_ensemble(folder)
    assert form.fitted_button.isHidden()


def test_a_typed_temperature_stays_when_the_folder_is_looked_at_again(
    form, ensemble_folder
) -> None:
    folder = find_ensemble(ensemble_folder)
    form.set_ensemble(folder)
    form.temperature.setValue(2.5)
    form.set_ensemble(folder.refusing({folder.members[0].path: "damaged"}))
    assert form.temperature.value() == 2.5
