"""Tests of ``bayes-nnunet devices`` in real processes."""

from napari_bayes_nnunet.app.devices import find_devices

from ..helpers.processes.command import bayes_nnunet, environment


def test_devices_are_found_through_the_command(monkeypatch):
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    devices = find_devices()
    assert list(devices)[-1] == "cpu"
    assert devices["cpu"].startswith("CPU, 1 threads")


def test_devices_are_listed_one_per_line():
    done = bayes_nnunet("devices")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("cpu: CPU, 1 threads")
