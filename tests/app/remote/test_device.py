"""Names of devices on another computer."""

import pytest

from napari_bayes_nnunet.app.remote.device import RemoteDevice, is_remote


@pytest.mark.parametrize(
    "device",
    [
        RemoteDevice(address="tcp://10.0.0.1:8786"),
        RemoteDevice(address="tls://server:8786", certificates="/home/me/My keys & more?"),
        RemoteDevice(address="tls://server:8786", certificates="k", folder="/data/Größe=1"),
    ],
)
def test_name_restores_the_device(device):
    assert RemoteDevice.parse(str(device)) == device
    assert is_remote(str(device))


def test_devices_of_this_computer_are_not_remote():
    assert not any(map(is_remote, ("auto", "cpu", "cuda:0", "mps")))
    assert str(RemoteDevice(address="tcp://a:1")) == "tcp://a:1"
