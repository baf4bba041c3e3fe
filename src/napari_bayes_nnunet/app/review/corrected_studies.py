"""Studies whose contours were corrected, taken into a dataset so that an ensemble learns of them.

Only phases that were reviewed are taken: a label that nobody has looked at must not be trained on
as if it were right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from ...core.review.queue import QueueItem, review_queue, slice_scores
from ...core.types import Phase
from ...io import DataError
from ...io.dataset.corrected_cases import add_training_case
from ...io.dataset.raw_dataset import RawDataset, read_dataset
from ...io.images.nifti import Volume, read_volume
from ...io.study.arrays import of_phase
from ...io.study.review_state import ReviewState, read_review
from ...io.study.study import Study, find_image, read_study
from ...io.study.summary import StudySummary, list_studies
from .. import AppError
from ..prediction.output_files import frame_name
from .session import ReviewSession

_TWICE = (
    "{case} is also in {other}: the one would replace the other. Choose a folder that holds only "
    "the one to train on."
)


@dataclass(frozen=True, kw_only=True)
class CorrectedStudy:
    """How far a study is to be trained on.

    ``ready`` are the phases that were reviewed; ``open_slices``: phase → slices that must be
    accepted first. Both are empty for a review that was not begun. ``problem`` says why the study
    cannot be used.
    """

    folder: Path
    case: str
    ready: tuple[Phase, ...] = ()
    open_slices: Mapping[Phase, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class AddedStudies:
    """The ``dataset`` after studies were added: study folder → names of its cases, or why not."""

    dataset: RawDataset
    added: Mapping[Path, Sequence[str]]
    failed: Mapping[Path, str]


def find_corrected(folder: Path) -> Generator[tuple[int, int], None, list[CorrectedStudy]]:
    """The studies in ``folder`` and the folders in it, those with most ready phases first.

    Yields (done, total). A study that cannot be used has a ``problem``.
    """
    summaries = sorted(list_studies(folder), key=lambda summary: summary.case)
    found = []
    for done, summary in enumerate(summaries):
        yield done, len(summaries)
        found.append(_look_into(summary))
    return sorted(_told_apart(found), key=lambda study: (-len(study.ready), bool(study.problem)))


def add_studies(
    folders: Sequence[Path], dataset: Path
) -> Generator[tuple[int, int], None, AddedStudies]:
    """Take the ready phases of studies into the training part of a raw dataset.

    Yields (done, total); whenever it is stopped, what was added stays. A study that fails does
    not keep the others from being added. Raises DataError where ``dataset`` is none.
    """
    read_dataset(dataset)
    added: dict[Path, Sequence[str]] = {}
    failed: dict[Path, str] = {}
    for done, folder in enumerate(folders):
        yield done, len(folders)
        try:
            added[folder] = add_study(folder, dataset)
        except (AppError, DataError) as error:
            failed[folder] = str(error)
    return AddedStudies(dataset=read_dataset(dataset), added=added, failed=failed)


def add_study(folder: Path, dataset: Path) -> list[str]:
    """Take the ready phases of one study into the training part of a dataset; their names.

    Cases of this study that were added before get its labels as they are now. Raises AppError
    where no phase is ready or the image is nowhere, and DataError where the study cannot be read
    or the dataset cannot take it.
    """
    session = ReviewSession(_read(folder))
    left = open_slices(session, whole_queue(session))
    check_ready(left)
    return add_phases(session, _image_of(session.study), dataset, phases=ready_phases(left))


def whole_queue(session: ReviewSession) -> list[QueueItem]:
    """The queue of all structures, also where the reader has narrowed it to one of them."""
    posteriors = session.study.posteriors
    scores = {
        phase: slice_scores(
            posteriors[phase],
            session.structures,
            session.spacing,
            score=session.score,
            leave_out_border=session.state.leave_out_border,
        )
        for phase in session.queue_phases
        if phase in posteriors
    }
    return review_queue(scores)


def open_slices(session: ReviewSession, queue: Iterable[QueueItem]) -> dict[Phase, int]:
    """Phase of the queue → how many of its slices are not accepted: 0 where it is reviewed.

    Flagged slices are open wherever they are. Of a phase of which the queue names no slice, since
    what the models said is lost or is the same everywhere, all slices count.
    """
    named: dict[Phase, set[int]] = defaultdict(set)
    for item in queue:
        named[item.phase].add(item.z)
    decisions = session.state.decisions
    counts = {}
    for phase in session.queue_phases:
        accepted = {z for (p, z), d in decisions.items() if p == phase and d.state == "accepted"}
        flagged = {z for (p, z), d in decisions.items() if p == phase and d.state == "flagged"}
        to_accept = named[phase] or set(range(session.slices))
        counts[phase] = len((to_accept - accepted) | flagged)
    return counts


def ready_phases(left: Mapping[Phase, int]) -> tuple[Phase, ...]:
    """The phases that have no open slices left."""
    return tuple(phase for phase, count in left.items() if not count)


def check_ready(left: Mapping[Phase, int]) -> None:
    """Raise AppError where every phase has open slices left."""
    if not ready_phases(left):
        counts = ", ".join(f"{phase_text(phase)} has {count} left" for phase, count in left.items())
        raise AppError(f"Accept all slices of a phase in the queue first: {counts}.")


def add_phases(
    session: ReviewSession, image: Volume, dataset: Path, *, phases: Iterable[Phase]
) -> list[str]:
    """Take phases of a study as cases into the training part of a raw dataset; their names.

    Raises DataError where the dataset cannot take one.
    """
    info = session.study.info
    labels = session.labels_to_save()
    names = []
    for phase in phases:
        names.append(frame_name(info.case, phase))
        add_training_case(
            dataset,
            name=names[-1],
            images=[image if phase is None else image.frame(phase)],
            labels=np.asarray(of_phase(labels, phase)),
            names=session.structures,
            origin={
                "study": info.case,
                "phase": phase,
                "ensemble": info.ensemble,
                "method": info.method,
                "added": datetime.now().astimezone().isoformat(timespec="seconds"),
            },
            replace=True,
        )
    return names


def phase_text(phase: Phase) -> str:
    """A phase in words."""
    return "the image" if phase is None else f"phase {phase}"


def _look_into(summary: StudySummary) -> CorrectedStudy:
    """Only a review that was begun is read whole."""
    study = CorrectedStudy(folder=summary.folder, case=summary.case, problem=summary.problem)
    if summary.problem or not summary.reviewed:
        return study
    try:
        session = ReviewSession(_read(summary.folder))
    except DataError as error:
        return replace(study, problem=str(error))
    left = open_slices(session, whole_queue(session))
    still_open = {phase: count for phase, count in left.items() if count}
    return replace(study, ready=ready_phases(left), open_slices=still_open)


def _told_apart(studies: Sequence[CorrectedStudy]) -> list[CorrectedStudy]:
    """Two readings of one case would be one case of the dataset: neither is taken."""
    first: dict[str, list[CorrectedStudy]] = defaultdict(list)
    for study in studies:
        if study.ready:
            first[study.case].append(study)
    return [
        replace(
            study,
            ready=(),
            problem=_TWICE.format(case=study.case, other=_other(study, first[study.case])),
        )
        if study.ready and len(first[study.case]) > 1
        else study
        for study in studies
    ]


def _other(study: CorrectedStudy, same: Sequence[CorrectedStudy]) -> Path:
    return next(other.folder for other in same if other.folder != study.folder)


def _read(folder: Path) -> Study:
    """The study, its decisions not newer than its labels: a window may just be saving both."""
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
        name = study.info.image.name if study.info.image is not None else "Its image"
        raise AppError(
            f"{name} was not found, and without its image {study.info.case} cannot be trained on: "
            "put it beside the study."
        )
    image = read_volume(file, allow_blank=True)
    if not image.geometry.same_grid(study.info.geometry):
        raise DataError(
            f"{file.name} has another grid ({image.geometry}) than the study "
            f"({study.info.geometry})."
        )
    return image
