"""Tests of the form of a remote computer."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.widgets.common.device_box import AUTO
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.segment.dock import BUSY
from napari_bayes_nnunet.widgets.segment.method_form import REMOTE, TESTING, MethodForm, RemoteForm

from ...helpers.processes.fake_child import TESTED
from ..conftest import begin, image_layer, run


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
    method.remote.address.value = "tcp://server:8786"
    assert method.device_name == "tcp://server:8786"
    method.set_devices({"cuda:0": "A", "cpu": "CPU"})
    assert method.device_name == "tcp://server:8786"
    assert not method.remote.native.isHidden()
    method.device.value = AUTO
    assert method.device_name == "auto"
    assert method.remote.native.isHidden()


def test_an_address_without_a_scheme_is_encrypted(form, qtbot) -> None:
    write(form.address, " server:8786 ", qtbot)
    form.certificates.editor.row.choose(Path("keys"))
    write(form.folder, "/data/acdc", qtbot)
    assert RemoteDevice.parse(form.device_name) == RemoteDevice(
        address="tls://server:8786", certificates="keys", folder="/data/acdc"
    )
    assert not form.certificates.native.isHidden()
    write(form.address, "tcp://server:8786", qtbot)
    assert form.certificates.native.isHidden()
    assert RemoteDevice.parse(form.device_name).certificates == ""


def test_typed_values_are_restored(form, settings, qtbot) -> None:
    write(form.address, "server:8786", qtbot)
    form.certificates.editor.row.choose(Path("keys"))
    write(form.folder, "there", qtbot)
    again = RemoteForm(settings)
    qtbot.addWidget(again.native)
    assert again.device_name == form.device_name
    assert again.certificates.value == "keys"


def test_an_empty_address_is_not_restored(form, settings, qtbot) -> None:
    write(form.address, "", qtbot)
    assert settings.kept.other_computer == RemoteDevice(address="")


def test_an_answer_to_an_older_address_is_ignored(form, qtbot) -> None:
    write(form.address, "tcp://server:8786", qtbot)
    asked: list[str] = []
    form.test_requested.connect(asked.append)
    form.test_button.click()
    assert asked == ["tcp://server:8786"]
    assert form.status.text() == TESTING
    form.show_test("tcp://server:8786", "2 workers.")
    assert form.status.text() == "2 workers."
    write(form.address, "tcp://other:8786", qtbot)
    assert form.status.isHidden()
    form.show_test("tcp://server:8786", "2 workers.")
    assert form.status.isHidden()


def test_every_field_is_explained(form) -> None:
    for part in (*(field.editor.native for field in form), form.test_button):
        assert part.toolTip().endswith(".")


def test_a_test_of_the_connection_starts_no_job(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.5])
    method = dock.method
    pid = dock.child.pid
    method.device.value = REMOTE
    write(method.remote.address, "tcp://server:8786", qtbot)
    assert (dock.child.pid, dock.is_running) == (pid, False)
    method.remote.test_button.click()
    qtbot.waitUntil(lambda: method.remote.status.text() == in_the_window(TESTED))
    begin(dock, qtbot)
    method.remote.test_button.click()
    assert method.remote.status.text() == BUSY
    qtbot.waitUntil(lambda: not dock.is_running)
    assert dock.result.phases[None].report["device"] == "tcp://server:8786"
    assert run(dock, qtbot).startswith("Finished")
