"""Reader on a journey of the docs in a separate window, which a test starts as a script.

    python -m tests.helpers.windows.journey_driver JOURNEY ARGUMENTS OPTIONS

ARGUMENTS are a JSON list of paths, or lists of paths, and OPTIONS a JSON dictionary. For
`review_sample`, the folder ``package`` in the first of them takes the place of the package.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import napari
from benchmarks.pictures import journeys
from benchmarks.pictures.camera import Camera
from benchmarks.pictures.hand import Hand
from npe2 import PluginManager, PluginManifest

import napari_bayes_nnunet
from napari_bayes_nnunet.widgets.layers import sample_data
from napari_bayes_nnunet.widgets.segment import save


def as_paths(given: Any) -> Any:
    return [as_paths(part) for part in given] if isinstance(given, list) else Path(given)


def main() -> None:
    """Go on the journey and end without waiting for processes of the window."""
    name, arguments, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    if name == "review_sample":
        save.PACKAGE = Path(arguments[0], "package")
        (sample_data.CINE,) = save.PACKAGE.glob("*.nii.gz")
    manager = PluginManager.instance()
    if "napari-bayes-nnunet" not in manager:
        plugin = Path(napari_bayes_nnunet.__file__).with_name("napari.yaml")
        manager.register(PluginManifest.from_file(plugin))
    viewer = napari.Viewer(show=True)
    viewer.window.set_geometry(0, 0, 1280, 800)
    hand = Hand(viewer)
    hand.wait(500)
    getattr(journeys, name)(hand, Camera(), *as_paths(arguments), **options)
    viewer.close()
    os._exit(0)


if __name__ == "__main__":
    main()
