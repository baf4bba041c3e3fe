"""The real command in real processes, as a user starts it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

import napari_bayes_nnunet

COMMAND = [sys.executable, "-m", "napari_bayes_nnunet"]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without nnU-Net's variables, with this package importable.

    The output is buffered, as for a user, so that the last flush can fail.
    """
    left_out = ("nnUNet", "BAYES_NNUNET", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    parent = Path(napari_bayes_nnunet.__file__).parents[1]
    # An installed package is found anyway. site-packages on the path would precede the standard
    # library, of which it may contain old backports (argparse).
    given = filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))
    parents = [str(parent)] if parent.name != "site-packages" else []
    path = os.pathsep.join([*parents, *map(os.path.abspath, given)])
    python_path = {"PYTHONPATH": path} if path else {}
    return {**kept, **python_path, "OMP_NUM_THREADS": "1", **more}


def bayes_nnunet(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=1200,
        **options,
    )


def wait_until_gone(*pids: int, seconds: float = 30) -> None:
    """Wait until all these processes have ended, also ones that nobody has waited for."""
    end = time.monotonic() + seconds
    while any(psutil.pid_exists(p) and psutil.Process(p).status() != "zombie" for p in pids):
        assert time.monotonic() < end
        time.sleep(0.01)
