"""The real command in real processes, as a user would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import napari_bayes_nnunet

COMMAND = [sys.executable, "-m", "napari_bayes_nnunet"]


def environment(**more: str) -> dict[str, str]:
    """This process's, without nnU-Net's variables; the package is found where it is here.

    The output is buffered, as a user's is: a flush can then fail at the very end.
    """
    mine = ("nnUNet", "BAYES_NNUNET", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    parent = Path(napari_bayes_nnunet.__file__).parents[1]
    # An installed package is found anyway; site-packages on the path would come before Python's
    # own modules, of which it may hold old backports (argparse).
    parents = ["" if parent.name == "site-packages" else str(parent), kept.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, parents))
    found = {"PYTHONPATH": path} if path else {}
    return {**kept, **found, "OMP_NUM_THREADS": "1", **more}


def bayes_nnunet(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=1200,
        **options,
    )


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        **options,
    )
