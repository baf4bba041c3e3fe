"""Tests of the name of another computer."""

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.remote.device import WRONG_ADDRESS, RemoteDevice, is_remote


@pytest.mark.parametrize(
    "device",
    [
        RemoteDevice(address="ssh://10.0.0.1"),
        RemoteDevice(address="ssh://me@server:22", command="conda run -n a&b bayes-nnunet"),
        RemoteDevice(address="ssh://server", folder="/data/Größe=1?"),
    ],
)
def test_the_name_is_read_back(device):
    assert RemoteDevice.parse(str(device)) == device
    assert is_remote(str(device))


def test_devices_of_this_computer_are_not_remote():
    assert not any(map(is_remote, ("auto", "cpu", "cuda:0", "mps")))


def test_the_command_names_user_port_and_program():
    device = RemoteDevice(address="ssh://me@server:2222", command="~/venv/bin/bayes-nnunet")
    words = device.serve_command
    assert words[words.index("-p") :] == [
        *("-p", "2222", "-l", "me", "--", "server", "~/venv/bin/bayes-nnunet serve")
    ]
    assert "BatchMode=yes" in words
    assert RemoteDevice(address="ssh://GPU-Server").serve_command[-3:] == [
        *("--", "GPU-Server", "bayes-nnunet serve")
    ]
    assert RemoteDevice(address="ssh://[fe80::1]:22").serve_command[-2] == "fe80::1"


@pytest.mark.parametrize(
    "address", ["ssh://", "server", "tls://server:8786", "ssh://a:port", "ssh://a/folder"]
)
def test_another_address_is_refused(address):
    with pytest.raises(AppError) as caught:
        _ = RemoteDevice(address=address).serve_command
    assert caught.value.statement.template == WRONG_ADDRESS
