"""The rows of another computer in the dock Segment."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.app.remote.device import RemoteDevice
from napari_bayes_nnunet.widgets.segment.job import BUSY
from napari_bayes_nnunet.widgets.segment.method_form import MethodForm
from napari_bayes_nnunet.widgets.segment.remote_form import TESTING, RemoteForm

from ..conftest import image_layer, run


@pytest.fixture
def form(settings, qtbot) -> RemoteForm:
    made = RemoteForm(settings)
    qtbot.addWidget(made)
    return made


def write(field, text: str) -> None:
    field.setText(text)
    field.editingFinished.emit()


def test_it_is_shown_when_another_computer_is_chosen(settings, qtbot) -> None:
    method = MethodForm(settings)
    qtbot.addWidget(method)
    assert method.remote.isHidden()
    method.device.setCurrentIndex(method.device.count() - 1)
    assert not method.remote.isHidden()
    method.remote.address.setText("tcp://server:8786")
    assert method.device_name == "tcp://server:8786"
    method.set_devices({"cuda:0": "A", "cpu": "CPU"})
    assert method.device_name == "tcp://server:8786"
    assert not method.remote.isHidden()
    method.device.setCurrentIndex(0)
    assert method.device_name == "auto"
    assert method.remote.isHidden()


def test_an_address_is_encrypted_unless_it_says_otherwise(form) -> None:
    write(form.address, " server:8786 ")
    form.certificates.choose(Path("keys"))
    write(form.folder, "/data/acdc")
    assert RemoteDevice.of(form.device_name) == RemoteDevice(
        address="tls://server:8786", certificates="keys", folder="/data/acdc"
    )
    assert not form.certificates.isHidden()
    write(form.address, "tcp://server:8786")
    assert form.certificates.isHidden()
    assert RemoteDevice.of(form.device_name).certificates == ""


def test_what_was_typed_is_there_the_next_time(form, settings, qtbot) -> None:
    write(form.address, "server:8786")
    form.certificates.choose(Path("keys"))
    write(form.folder, "there")
    again = RemoteForm(settings)
    qtbot.addWidget(again)
    assert again.device_name == form.device_name
    assert again.certificates.path == Path("keys")


def test_nothing_typed_is_nothing_kept(form, settings) -> None:
    write(form.address, "")
    assert settings.remote() == RemoteDevice(address="")


def test_a_test_is_answered_for_what_is_typed_now(form, qtbot) -> None:
    write(form.address, "tcp://server:8786")
    with qtbot.waitSignal(form.test_requested) as asked:
        form.test_button.click()
    assert asked.args == ["tcp://server:8786"]
    assert form.status.text() == TESTING
    form.show_test("tcp://server:8786", "2 workers.")
    assert form.status.text() == "2 workers."
    write(form.address, "tcp://other:8786")
    assert form.status.isHidden()
    form.show_test("tcp://server:8786", "2 workers.")
    assert form.status.isHidden()


def test_every_field_is_explained(form) -> None:
    for field in (form.address, form.certificates, form.folder, form.test_button):
        assert field.toolTip().endswith(".")


def test_the_dock_asks_the_child_and_starts_nothing_else(ready, tmp_path, qtbot) -> None:
    dock = ready(image_layer(tmp_path), flags=["--seconds", 0.5])
    method = dock.method
    pid = dock.child.pid
    method.device.setCurrentIndex(method.device.count() - 1)
    write(method.remote.address, "tcp://server:8786")
    assert (dock.child.pid, dock.job.is_running) == (pid, False)
    with qtbot.waitSignal(dock.job.connection_tested, timeout=10000):
        method.remote.test_button.click()
    assert method.remote.status.text() == "1 worker; it has a fake GPU."
    with qtbot.waitSignal(dock.job.progressed, timeout=10000):
        dock.run.segment_button.click()
    method.remote.test_button.click()
    assert method.remote.status.text() == BUSY
    qtbot.waitUntil(lambda: not dock.job.is_running, timeout=10000)
    assert dock.result.phases[None].report["device"] == "tcp://server:8786"
    assert run(dock, qtbot).startswith("Finished")
