"""A segmented case becomes a study: what ``predict --save study`` collects and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...core.ensemble.stored_posterior import StoredPosterior
from ...io import DataError
from ...io.images.integrity import is_whole
from ...io.images.nifti import Volume
from ...io.study.study import (
    Phase,
    SourceImage,
    StudyInfo,
    check_replaceable,
    files_of_study,
    is_study,
    read_study_info,
    write_study,
)
from .. import AppError
from ..segmentation.result import Segmentation, stored_posterior

WAITS: Final = 30.0
"""Seconds for another process: a worker that was cut off may still write the same study."""


@dataclass(kw_only=True)
class StudyParts:
    """The phases of a case so far: about 10 MB each for 12 x 256 x 256 voxels."""

    folder: Path
    posteriors: dict[Phase, StoredPosterior] = field(default_factory=dict)
    reports: dict[Phase, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, phase: Phase, result: Segmentation, report: Mapping[str, Any]) -> None:
        """Keep what a review needs of one phase; ``report`` is the content of its JSON file."""
        self.posteriors[phase] = stored_posterior(result)
        self.reports[phase] = report

    def write(self, case: str, image: Volume, structures: Mapping[str, int], classes: int) -> None:
        """Write the study of ``image``, which goes into it where it came from no single file.

        Raises DataError where it cannot or must not be written.
        """
        from_file = image.source.is_file()
        ed, es, phases_from = self._end_phases()
        info = StudyInfo(
            case=case,
            image=SourceImage.of(image.source) if from_file else None,
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
        """ED, ES and where they come from, if a report says so."""
        for report in self.reports.values():
            if "ED" in report:
                return report["ED"], report["ES"], str(report["phases_from"])
        return None, None, ""


def has_study(folder: Path, phases: Iterable[Phase]) -> bool:
    """Whether the folder is a study of at least these phases, and none of its files cut short."""
    try:
        info = read_study_info(folder)
    except DataError:
        return False
    return set(phases) <= set(info.phases) and all(map(is_whole, files_of_study(folder, info)))


def study_to_make(
    folder: Path, phases: Iterable[Phase], *, overwrite: bool, skip_finished: bool
) -> StudyParts | None:
    """An empty study to collect these phases in; None where it is there and may be skipped.

    Raises AppError or DataError where it could only be made in place of what must stay.
    """
    if skip_finished and has_study(folder, phases):
        return None
    check_replaceable(folder)
    if is_study(folder) and not (overwrite or skip_finished):
        raise AppError(
            f"The study {folder.name} exists in {folder.parent}; use --overwrite to replace it "
            "(never one with corrections) or --continue to do only what is missing."
        )
    return StudyParts(folder=folder)
