"""Test of ``bayes-nnunet devices``, first in a real process."""

from importlib.metadata import version

from click.testing import CliRunner

from napari_bayes_nnunet.app.devices import find_devices
from napari_bayes_nnunet.cli import main

from ..helpers.processes.command import environment


def test_devices_are_found_through_the_command_and_listed(monkeypatch):
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    devices = find_devices()
    assert list(devices)[-1] == "cpu"
    assert devices["cpu"].startswith("CPU, 1 threads")
    *lines, torch = CliRunner().invoke(main, ["devices"]).stdout.splitlines()
    assert torch == f"torch {version('torch')}"
    assert [line.partition(": ")[0] for line in lines] == list(devices)
    assert lines[-1].startswith("cpu: CPU, ")
