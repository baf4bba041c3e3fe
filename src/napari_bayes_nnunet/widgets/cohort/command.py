"""Command that segments a cohort with the settings of the Segment dock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ...app import AppError
from ...app.remote.device import RemoteDevice
from ...app.segmentation.methods import METHODS
from ...app.segmentation.settings import SegmentationSettings
from ...core.fields import to_arguments

ED_AND_ES, ALL = "ED,ES", "all"
COHORT_SUBJECT = "The segmentation"
NO_IMAGES = "No folder of images is chosen. Choose one first."
NO_RESULTS = "No folder for the results is chosen. Choose one first."
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
        # An absolute path never begins with a dash, which would make it an option.
        ensemble, images, output = map(
            os.path.abspath, (self.chosen.folder, self.images, self.output)
        )
        options = ["--phases", self.phases, "--continue", "--jsonl"]
        return [
            "predict",
            ensemble,
            images,
            "-o",
            output,
            *to_arguments(self.chosen.settings),
            *options,
        ]


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
