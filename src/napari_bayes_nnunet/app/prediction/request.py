"""Request to segment images, and the outcome of each image."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from ...core.heart.site_profile import NO_PROFILE, SiteProfile
from ...core.problems import Action, Remedy, Setting
from ...core.types import Spacing
from ...io.ensemble.ensemble_folder import EnsembleFolder
from .. import AppError
from ..remote.device import is_remote
from ..segmentation.calibration import chosen_temperature
from ..segmentation.methods import choose_members, refuse_regions
from ..segmentation.settings import SegmentationSettings
from .output_files import SAVED_MAPS, STUDY_OUTPUT

PROFILE_ELSEWHERE = "Another computer does not know the profile {profile}."
PROFILE_AND_STUDY: Final = (
    "A study keeps what the ensemble draws, so it cannot be drawn by the profile {profile}."
)
READ_ONLY_OUTPUT: Final = "The output folder {folder} is read-only."


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """Images to segment and files to write.

    ``phases``: "all", "ED,ES" or numbers such as "1,8". ``save``: the maps to write, and "study".
    ``spacing`` (z, y, x) in mm replaces that of the images. ``series``: number of the DICOM series
    to use if a folder has several cines. ``folder_names``: DICOM cases are named after their
    folders. ``anyway``: segment images that are not short-axis cines by their DICOM tags.
    ``strict``: refuse images that look like none. ``profile``: how the site draws.
    """

    images: tuple[Path, ...]
    output: Path
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    phases: str = "all"
    save: frozenset[str] = frozenset()
    overwrite: bool = False
    skip_finished: bool = False
    series: int | None = None
    folder_names: bool = False
    spacing: Spacing | None = None
    anyway: bool = False
    strict: bool = False
    profile: SiteProfile = NO_PROFILE

    @property
    def makes_studies(self) -> bool:
        """Whether a study is written for every case."""
        return STUDY_OUTPUT in self.save


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """Outcome of one image: ``failure`` is "" or sentences; ``notes`` are for the user.

    ``run_notes`` are those of the notes that are on the run, not on the image.
    ``phases`` are those with files, from 1, or (None,) for a 3D image.
    """

    case: str
    failure: str = ""
    skipped: bool = False
    notes: tuple[str, ...] = ()
    run_notes: frozenset[str] = frozenset()
    phases: tuple[int | None, ...] = ()


def check_request(folder: EnsembleFolder, request: PredictionRequest) -> None:
    """Make the output folder. Raises AppError if the ensemble cannot meet the request."""
    parse_phases(request.phases)
    known = (*SAVED_MAPS, STUDY_OUTPUT)
    unknown = sorted(request.save - set(known))
    if unknown:
        raise AppError(
            "{setting} cannot be {unknown}. Choose from {known}.",
            setting=Setting("save"),
            unknown=", ".join(unknown),
            known=", ".join(known),
        )
    if request.profile.draws and request.makes_studies:
        raise AppError(
            PROFILE_AND_STUDY,
            Remedy(Action.OMIT, {"setting": Setting("profile")}),
            profile=request.profile.name,
        )
    if is_remote(request.settings.device) and (request.profile.draws or request.profile.intervals):
        raise AppError(
            PROFILE_ELSEWHERE,
            Remedy(Action.OMIT, {"setting": Setting("profile")}),
            profile=request.profile.name,
        )
    together = {
        ("overwrite", "continue"): request.overwrite and request.skip_finished,
        ("anyway", "strict"): request.anyway and request.strict,
    }
    for (first, second), are_both in together.items():
        if are_both:
            raise AppError(
                "{first} and {second} cannot be used together. Choose one of them.",
                first=Setting(first),
                second=Setting(second),
            )
    if request.spacing is not None and not all(0 < step < inf for step in request.spacing):
        raise AppError(
            "{setting} must be three positive lengths in mm, not {spacing}.",
            setting=Setting("spacing"),
            spacing=request.spacing,
        )
    # For its error, before the first image is read.
    choose_members(folder, request.settings.method, request.settings.members)
    if "probabilities" in request.save:
        refuse_regions(folder, "map of probabilities")
    chosen_temperature(folder, request.settings)
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AppError(
            "The output folder {folder} cannot be made ({reason}).",
            Action.OTHER_OUTPUT,
            folder=request.output,
            reason=error.strerror,
        ) from error
    # An existing folder is made without an error, even if nothing can be written to it.
    if not os.access(request.output, os.W_OK):
        raise AppError(READ_ONLY_OUTPUT, Action.OTHER_OUTPUT, folder=request.output)


def parse_phases(text: str) -> list[int] | str:
    """Return "all", "ED,ES" or the numbers in a text like "1,8". Raises AppError otherwise."""
    plain = text.replace(" ", "")
    if plain.lower() == "all":
        return "all"
    if plain.upper() in ("ED,ES", "ES,ED"):
        return "ED,ES"
    try:
        # Results are written in the order of time, however the phases were given.
        numbers = sorted(int(part) for part in plain.split(","))
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1 or len({*numbers}) < len(numbers):
        raise AppError(
            "The phases {text!r} are invalid. Use all, ED,ES or different numbers from 1 such as "
            "1,8.",
            text=text,
        )
    return numbers
