"""Corrected studies as training cases of a dataset.

Only reviewed phases are added: labels that nobody has checked must not be trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from ...core.problems import Statement, statement
from ...core.types import Phase
from ...io import DataError
from ...io.dataset.corrected_cases import add_training_case
from ...io.dataset.raw_dataset import RawDataset, read_dataset
from ...io.files.case_names import same_file_key
from ...io.images.nifti import Volume
from ...io.study.arrays import select_phase
from ...io.study.info import find_image, read_study_image
from ...io.study.review_state import ReviewState, read_review
from ...io.study.study import Study, read_study
from ...io.study.summary import StudySummary, list_studies
from .. import AppError
from ..prediction.output_files import frame_name
from .accepted_slices import count_open_slices
from .session import ReviewSession

DUPLICATE = "{case} is also in {other}. Choose a folder that contains only one of the two studies."
NOT_REVIEWED = (
    "No phase is fully reviewed (open: {open}). Accept all queued slices of at least one phase."
)


@dataclass(frozen=True, kw_only=True)
class CorrectedStudy:
    """A study and its phases that can be trained on.

    ``ready`` are the reviewed phases; ``open_slices``: phase → number of slices still to accept.
    Both are empty if the review has not started. ``problem`` says why the study cannot be
    used, if it cannot.
    """

    folder: Path
    case: str
    ready: tuple[Phase, ...] = ()
    open_slices: Mapping[Phase, int] = field(default_factory=dict)
    problem: Statement | None = None


@dataclass(frozen=True, kw_only=True)
class AddedStudies:
    """The ``dataset`` after studies were added: study folder → names of its cases, or error."""

    dataset: RawDataset
    added: Mapping[Path, Sequence[str]]
    failed: Mapping[Path, Statement]


def find_corrected(folder: Path) -> Generator[tuple[int, int], None, list[CorrectedStudy]]:
    """Return the studies in ``folder`` and below, those with most ready phases first.

    Yields (done, total). A study that cannot be used has a ``problem``.
    """
    summaries = sorted(list_studies(folder), key=lambda summary: summary.case)
    studies = []
    for done, summary in enumerate(summaries):
        yield done, len(summaries)
        studies.append(_corrected_study(summary))
    return sorted(
        _without_duplicates(studies),
        key=lambda study: (-len(study.ready), study.problem is not None),
    )


def add_studies(
    folders: Sequence[Path], dataset: Path
) -> Generator[tuple[int, int], None, AddedStudies]:
    """Add the ready phases of studies to the training cases of a raw dataset.

    Yields (done, total). Cases added before a stop stay, and a study that fails does not stop the
    others. Raises DataError if ``dataset`` is not a dataset.
    """
    read_dataset(dataset)
    added: dict[Path, Sequence[str]] = {}
    failed: dict[Path, Statement] = {}
    for done, folder in enumerate(folders):
        yield done, len(folders)
        try:
            added[folder] = add_study(folder, dataset)
        except (AppError, DataError) as error:
            failed[folder] = error.statement
    return AddedStudies(dataset=read_dataset(dataset), added=added, failed=failed)


def add_study(folder: Path, dataset: Path) -> list[str]:
    """Add the ready phases of one study to the training cases of a dataset; return their names.

    Cases added from this study before are replaced. Raises AppError if no phase is ready or the
    image is missing, and DataError if the study cannot be read or added.
    """
    return add_to_training_set(ReviewSession(_read(folder)), None, dataset)


def ready_phases(open_slices: Mapping[Phase, int]) -> tuple[Phase, ...]:
    """Return the phases without open slices."""
    return tuple(phase for phase, count in open_slices.items() if not count)


def add_to_training_set(session: ReviewSession, image: Volume | None, dataset: Path) -> list[str]:
    """Add the ready phases of a review to the training cases of a dataset; return their names.

    A phase is ready if all its slices in the queue of all structures are accepted. Without
    ``image``, that of the study is read. Raises AppError if no phase is ready or the image is
    missing, and DataError if the image cannot be read or a case cannot be added.
    """
    info, labels, names = session.study.info, session.labels_to_save(), []
    open_slices = count_open_slices(session)
    phases = ready_phases(open_slices)
    if not phases:
        counts = (
            f"{count} in {'the image' if phase is None else f'phase {phase}'}"
            for phase, count in open_slices.items()
        )
        raise AppError(NOT_REVIEWED, open=", ".join(counts))
    image = image or _image_of(session.study)
    for phase in phases:
        names.append(frame_name(info.case, phase, info.phase_cases))
        add_training_case(
            dataset,
            name=names[-1],
            images=[image if phase is None else image.frame(phase)],
            labels=np.asarray(select_phase(labels, phase)),
            names=session.structures,
            origin={
                "study": info.case,
                "phase": phase,
                "ensemble": info.ensemble,
                "method": info.method,
                "added": datetime.now().astimezone().isoformat(timespec="seconds"),
            },
        )
    return names


def _corrected_study(summary: StudySummary) -> CorrectedStudy:
    """Return a study with its ready phases; only a review that has started is read."""
    study = CorrectedStudy(folder=summary.folder, case=summary.case, problem=summary.problem)
    if summary.problem is not None or not summary.reviewed:
        return study
    try:
        session = ReviewSession(_read(summary.folder))
    except DataError as error:
        return replace(study, problem=error.statement)
    open_slices = count_open_slices(session)
    still_open = {phase: count for phase, count in open_slices.items() if count}
    return replace(study, ready=ready_phases(open_slices), open_slices=still_open)


def _without_duplicates(studies: Sequence[CorrectedStudy]) -> list[CorrectedStudy]:
    """Return the studies; those with the same case name get a problem, as one would replace one."""
    ready: dict[str, list[CorrectedStudy]] = defaultdict(list)
    for study in studies:
        if study.ready:
            ready[same_file_key(study.case)].append(study)
    return [_alone(study, ready[same_file_key(study.case)]) for study in studies]


def _alone(study: CorrectedStudy, same: Sequence[CorrectedStudy]) -> CorrectedStudy:
    """Return the study, with a problem if it is ready and one of several."""
    if not study.ready or len(same) < 2:
        return study
    other = next(other.folder for other in same if other.folder != study.folder)
    return replace(study, ready=(), problem=statement(DUPLICATE, case=study.case, other=other))


def _read(folder: Path) -> Study:
    """Return the study with decisions no newer than its labels; a window may be saving both."""
    before: ReviewState | None = read_review(folder)
    while True:
        study = read_study(folder)
        after = read_review(folder)
        if after == before:
            return study
        before = after


def _image_of(study: Study) -> Volume:
    file = find_image(study.info, study.folder)
    if file is None:
        raise AppError(
            "Training on {case} needs {image}, which was not found. Put it next to the study.",
            case=study.info.case,
            image="its image" if study.info.image is None else study.info.image.name,
        )
    return read_study_image(study.info, file)
