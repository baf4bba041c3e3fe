"""Tests of the form of a remote computer."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.messages import LoadEnsemble
from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.widgets.common.device_box import AUTO
from napari_bayes_nnunet.widgets.segment.dock import CONNECTING, NO_ENSEMBLE
from napari_bayes_nnunet.widgets.segment.method_form import REMOTE, MethodForm, RemoteForm

from ..conftest import image_layer, listen, run


@pytest.fixture
def form(settings, qtbot) -> RemoteForm:
    made = RemoteForm(settings)
    qtbot.addWidget(made.native)
    return made


def write(field, text: str, qtbot) -> None:
    """Type into a field and leave it."""
    edit = field.editor.native
    edit.clear()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def test_form_is_shown_for_another_computer(settings, qtbot) -> None:
    method = MethodForm(settings)
    qtbot.addWidget(method.native)
    assert method.remote.native.isHidden()
    method.device.value = REMOTE
    assert not method.remote.native.isHidden()
    method.remote.address.value = "ssh://server"
    assert method.device_name == "ssh://server"
    method.set_devices({"cuda:0": "A", "cpu": "CPU"})
    assert method.device_name == "ssh://server"
    assert not method.remote.native.isHidden()
    method.device.value = AUTO
    assert method.device_name == "auto"
    assert method.remote.native.isHidden()


def test_an_address_without_a_scheme_is_one_of_ssh(form, settings, qtbot) -> None:
    write(form.address, " me@server:2222 ", qtbot)
    write(form.command, "venv/bin/bayes-nnunet ", qtbot)
    write(form.folder, "/data/acdc", qtbot)
    assert RemoteDevice.parse(form.device_name) == RemoteDevice(
        address="ssh://me@server:2222", command="venv/bin/bayes-nnunet", folder="/data/acdc"
    )
    again = RemoteForm(settings)
    qtbot.addWidget(again.native)
    assert again.device_name == form.device_name


def test_an_empty_address_is_not_restored(form, settings, qtbot) -> None:
    write(form.address, "", qtbot)
    assert settings.kept.other_computer == RemoteDevice(address="")


def test_every_field_is_explained(form) -> None:
    for part in (*(field.editor.native for field in form), form.connect_button):
        assert part.toolTip().endswith(".")


def test_connecting_starts_no_job(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path))
    method = dock.method
    pid = dock.child.pid
    method.device.value = REMOTE
    write(method.remote.address, "ssh://server", qtbot)
    sent: list[object] = []
    listen(dock.child, "send", sent.append)
    method.remote.connect_button.click()
    assert sent == [LoadEnsemble(folder=str(dock.ensemble.path), device="ssh://server")]
    assert dock.run.status.text() == CONNECTING.format(address="ssh://server")
    assert (dock.child.pid, dock.is_running) == (pid, False)
    assert run(dock, qtbot).startswith("Finished")
    assert dock.result.phases[None].report["device"] == "ssh://server"


def test_connecting_without_an_ensemble_asks_for_one(make_dock) -> None:
    dock = make_dock()
    dock.method.remote.connect_button.click()
    assert dock.run.status.text() == NO_ENSEMBLE
