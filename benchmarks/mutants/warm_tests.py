"""Process with warm imports that runs tests in forked children, which then start at once.

It reads ``[folder, arguments of pytest, file for the output, seconds]`` from each line of stdin,
and answers with the exit code, or -9 after so many seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

IMPORTS: Final = (
    *("scipy.ndimage", "scipy.optimize", "skimage.measure", "matplotlib.figure", "nibabel"),
    *("pydicom", "highdicom", "SimpleITK", "sklearn.isotonic", "pydantic", "distributed"),
    *("nnunetv2.inference.predict_from_raw_data", "napari._qt.qt_main_window"),
)
"""Imports of the tests that take long and are not of this package."""


def main() -> None:
    """Answer until stdin ends."""
    for name in IMPORTS:
        importlib.import_module(name)
    for line in sys.stdin:
        folder, arguments, output, seconds = json.loads(line)
        print(run_tests(Path(folder), arguments, Path(output), seconds), flush=True)


def run_tests(folder: Path, arguments: list[str], output: Path, seconds: float) -> int:
    """Return the exit code of pytest in a child that is killed after so many seconds."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(folder)
        sys.stdin.close()
        with output.open("w", encoding="utf-8") as stream:
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
            code = pytest.main(arguments)
            sys.stdout.flush()
        os._exit(int(code))
    ended, end = 0, time.monotonic() + seconds
    while not ended and time.monotonic() < end:
        time.sleep(0.05)
        ended, status = os.waitpid(child, os.WNOHANG)
    with suppress(ProcessLookupError):  # also its Xvfb, which outlives it
        os.killpg(child, signal.SIGKILL)
    if not ended:
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
