"""What is made of a child's answer; the real command is asked in ``tests/test_cli_devices.py``."""

import sys

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.devices import find_devices


def child(script):
    return [sys.executable, "-c", script]


def test_the_devices_in_their_order():
    script = """print('a library says hello'); print('{"cuda:0": "A card", "cpu": "CPU, ü"}')"""
    assert list(find_devices(child(script)).items()) == [("cuda:0", "A card"), ("cpu", "CPU, ü")]


def test_a_child_that_fails_is_quoted():
    script = "import sys; sys.exit('Traceback\\nImportError: no torch.')"
    with pytest.raises(AppError) as caught:
        find_devices(child(script))
    assert str(caught.value) == (
        "The devices of this machine could not be found out (exit code 1: ImportError: no torch): "
        "choose one by its name, such as cpu."
    )


@pytest.mark.parametrize("script", ["", "print('hello')", "print('[1, 2]')"])
def test_a_child_that_prints_no_list(script):
    with pytest.raises(AppError, match="could not be found out \\(no list of them was printed\\)"):
        find_devices(child(script))


def test_a_child_that_hangs():
    with pytest.raises(AppError, match=r"took more than 0\.2 seconds: try again, or choose"):
        find_devices(child("import time; time.sleep(60)"), timeout=0.2)


def test_a_child_that_cannot_be_started(tmp_path):
    missing = str(tmp_path / "python")
    with pytest.raises(AppError) as caught:
        find_devices([missing])
    assert str(caught.value) == (
        f"{missing} could not be started to look for devices: No such file or directory."
    )
