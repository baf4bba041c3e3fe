"""Time from opening a NIfTI file in a napari that has just started to the first contours.

xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.first_contours [--times 5] [IMAGE]

Each time napari starts in a new process with an empty viewer. Then the file is opened, the Segment
dock is opened as the menu does it, the built-in ensemble is chosen, and *Segment* is pressed at
once, which a reader does later: the process that segments starts with the dock. IMAGE is by default
the first phase of the sample cine. Files were read before, so that they are in the file cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import nibabel

from .markdown import markdown_table

STEPS = {
    "image": "the image is on the screen",
    "dock": "the dock is open",
    "ready": "its process has imported torch",
    "members": "all members of the ensemble are checked",
    "contours": "the first contours are on the screen",
}
MOST_SECONDS = 300


def measure(image: Path) -> dict[str, float]:
    """Return step → seconds since the file was opened, in this process, which must be new."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_bayes_nnunet.app.messages import ChildReady, EnsembleLoaded
    from napari_bayes_nnunet.widgets.layers.structure_contours import find_contours

    viewer = napari.Viewer()
    QApplication.processEvents()
    started = perf_counter()
    seconds: dict[str, float] = {}

    def note(step: str) -> None:
        seconds.setdefault(step, perf_counter() - started)

    (layer,) = viewer.open(image, plugin="napari-bayes-nnunet")
    QApplication.processEvents()
    note("image")
    _, dock = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", "Segment")
    QApplication.processEvents()
    note("dock")
    steps = {ChildReady: "ready", EnsembleLoaded: "members"}
    dock.child.message_received.connect(lambda m: note(steps.get(type(m), "another message")))
    dock.ensemble.choose_demo()
    dock.segment()
    while not seconds.keys() >= STEPS.keys():
        QApplication.processEvents()
        contours = find_contours(viewer, layer)
        if contours is not None and contours.source is not None:
            QApplication.processEvents()
            note("contours")
        if perf_counter() - started > MOST_SECONDS:
            raise TimeoutError(dock.run.status.text())
        sleep(0.002)
    dock.close_child()
    return seconds


def sample_volume(folder: Path) -> Path:
    """Write the first phase of the sample cine, and return its file."""
    cine = files("napari_bayes_nnunet") / "sample_data" / "SCD0000301_cine.nii.gz"
    file = folder / "sample.nii.gz"
    nibabel.save(nibabel.load(str(cine)).slicer[..., 0], file)
    return file


def measure_alone(image: Path) -> dict[str, float]:
    """Call `measure` in a new process with the settings of a new user."""
    with tempfile.TemporaryDirectory() as config:
        command = [sys.executable, "-m", "benchmarks.first_contours", str(image), "--here"]
        done = subprocess.run(
            command,
            env={**os.environ, "XDG_CONFIG_HOME": config},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def steps_table(runs: list[dict[str, float]]) -> str:
    """Return the median, the smallest and the largest seconds of every step."""
    rows: list[list[Any]] = []
    for step, text in STEPS.items():
        values = sorted(run[step] for run in runs)
        rows.append([text, f"{median(values):.1f}", f"{values[0]:.1f} to {values[-1]:.1f}"])
    return markdown_table(["seconds after the file was opened", "median", "all"], rows)


def main() -> None:
    """Print the table, or measure once in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = options.image or sample_volume(Path(folder))
        if options.here:
            print(json.dumps(measure(image)), flush=True)
            os._exit(0)  # not the time that napari takes to close
        print(steps_table([measure_alone(image) for _ in range(options.times)]))


if __name__ == "__main__":
    main()
