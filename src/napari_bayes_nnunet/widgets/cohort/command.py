"""A folder of studies that is to be segmented, as the dock Segment and its window say."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ...app import AppError
from ...app.remote.device import RemoteDevice, is_remote
from ...app.segmentation.settings import SegmentationSettings

ED_AND_ES, ALL = "ED,ES", "all"
NO_IMAGES = "Choose the folder of the images first."
NO_RESULTS = "Choose a folder for the results first."
SAME_PATHS = (
    " The files are read and written there: ensemble, images and results must have the same paths "
    "on both computers."
)
SAME_FOLDER = "The results need a folder of their own, such as {proposed}."


@dataclass(frozen=True, kw_only=True)
class CohortSettings:
    """The ensemble in ``folder`` and the settings chosen in the dock."""

    folder: Path
    ensemble: str
    settings: SegmentationSettings

    def __str__(self) -> str:
        device = self.settings.device
        where = "" if device == "auto" else f", on {RemoteDevice.of(device).address}"
        return f"{self.ensemble}, {self.settings}{where}"

    @property
    def needs(self) -> str:
        """Advice for a run on another computer."""
        return SAME_PATHS if is_remote(self.settings.device) else ""

    @property
    def arguments(self) -> list[str]:
        """The options of ``bayes-nnunet predict``."""
        if not is_remote(self.settings.device):
            return self.settings.to_arguments()
        other = RemoteDevice.of(self.settings.device)
        keys = ["--certificates", os.path.abspath(other.certificates)] if other.certificates else []
        there = replace(self.settings, device="auto")
        return [*there.to_arguments(), "--scheduler", other.address, *keys]


@dataclass(frozen=True, kw_only=True)
class CohortCommand:
    """All studies in the folder ``images``, in ``phases``, into the folder ``output``."""

    asking: CohortSettings
    images: Path
    output: Path
    phases: str = ED_AND_ES

    @property
    def arguments(self) -> list[str]:
        """What follows ``bayes-nnunet``: with --continue, so that it goes on where it ended."""
        folders = (self.asking.folder, self.images, "-o", self.output)
        places = [os.path.abspath(f) if isinstance(f, Path) else f for f in folders]
        options = ["--phases", self.phases, "--continue", "--jsonl"]
        return ["predict", *places, *self.asking.arguments, *options]


def results_beside(images: Path) -> Path:
    """Where results are proposed."""
    folder = Path(os.path.abspath(images))
    return folder.with_name(f"{folder.name}_segmented") if folder.name else folder / "segmented"


def check_folders(images: Path, output: Path) -> None:
    """Raise AppError, one sentence, where these folders cannot be used. For a thread."""
    if not images.exists():
        raise AppError(f"There is no folder {images}.")
    if not images.is_dir():
        raise AppError(f"{images} is a file: choose the folder it lies in.")
    try:
        with os.scandir(images):
            pass
    except OSError as error:
        reason = (
            "you may not look into it" if isinstance(error, PermissionError) else error.strerror
        )
        raise AppError(f"{images} cannot be read ({reason}): choose another folder.") from error
    if output.exists() and not output.is_dir():
        raise AppError(f"{output} is a file: choose a folder for the results.")
    if output.resolve() == images.resolve():
        raise AppError(SAME_FOLDER.format(proposed=results_beside(images)))
