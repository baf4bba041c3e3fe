"""Request to segment images, and the outcome for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ...io.ensemble.ensemble_folder import EnsembleFolder
from .. import AppError
from ..segmentation.methods import choose_members
from ..segmentation.settings import SegmentationSettings
from ..segmentation.temperature import chosen_temperature
from .output_files import MAPS, STUDY_OUTPUT
from .phases import parse_phases


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """Images to segment and files to write. ``phases``: "all", "ED,ES" or numbers such as "1,8".

    ``save``: the maps to write, and "study". ``series``: number of the DICOM series to take if a
    folder has several cines; ``folder_names``: DICOM cases are named after their folders.
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

    @property
    def makes_studies(self) -> bool:
        """Whether every case is to become a study."""
        return STUDY_OUTPUT in self.save


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """Result of one image: ``failure`` is empty or one sentence; ``notes`` are for the user.

    ``phases`` have files (from 1; (None,) for a 3D image).
    """

    case: str
    failure: str = ""
    skipped: bool = False
    notes: tuple[str, ...] = ()
    phases: tuple[int | None, ...] = ()


def check_request(folder: EnsembleFolder, request: PredictionRequest) -> None:
    """Make the output folder. Raises AppError if the ensemble cannot meet the request."""
    parse_phases(request.phases)
    known = (*MAPS, STUDY_OUTPUT)
    unknown = sorted(request.save - set(known))
    if unknown:
        raise AppError(f"--save takes {', '.join(known)}, not {', '.join(unknown)}.")
    if request.overwrite and request.skip_finished:
        raise AppError("--overwrite and --continue exclude each other.")
    choose_members(folder, request.settings.method, request.settings.members)
    chosen_temperature(folder, request.settings)
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AppError(f"{request.output} cannot be used as a folder: {error.strerror}.") from error
