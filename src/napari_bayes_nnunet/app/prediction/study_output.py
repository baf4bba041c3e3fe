"""Collection of a segmented case's phases, which are written as a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.problems import Action
from ...core.types import Phase
from ...io import DataError
from ...io.images.integrity import is_whole
from ...io.images.nifti import Volume
from ...io.study.info import SourceImage, StudyInfo, is_study, read_study_info
from ...io.study.study import check_replaceable, files_of_study, write_study
from .. import AppError
from ..segmentation.result import Segmentation, stored_posterior

WAITS: Final = 30.0
"""Seconds to wait for another process: a disconnected worker may still write the same study."""


@dataclass(kw_only=True)
class StudyParts:
    """Phases of a case so far, about 10 MB each for 12 x 256 x 256 voxels."""

    folder: Path
    posteriors: dict[Phase, StoredPosterior] = field(default_factory=dict)
    reports: dict[Phase, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, phase: Phase, result: Segmentation, report: Mapping[str, Any]) -> None:
        """Add a phase; ``report`` is the content of its JSON file."""
        self.posteriors[phase] = stored_posterior(result)
        self.reports[phase] = report

    def write(self, case: str, image: Volume, structures: Mapping[str, int], classes: int) -> None:
        """Write the study, with a copy of ``image`` unless the image is a single file.

        Raises DataError if it cannot or must not be written.
        """
        from_file = image.source.is_file()
        ed, es, phases_from = self._end_phases()
        info = StudyInfo(
            case=case,
            image=SourceImage.from_file(image.source) if from_file else None,
            geometry=image.geometry,
            structures=structures,
            classes=classes,
            phases=tuple(self.posteriors),
            reports=self.reports,
            ed=ed,
            es=es,
            phases_from=phases_from,
        )
        image_voxels = None if from_file else image.voxels
        write_study(self.folder, info, self.posteriors, image=image_voxels, wait=WAITS)

    def _end_phases(self) -> tuple[Phase, Phase, str]:
        """Return ED, ES and their source, if a report has them."""
        for report in self.reports.values():
            if "ED" in report:
                return report["ED"], report["ES"], str(report["phases_from"])
        return None, None, ""


def refuse_outdating_study(folder: Path) -> None:
    """Raise AppError or DataError if a study in ``folder`` would be of another run than its report.

    A reader would then correct labels whose numbers stand nowhere.
    """
    if is_study(folder):
        check_replaceable(folder)
        raise AppError(
            "The study {study} in {folder} would no longer agree with the new results.",
            *(Action.SAVE_STUDIES, Action.OTHER_OUTPUT),
            study=folder.name,
            folder=folder.parent,
        )


def has_study(folder: Path, phases: Iterable[Phase]) -> bool:
    """Return whether the folder is a study of at least these phases, with complete files."""
    try:
        info = read_study_info(folder)
    except DataError:
        return False
    return set(phases) <= set(info.phases) and all(map(is_whole, files_of_study(folder, info)))


def start_study(folder: Path, *, may_replace: bool) -> StudyParts:
    """Return an empty study. Raises AppError or DataError if a study that must stay exists."""
    check_replaceable(folder)
    if is_study(folder) and not may_replace:
        raise AppError(
            "The study {study} exists in {folder}.",
            *(Action.OVERWRITE, Action.CONTINUE),
            study=folder.name,
            folder=folder.parent,
        )
    return StudyParts(folder=folder)
