"""Tests of the form of the options of a segmentation."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.segmentation.calibration import chosen_temperature
from napari_bayes_nnunet.app.segmentation.methods import METHODS, refused_methods
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.segment.method_form import REMOTE, TITLE, MethodForm

from ...helpers.data.models import make_model
from ..conftest import make_folder


@pytest.fixture
def form(settings, qtbot) -> MethodForm:
    made = MethodForm(settings)
    qtbot.addWidget(made.native)
    return made


def test_the_defaults_are_those_of_the_paper(form) -> None:
    assert asdict(form.settings) == asdict(SegmentationSettings(temperature=1.0))


def test_settings_follow_the_choices(form) -> None:
    form.set_devices({"cuda:0": "Card", "cpu": "CPU"})
    form.method.value = "single"
    form.mirroring.value = "spread"
    form.window.value = "whole"
    form.until_stable.value = True
    form.device.value = "cuda:0"
    form.members.value = 7
    form.temperature.value = 1.25
    assert asdict(form.settings) == {
        "method": "single",
        "members": 7,
        "temperature": 1.25,
        "mirroring": "spread",
        "window": "whole",
        "until_stable": True,
        "largest_component": "auto",
        "calibrated": True,
        "device": "cuda:0",
        "precision": "auto",
    }


CHOICES = {
    "method": "single",
    "members": 3,
    "temperature": 3.0,
    "mirroring": "none",
    "window": "whole",
    "until_stable": True,
    "device": "cuda:0",
}


@pytest.mark.parametrize(("name", "value"), CHOICES.items(), ids=CHOICES)
def test_form_after_a_choice_emits_changed(form, name, value) -> None:
    form.set_devices({"cuda:0": "Card", "cpu": "CPU"})
    seen = []
    form.changed.connect(lambda: seen.append(getattr(form.settings, name)))
    form[name].value = value
    assert seen[-1] == value


def test_form_with_another_computer_named_emits_changed(form) -> None:
    form.device.value = REMOTE
    seen = []
    form.changed.connect(lambda: seen.append(form.device_name))
    form.remote.address.value = "ssh://127.0.0.1"
    assert seen == ["ssh://127.0.0.1"]


@pytest.mark.parametrize("name", ["method", "mirroring"])
def test_every_choice_is_explained_in_plain_words(form, name) -> None:
    combo = form[name].editor.native
    about = SegmentationSettings.__dataclass_fields__[name].metadata
    helps = [combo.itemData(i, Qt.ItemDataRole.ToolTipRole) for i in range(combo.count())]
    assert helps == list(about["choice_help"].values())
    for value, text in about["choice_help"].items():
        form[name].value = value
        assert combo.toolTip() == text


def test_methods_that_a_folder_cannot_serve_are_disabled(form, ensemble_folder) -> None:
    form.method.value = "single"
    folder = find_ensemble(ensemble_folder)
    form.set_ensemble(folder)
    combo = form.method.editor.native
    item = combo.model().item(combo.findData("single"))
    assert not item.isEnabled()
    assert item.toolTip() == in_the_window(refused_methods(folder)["single"])
    assert form.method.value == "multi"
    form.set_ensemble(None)
    assert item.isEnabled()
    assert item.toolTip() == METHODS["single"].help


def test_members_are_limited_to_those_of_the_method(form, ensemble_folder) -> None:
    form.set_ensemble(find_ensemble(ensemble_folder))
    assert (form.members.value, form.members.editor.max) == (3, 3)
    assert form.members.editor.native.suffix() == " of 3"
    form.method.value = "vanilla"
    assert (form.members.value, form.members.editor.enabled) == (1, False)


def test_large_ensembles_start_at_30(form, tmp_path) -> None:
    form.set_ensemble(find_ensemble(make_folder(tmp_path / "large", epochs=range(40))))
    assert (form.members.value, form.members.editor.max) == (30, 40)


def test_an_ensemble_without_usable_members_offers_one(form, tmp_path) -> None:
    folder = find_ensemble(make_folder(tmp_path / "broken", epochs=(), damaged=True))
    form.set_ensemble(folder)
    assert form.members.editor.max == 1
    form.set_ensemble(None)
    assert form.members.editor.max == 30


def test_devices_come_with_name_and_free_memory(form) -> None:
    form.set_devices({"cuda:0": "NVIDIA T4", "cpu": "CPU, 2 threads"})
    titles = [form.device.editor.native.itemText(i) for i in range(4)]
    assert titles == [
        "Automatic (cuda:0)",
        "cuda:0: NVIDIA T4",
        "CPU, 2 threads",
        TITLE,
    ]
    assert form.device_name == "auto"


def test_chosen_device_stays_when_new_child_reports(form) -> None:
    form.set_devices({"cuda:0": "A", "cpu": "CPU"})
    form.device.value = "cpu"
    form.set_devices({"cuda:0": "A", "cpu": "CPU"})
    assert form.device_name == "cpu"
    form.set_devices({"cuda:0": "A"})
    assert form.device_name == "auto"


def test_a_method_sets_its_own_temperature(form) -> None:
    assert form.temperature.value == 1
    form.method.value = "temperature"
    assert form.temperature.value == 1.5
    form.temperature.value = 2.5
    form.method.value = "multi"
    assert form.temperature.value == 1


def test_dropout_offers_more_passes_than_members(form, tmp_path) -> None:
    form.set_ensemble(find_ensemble(make_model(tmp_path, members=1, dropout=0.1)))
    form.method.value = "mc-dropout"
    assert form.members.editor.max == 30
    assert form.members.editor.enabled
    form.method.value = "vanilla"
    assert form.members.editor.max == 1


def fit_temperature(
    folder: EnsembleFolder, temperature: float, mirroring: str, *, window: str = "heart"
) -> None:
    """Write the temperature of all members with the method multi."""
    members = [f"fold {m.fold} epoch {m.epoch}" for m in folder.usable_members]
    fitted = {"temperature": temperature, "method": "multi", "members": members}
    content = [{**fitted, "mirroring": mirroring, "window": window, "cases": ["a"]}]
    file = folder.path / "calibration.json"
    file.write_text(json.dumps({"format": 1, "calibrations": content}))


def test_a_fitted_temperature_is_offered_for_its_settings(form, ensemble_folder) -> None:
    folder = find_ensemble(ensemble_folder)
    fit_temperature(folder, 1.6204, "none")
    form.set_ensemble(folder)
    assert form.fitted_button.isHidden()
    form.mirroring.value = "none"
    assert form.fitted_button.text() == "Fitted: 1.62"
    form.fitted_button.click()
    assert form.temperature.value == 1.62
    form.method.value = "vanilla"
    assert form.fitted_button.isHidden()


def test_a_fitted_temperature_is_that_of_the_command(form, ensemble_folder) -> None:
    folder = find_ensemble(ensemble_folder)
    fit_temperature(folder, 1.6204, "full")
    form.set_ensemble(folder)
    assert form.temperature.value == 1.62
    assert form.settings.temperature == chosen_temperature(folder, SegmentationSettings()) == 1.6204
    form.temperature.value = 1.63
    assert form.settings.temperature == 1.63
    assert "1.63" in form.summary
    form.fitted_button.click()
    assert form.settings.temperature == 1.6204
    assert form.summary == ""
    form.members.value = 2
    assert form.summary
    assert "1.62" not in form.summary


def test_damaged_temperatures_are_not_offered(form, ensemble_folder) -> None:
    folder = find_ensemble(ensemble_folder)
    (folder.path / "calibration.json").write_text("no JSON")
    form.set_ensemble(folder)
    assert form.fitted_button.isHidden()


def test_a_typed_temperature_stays_after_refused_members(form, ensemble_folder) -> None:
    folder = find_ensemble(ensemble_folder)
    form.set_ensemble(folder)
    form.temperature.value = 2.5
    form.set_ensemble(folder.with_refused({folder.members[0].path: "damaged"}))
    assert form.temperature.value == 2.5


def test_a_new_window_has_the_usual_options(form, settings, qtbot) -> None:
    usual = form.settings
    form.method.value = "single"
    form.members.value = 7
    form.mirroring.value = "spread"
    form.temperature.value = 1.25
    assert form.summary
    # Also after a version that kept them.
    kept = SegmentationSettings(method="vanilla", members=1, mirroring="none")
    settings._path.parent.mkdir(exist_ok=True)
    settings._path.write_text(json.dumps({"segmentation": kept.to_json()}))
    again = MethodForm(settings)
    qtbot.addWidget(again.native)
    assert (again.settings, again.summary) == (usual, "")


@pytest.mark.parametrize("choice", ["on", "off"])
def test_choice_of_components_stands_beside_the_button(form, choice) -> None:
    form.largest_component.value = choice
    assert form.summary.endswith("components" if choice == "off" else "component")
    form.largest_component.value = "auto"
    assert form.summary == ""


def test_wanted_members_wait_for_an_ensemble_that_has_them(settings, qtbot, tmp_path) -> None:
    form = MethodForm(settings)
    qtbot.addWidget(form.native)
    assert form.members.value == 30
    many, few = (
        find_ensemble(make_folder(tmp_path / str(count), epochs=range(count))) for count in (60, 3)
    )
    form.set_ensemble(many)
    form.members.value = 50
    for folder, shown in ((few, 3), (None, 30), (many, 50)):
        form.set_ensemble(folder)
        assert form.members.value == shown
    form.method.value = "vanilla"
    form.method.value = "multi"
    assert form.members.value == 50
    form.members.value = 30
    form.set_ensemble(few)
    form.set_ensemble(many)
    assert form.members.value == 30


def test_region_is_that_of_the_calibration(form, settings, qtbot, tmp_path) -> None:
    """The ``old`` ensemble is calibrated for the whole image only."""
    old, new = (find_ensemble(make_model(tmp_path / name, members=3)) for name in ("old", "new"))
    fit_temperature(old, 1.6204, "full", window="whole")
    form.set_ensemble(old)
    assert (form.window.value, form.temperature.value, form.summary) == ("whole", 1.62, "")
    again = MethodForm(settings)
    qtbot.addWidget(again.native)
    assert again.window.value == "heart"
    again.set_ensemble(old)
    assert again.window.value == "whole"
    again.set_ensemble(new)
    assert again.window.value == "heart"
    again.window.value = "whole"
    again.set_ensemble(new)
    assert again.window.value == "whole"
