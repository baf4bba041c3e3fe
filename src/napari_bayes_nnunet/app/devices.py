"""Devices of this computer, listed by a child process so that torch is not imported here."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ..core.command import BAYES_NNUNET
from ..io.files.json_files import parse_json
from . import AppError

_COMMAND = (*BAYES_NNUNET, "devices", "--json")
TIMEOUT = 120.0
"""Seconds; importing torch from a network drive for the first time takes more than one minute."""
REPORTED = "Error: "
"""Before the sentence of a problem that the command has reported, such as a missing torch."""
NOTHING_LISTED = "the command listed none"


def find_devices(command: Sequence[str] = _COMMAND, *, timeout: float = TIMEOUT) -> dict[str, str]:
    """Return the devices, the fastest first: name → text with model and free memory.

    {"cuda:0": "NVIDIA A100, 78.1 of 79.2 GiB free", "cpu": "CPU, 16 threads, 20.1 GiB free"}.
    Takes seconds. Raises AppError if the child lists no devices.
    """
    try:
        done = subprocess.run(
            [*command],
            capture_output=True,
            # The child must not take what is typed into the terminal.
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # exists on Windows only
        )
        if done.returncode == 0:  # only the last line, because a library may have printed before it
            return parse_json(done.stdout.strip().splitlines()[-1], dict[str, str])
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        if lines and lines[-1].startswith(REPORTED):
            raise AppError("{problem}", problem=lines[-1].removeprefix(REPORTED))
        reason = f"exit code {done.returncode}{f': {lines[-1].strip()}' if lines else ''}"
    except subprocess.TimeoutExpired:
        reason = f"it took more than {timeout:g} s"
    except OSError as error:
        reason = f"{command[0]}: {error.strerror}"
    except (ValueError, IndexError):
        reason = NOTHING_LISTED
    raise AppError(
        "The devices could not be listed ({reason}). Choose a device by name, such as cpu.",
        reason=reason.rstrip("."),
    )
