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
from ...io.files.given_path import is_same_path

ED_AND_ES, ALL = "ED,ES", "all"
NO_IMAGES = "No folder of images is chosen. Choose one first."
NO_RESULTS = "No folder for the results is chosen. Choose one first."
SAME_PATHS = (
    " That computer reads and writes the files, so ensemble, images and results must have the "
    "same paths on both computers."
)
SAME_FOLDER = (
    "{images} holds the images. Choose a separate folder for the results, such as {proposed}."
)
MISSING_IMAGES = "{images} does not exist. Choose another folder."
IMAGES_ARE_FILE = "{images} is a file. Choose the folder that contains it."
RESULTS_ARE_FILE = "{results} is a file. Choose a folder for the results."
UNREADABLE_IMAGES = "{images} cannot be read ({reason}). Choose another folder."


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


def check_folders(images: Path, output: Path) -> None:
    """Raise AppError if these folders cannot be used; call it in a thread."""
    if not images.exists():
        raise AppError(MISSING_IMAGES, images=images)
    if not images.is_dir():
        raise AppError(IMAGES_ARE_FILE, images=images)
    try:
        with os.scandir(images):
            pass
    except OSError as error:
        raise AppError(UNREADABLE_IMAGES, images=images, reason=error.strerror) from error
    if output.exists() and not output.is_dir():
        raise AppError(RESULTS_ARE_FILE, results=output)
    if is_same_path(output, images):
        raise AppError(SAME_FOLDER, images=images, proposed=propose_results(images))
