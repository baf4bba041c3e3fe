"""The devices of this machine, asked of a child process: only that one imports torch."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ..core.command import BAYES_NNUNET
from ..io.files.json_files import parse_json
from . import AppError

_COMMAND = (*BAYES_NNUNET, "devices", "--json")
TIMEOUT = 120.0
"""Seconds; importing torch from a network drive for the first time takes more than one minute."""


def find_devices(command: Sequence[str] = _COMMAND, *, timeout: float = TIMEOUT) -> dict[str, str]:
    """Devices a training can run on, the fastest first: name → text with model and free memory.

    {"cuda:0": "NVIDIA A100, 78.1 of 79.2 GiB free", "cpu": "CPU, 16 threads, 20.1 GiB free"}.
    Takes seconds. Raises AppError when the child gives no such list.
    """
    try:
        done = subprocess.run(
            [*command],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            creationflags=getattr(
                subprocess, "CREATE_NO_WINDOW", 0
            ),  # there is one on Windows only
        )
    except subprocess.TimeoutExpired as error:
        raise AppError(
            f"Looking for the devices of this machine took more than {timeout:g} seconds: try "
            "again, or choose the device by its name."
        ) from error
    except OSError as error:
        raise AppError(
            f"{command[0]} could not be started to look for devices: {error.strerror}."
        ) from error
    return _devices(done)


def _devices(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    found = f"exit code {done.returncode}{f': {lines[-1].strip()}' if lines else ''}"
    if done.returncode == 0:
        try:  # the last line: a library may have printed before
            return parse_json(done.stdout.strip().splitlines()[-1], dict[str, str])
        except (ValueError, IndexError):
            found = "no list of them was printed"
    raise AppError(
        f"The devices of this machine could not be found out ({found.rstrip('.')}): choose "
        "one by its name, such as cpu."
    )
