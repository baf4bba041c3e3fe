"""Lists of devices from fake commands; the real command is tested in ``tests/cli``."""

import errno
import os
import sys

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.devices import NOTHING_LISTED, find_devices

from ..helpers.checks.problems import says_only


def child(script):
    return [sys.executable, "-c", script]


def test_devices_keep_the_order_of_the_command():
    script = """print('a library says hello'); print('{"cuda:0": "A card", "cpu": "CPU, ü"}')"""
    assert list(find_devices(child(script)).items()) == [("cuda:0", "A card"), ("cpu", "CPU, ü")]


def test_failed_command_is_quoted_in_the_error():
    script = "import sys; sys.exit('Traceback\\nImportError: no torch.')"
    with pytest.raises(AppError, check=says_only(reason="exit code 1: ImportError: no torch")):
        find_devices(child(script))


def test_a_problem_that_the_command_reports_is_the_error():
    script = "import sys; sys.exit('Error: torch cannot be imported. Install it.')"
    with pytest.raises(AppError, match=r"^torch cannot be imported\. Install it\.$"):
        find_devices(child(script))


@pytest.mark.parametrize("script", ["", "print('hello')", "print('[1, 2]')"])
def test_command_without_a_list_raises(script):
    with pytest.raises(AppError, check=says_only(reason=NOTHING_LISTED)):
        find_devices(child(script))


def test_hanging_command_raises_after_the_timeout():
    with pytest.raises(AppError) as caught:
        find_devices(child("import time; time.sleep(60)"), timeout=0.2)
    assert "0.2 s" in caught.value.values["reason"]


def test_command_that_cannot_start_raises(tmp_path):
    missing = str(tmp_path / "python")
    with pytest.raises(AppError, check=says_only(reason=f"{missing}: {os.strerror(errno.ENOENT)}")):
        find_devices([missing])
