"""Folder of studies, and a command that pretends to segment them."""

import sys
from pathlib import Path

from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.widgets.cohort.command import CohortSettings

from .. import HELPERS

FAKE = str(HELPERS / "processes" / "fake_predict.py")


def fake_predict(*flags: object) -> list[str]:
    """Return the command line of the fake."""
    return [sys.executable, FAKE, *map(str, flags)]


def make_images(folder: Path, *names: str) -> Path:
    """Make a folder of empty files, which the fake does not read."""
    for name in names or ("a", "b", "c"):
        file = folder / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def made_settings(folder: Path) -> CohortSettings:
    """Return settings as chosen in the dock."""
    settings = SegmentationSettings(members=3)
    return CohortSettings(folder=folder, ensemble="made", settings=settings)
