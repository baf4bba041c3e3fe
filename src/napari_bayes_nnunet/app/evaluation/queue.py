"""Evaluation of the review queue of every score against reference labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.metrics.bootstrap import Estimate
from ...core.problems import Action
from ...core.review.queue import REVIEW_SCORES, QueueItem, review_queue, slice_scores, usable_score
from ...core.review.queue_yield import (
    QueueYield,
    ReviewedSlices,
    WrongVoxels,
    in_best_order,
    in_random_order,
    in_slice_order,
    queue_yield,
    wrong_voxels,
)
from ...core.types import Phase
from ...io.dataset.patients import DEFAULT_PATIENT, no_patient_is_shared, patient_of
from ...io.dataset.raw_dataset import join_names
from ...io.evaluation.label_tree import ReferenceTree
from ...io.evaluation.references import Reference, reference_labels
from ...io.study.info import read_study_info
from ...io.study.study import Study, read_study
from ...io.study.summary import list_studies
from .. import AppError
from ..prediction.output_files import frame_name
from .evaluate import (
    COMPARED_BY_VOXEL,
    IDENTICAL,
    NO_SHARED_PATIENT,
    REFERENCE_UNNAMED,
    check_folder,
)

Errors = Literal["gross", "all"]
KINDS: Final[tuple[Errors, ...]] = ("gross", "all")
BEST, SLICES, RANDOM = "best possible", "slice order", "random"
STUDY_LEFT_OUT: Final = "{case} has no reference labels and was left out."
SAME_CASE: Final = "{first} and {second} are both studies of {case}. Keep only one of them."
PHASES_LEFT_OUT: Final = "{case} has no reference labels for phases {phases}, which were left out."


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderResult:
    """Errors of one kind found in one order of the slices.

    ``order`` names a score, or is BEST, SLICES or RANDOM. ``times_random`` and ``of_best`` are
    ratios of the errors found in the first 30 % of the slices.
    """

    errors: Errors
    order: str
    leaves_out_border: bool
    found: QueueYield
    times_random: Estimate
    of_best: Estimate

    @property
    def title(self) -> str:
        """Title of the order."""
        return (
            REVIEW_SCORES[self.order].title
            if self.order in REVIEW_SCORES
            else self.order.capitalize()
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class QueueEvaluation:
    """Results of all orders. ``errors``: kind → number of wrong voxels.

    ``notes`` are sentences on what was left out.
    """

    results: tuple[OrderResult, ...]
    studies: int
    patients: int
    slices: int
    errors: Mapping[Errors, int]
    notes: tuple[str, ...]

    def find_result(
        self, errors: Errors, order: str, *, leaves_out_border: bool = False
    ) -> OrderResult:
        """Return the result of one order."""
        wanted = (errors, order, leaves_out_border)
        return next(r for r in self.results if (r.errors, r.order, r.leaves_out_border) == wanted)


@dataclass(frozen=True, kw_only=True, eq=False)
class _ReferencedStudy:
    """A study with a reference: wrong voxels of each phase, and the queue of every score."""

    patient: str
    wrong: Mapping[Phase, WrongVoxels]
    queues: Mapping[tuple[str, bool], Sequence[QueueItem]]

    def review(self, errors: Errors, queue: Sequence[QueueItem] = ()) -> ReviewedSlices:
        """Return the slices in the queue, then all others."""
        counts = {phase: getattr(wrong, errors) for phase, wrong in self.wrong.items()}
        slices = [(phase, z) for phase, count in counts.items() for z in range(len(count))]
        index = {key: n for n, key in enumerate(slices)}
        queued = [index[item.phase, item.z] for item in queue]
        order = [*queued, *(n for n in index.values() if n not in set(queued))]
        return ReviewedSlices(
            patient=self.patient,
            errors=np.concatenate(list(counts.values())),
            order=np.array(order, dtype=np.intp),
        )


def evaluate_queue(
    studies: Path, labels: Path, *, patient: str = DEFAULT_PATIENT
) -> QueueEvaluation:
    """Return the wrong voxels found when the studies in a folder are reviewed by every score.

    ``studies`` and ``labels`` are trees; `ReferenceTree` says which reference belongs to a study.
    Phases and studies without a reference are left out and noted. ``patient`` is the pattern of the
    patient's part of a case name, for intervals over patients.

    Raises AppError and DataError if there is nothing to evaluate, a study cannot be read, or a
    reference does not match its study.
    """
    check_folder(labels, "reference labels")
    evaluated, notes = [], []
    remarks: dict[str, list[str]] = {}
    patients: dict[str, str] = {}
    cases = _cases(studies)
    references = _references(cases, labels)
    for folder, case in cases.items():
        study = read_study(folder)
        compared = _compared(study, labels, references[folder])
        wrong = _wrong_of(study, compared)
        for remark in _remarks(study, compared):
            remarks.setdefault(remark, []).append(case)
        notes += [*study.problems, *_unlabelled(study, wrong)]
        if wrong:
            patients[case] = patient_of(case, patient)
            evaluated.append(_queued(study, wrong, patients[case]))
            notes += _fallbacks(study)
    if patient == DEFAULT_PATIENT and no_patient_is_shared(patients):
        remarks[NO_SHARED_PATIENT] = list(patients)
    notes += [f"{remark}: {join_names(noted)}." for remark, noted in remarks.items()]
    if not evaluated:
        raise AppError(
            "{labels} has no reference for any study in {studies}. Rename each reference to "
            "NAME.nii.gz or NAME_gt.nii.gz, with the NAME of its study.",
            labels=labels,
            studies=studies,
        )
    return QueueEvaluation(
        results=tuple(result for kind in KINDS for result in _results(evaluated, kind)),
        studies=len(evaluated),
        patients=len({study.patient for study in evaluated}),
        slices=sum(len(wrong.all) for study in evaluated for wrong in study.wrong.values()),
        errors={kind: _total(evaluated, kind) for kind in KINDS},
        notes=tuple(dict.fromkeys(notes)),
    )


def _cases(studies: Path) -> dict[Path, str]:
    """Return folder → case of each study, such as "p1/heart" for one in a sub-folder."""
    check_folder(studies, "studies")
    summaries = sorted(list_studies(studies), key=lambda summary: summary.case)
    if not summaries:
        raise AppError("{studies} contains no studies.", Action.SAVE_STUDIES, studies=studies)
    if problem := next((s.problem for s in summaries if s.problem is not None), None):
        raise AppError.from_statement(problem)
    folders: dict[str, Path] = {}
    for summary in summaries:
        case = (summary.folder.relative_to(studies).parent / summary.case).as_posix()
        if (other := folders.setdefault(case, summary.folder)) != summary.folder:
            raise AppError(SAME_CASE, first=other, second=summary.folder, case=case)
    return {folder: case for case, folder in folders.items()}


def _references(cases: Mapping[Path, str], labels: Path) -> dict[Path, dict[Phase, str]]:
    """Return folder → phase → case of the reference. Raises DataError if it is not unique."""
    named = {
        (folder, phase): frame_name(case, phase)
        for folder, case in cases.items()
        for phase in read_study_info(folder).phases
    }
    matches = ReferenceTree(labels).match({name: phase for (_, phase), name in named.items()})
    references: dict[Path, dict[Phase, str]] = {folder: {} for folder in cases}
    for (folder, phase), name in named.items():
        if name in matches:
            references[folder][phase] = matches[name]
    return references


def _compared(
    study: Study, labels: Path, references: Mapping[Phase, str]
) -> dict[Phase, Reference]:
    """Return the reference of each phase that has one."""
    info, compared = study.info, {}
    for phase in study.posteriors:
        if phase not in references:
            continue
        reference = reference_labels(
            labels, references[phase], phase, structures=info.structures, geometry=info.geometry
        )
        if reference is not None:
            compared[phase] = reference
    return compared


def _wrong_of(study: Study, references: Mapping[Phase, Reference]) -> dict[Phase, WrongVoxels]:
    """Return the wrong voxels of each phase that has a reference."""
    spacing = study.info.geometry.spacing
    return {
        phase: wrong_voxels(study.posteriors[phase].prediction, reference.labels, spacing)
        for phase, reference in references.items()
    }


def _remarks(study: Study, references: Mapping[Phase, Reference]) -> Iterator[str]:
    """Yield remarks on a study, worded as those of `evaluate`."""
    known = references.values()
    if not all(reference.is_named for reference in known):
        yield REFERENCE_UNNAMED
    has_position = study.info.geometry.letters is not None
    if known and not (has_position and all(reference.is_placed for reference in known)):
        yield COMPARED_BY_VOXEL
    if any(
        np.array_equal(study.posteriors[phase].prediction, reference.labels)
        for phase, reference in references.items()
    ):
        yield IDENTICAL


def _unlabelled(study: Study, wrong: Mapping[Phase, WrongVoxels]) -> list[str]:
    without = [phase for phase in study.posteriors if phase not in wrong]
    if not without:
        return []
    if not wrong:
        return [STUDY_LEFT_OUT.format(case=study.info.case)]
    phases = ", ".join(map(str, without))
    return [PHASES_LEFT_OUT.format(case=study.info.case, phases=phases)]


def _queued(study: Study, wrong: Mapping[Phase, WrongVoxels], patient: str) -> _ReferencedStudy:
    posteriors = {phase: study.posteriors[phase] for phase in wrong}
    queues = {}
    for name in REVIEW_SCORES:
        usable, _ = usable_score(posteriors.values(), name)
        for leaves_out_border in (False, True):
            scores = {
                phase: slice_scores(
                    posterior,
                    study.info.structures,
                    study.info.geometry.spacing,
                    score=usable,
                    leave_out_border=leaves_out_border,
                )
                for phase, posterior in posteriors.items()
            }
            queues[name, leaves_out_border] = review_queue(scores)
    return _ReferencedStudy(patient=patient, wrong=wrong, queues=queues)


def _fallbacks(study: Study) -> list[str]:
    sentences = (usable_score(study.posteriors.values(), name)[1] for name in REVIEW_SCORES)
    return [f"{study.info.case}: {sentence}" for sentence in sentences if sentence]


def _results(studies: Sequence[_ReferencedStudy], errors: Errors) -> Iterator[OrderResult]:
    """Yield the results of all orders, the best possible first."""
    reviews = [study.review(errors) for study in studies]

    def pooled(order: Callable[[ReviewedSlices], ReviewedSlices]) -> QueueYield:
        return queue_yield([order(review) for review in reviews])

    best, random = pooled(in_best_order), pooled(in_random_order)

    def result(order: str, found: QueueYield, *, leaves_out_border: bool = False) -> OrderResult:
        return OrderResult(
            errors=errors,
            order=order,
            leaves_out_border=leaves_out_border,
            found=found,
            times_random=found.at_share.relative_to(random.at_share),
            of_best=found.at_share.relative_to(best.at_share),
        )

    yield result(BEST, best)
    for name, leaves_out_border in studies[0].queues:
        by_score = [
            study.review(errors, study.queues[name, leaves_out_border]) for study in studies
        ]
        yield result(name, queue_yield(by_score), leaves_out_border=leaves_out_border)
    yield result(SLICES, pooled(in_slice_order))
    yield result(RANDOM, random)


def _total(studies: Sequence[_ReferencedStudy], errors: Errors) -> int:
    counts: list[NDArray[np.float64]] = [study.review(errors).errors for study in studies]
    return int(sum(count.sum() for count in counts))
