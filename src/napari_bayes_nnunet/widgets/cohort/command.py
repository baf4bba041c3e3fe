"""Command that segments a cohort with the settings of the Segment dock."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ...app import AppError
from ...app.remote.device import RemoteDevice, is_remote
from ...app.segmentation.methods import METHODS
from ...app.segmentation.settings import SegmentationSettings
from ...core.fields import to_arguments

ED_AND_ES, ALL = "ED,ES", "all"
COHORT_SUBJECT = "The segmentation"
NO_IMAGES = "No folder of images is chosen. Choose one first."
NO_RESULTS = "No folder for the results is chosen. Choose one first."
SAME_PATHS = (
    " That computer reads and writes the files, so ensemble, images and results must have the "
    "same paths on both computers."
)
NO_IMAGES_FOLDER = (
    "{images} is not a folder, or its drive is not connected. Choose the folder of the images."
)


@dataclass(frozen=True, kw_only=True)
class CohortSettings:
    """The ensemble in ``folder`` and the settings chosen in the dock."""

    folder: Path
    ensemble: str
    settings: SegmentationSettings

    def __str__(self) -> str:
        device = self.settings.device
        location = "" if device == "auto" else f", on {RemoteDevice.parse(device).address}"
        title = METHODS[self.settings.method].title
        return f"{self.ensemble}, {title}, {self.settings.options}{location}"

    @property
    def advice(self) -> str:
        """Advice for a run on another computer, "" for this one."""
        return SAME_PATHS if is_remote(self.settings.device) else ""

    @property
    def arguments(self) -> list[str]:
        """The options of ``bayes-nnunet predict``."""
        if not is_remote(self.settings.device):
            return to_arguments(self.settings)
        remote = RemoteDevice.parse(self.settings.device)
        folder = remote.certificates
        certificates = ["--certificates", os.path.abspath(folder)] if folder else []
        settings = replace(self.settings, device="auto")
        return [*to_arguments(settings), "--scheduler", remote.address, *certificates]


@dataclass(frozen=True, kw_only=True)
class CohortCommand:
    """A run over all studies in ``images`` that writes to ``output``."""

    chosen: CohortSettings
    images: Path
    output: Path
    phases: str = ED_AND_ES

    @property
    def arguments(self) -> list[str]:
        """The arguments of ``bayes-nnunet``, with --continue to skip finished studies."""
        ensemble, images, output = map(
            os.path.abspath, (self.chosen.folder, self.images, self.output)
        )
        options = ["--phases", self.phases, "--continue", "--jsonl"]
        return ["predict", ensemble, images, "-o", output, *self.chosen.arguments, *options]


def propose_results(images: Path) -> Path:
    """Return the default folder for the results, next to the images."""
    folder = Path(os.path.abspath(images))
    return folder.with_name(f"{folder.name}_segmented") if folder.name else folder / "segmented"


def check_images(images: Path) -> None:
    """Raise AppError if the images are not in a folder; call it in a thread.

    The command would take a file, or a missing folder, for one study.
    """
    if not images.is_dir():
        raise AppError(NO_IMAGES_FOLDER, images=images)
