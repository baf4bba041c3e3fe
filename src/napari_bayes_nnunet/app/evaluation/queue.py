"""Is the queue any good? Studies whose reference is known, reviewed in the order of every score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.metrics.bootstrap import Estimate
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
from ...io.dataset.raw_dataset import DEFAULT_PATIENT, patient_of
from ...io.evaluation.references import reference_labels
from ...io.study.study import Phase, Study, read_study
from ...io.study.summary import list_studies
from .. import AppError

Errors = Literal["gross", "all"]
KINDS: Final[tuple[Errors, ...]] = ("gross", "all")
BEST, SLICES, RANDOM = "best possible", "slice order", "random"


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderResult:
    """How early one order finds one kind of errors.

    ``order`` names a score, or is BEST, SLICES or RANDOM. ``times_random`` and ``of_best`` compare
    what is found in the first 30 % of the slices with these orders.
    """

    errors: Errors
    order: str
    leaves_out_border: bool
    found: QueueYield
    times_random: Estimate
    of_best: Estimate

    @property
    def title(self) -> str:
        """The order in words."""
        return (
            REVIEW_SCORES[self.order].title
            if self.order in REVIEW_SCORES
            else self.order.capitalize()
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class QueueEvaluation:
    """Every order's result, and of what. ``errors``: kind → number of wrong voxels.

    ``notes`` says, a sentence each, what was left out.
    """

    results: tuple[OrderResult, ...]
    studies: int
    patients: int
    slices: int
    errors: Mapping[Errors, int]
    notes: tuple[str, ...]

    def of(self, errors: Errors, order: str, *, leaves_out_border: bool = False) -> OrderResult:
        """The result of one order."""
        wanted = (errors, order, leaves_out_border)
        return next(r for r in self.results if (r.errors, r.order, r.leaves_out_border) == wanted)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """A study beside its reference: per phase the wrong voxels, and the queue of every score."""

    patient: str
    wrong: Mapping[Phase, WrongVoxels]
    queues: Mapping[tuple[str, bool], Sequence[QueueItem]]

    def review(self, errors: Errors, queue: Sequence[QueueItem] = ()) -> ReviewedSlices:
        """The queue, and after it all slices that are not in it."""
        counts = {phase: getattr(wrong, errors) for phase, wrong in self.wrong.items()}
        places = [(phase, z) for phase, count in counts.items() for z in range(len(count))]
        number = {place: n for n, place in enumerate(places)}
        first = [number[item.phase, item.z] for item in queue]
        order = [*first, *(n for n in number.values() if n not in set(first))]
        return ReviewedSlices(
            patient=self.patient,
            errors=np.concatenate(list(counts.values())),
            order=np.array(order, dtype=np.intp),
        )


def evaluate_queue(
    studies: Path, labels: Path, *, patient: str = DEFAULT_PATIENT
) -> QueueEvaluation:
    """Review the studies in a folder by every score, and count the wrong voxels that are found.

    ``labels`` holds the references, ``<case>.nii.gz`` or ``<case>_gt.nii.gz``: see
    ``io.reference_labels``. Phases and studies without one are left out and noted. ``patient`` is
    the pattern of the patient's part of a case's name: intervals are over patients.

    Raises AppError and DataError, one sentence, where there is nothing to judge, a study cannot be
    read, or a reference does not fit its study.
    """
    if not labels.is_dir():
        raise AppError(f"{labels} is no folder: it should hold the reference labels.")
    judged, notes = [], []
    for folder in _folders(studies):
        study = read_study(folder)
        wrong = _wrong_of(study, labels)
        notes += [*study.problems, *_unlabelled(study, wrong)]
        if wrong:
            found = _judge(study, wrong, patient_of(study.info.case, patient))
            judged.append(found)
            notes += _fallbacks(study)
    if not judged:
        raise AppError(
            f"No labels in {labels} are named like a study in {studies}: a study called NAME needs "
            "NAME.nii.gz or NAME_gt.nii.gz."
        )
    return QueueEvaluation(
        results=tuple(result for kind in KINDS for result in _results(judged, kind)),
        studies=len(judged),
        patients=len({study.patient for study in judged}),
        slices=sum(len(wrong.all) for study in judged for wrong in study.wrong.values()),
        errors={kind: _total(judged, kind) for kind in KINDS},
        notes=tuple(dict.fromkeys(notes)),
    )


def _folders(studies: Path) -> Iterator[Path]:
    if not studies.is_dir():
        raise AppError(f"{studies} is no folder: it should hold the studies.")
    found = sorted(list_studies(studies), key=lambda summary: summary.case)
    if not found:
        raise AppError(
            f"{studies} holds no studies; bayes-nnunet predict writes them with --save study."
        )
    for one, following in zip(found, [*found[1:], None], strict=True):
        if one.problem:
            raise AppError(one.problem)
        if following is not None and one.case == following.case:
            raise AppError(
                f"{one.folder} and {following.folder} are both studies of {one.case}: keep one."
            )
        yield one.folder


def _wrong_of(study: Study, labels: Path) -> dict[Phase, WrongVoxels]:
    """The wrong voxels of each phase that has a reference."""
    info, found = study.info, {}
    for phase, posterior in study.posteriors.items():
        reference = reference_labels(
            labels, info.case, phase, structures=info.structures, geometry=info.geometry
        )
        if reference is not None:
            found[phase] = wrong_voxels(posterior.prediction, reference, info.geometry.spacing)
    return found


def _unlabelled(study: Study, wrong: Mapping[Phase, WrongVoxels]) -> list[str]:
    without = [phase for phase in study.posteriors if phase not in wrong]
    if not without:
        return []
    if not wrong:
        return [f"{study.info.case} has no labels and was left out."]
    listed = ", ".join(map(str, without))
    return [f"{study.info.case} has no labels of the phases {listed}, which were left out."]


def _judge(study: Study, wrong: Mapping[Phase, WrongVoxels], patient: str) -> _Judged:
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
    return _Judged(patient=patient, wrong=wrong, queues=queues)


def _fallbacks(study: Study) -> list[str]:
    sentences = (usable_score(study.posteriors.values(), name)[1] for name in REVIEW_SCORES)
    return [f"{study.info.case}: {sentence}" for sentence in sentences if sentence]


def _results(judged: Sequence[_Judged], errors: Errors) -> Iterator[OrderResult]:
    """All orders, the best possible first."""
    reviews = [study.review(errors) for study in judged]

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
    for name, leaves_out_border in judged[0].queues:
        by_score = [study.review(errors, study.queues[name, leaves_out_border]) for study in judged]
        yield result(name, queue_yield(by_score), leaves_out_border=leaves_out_border)
    yield result(SLICES, pooled(in_slice_order))
    yield result(RANDOM, random)


def _total(judged: Sequence[_Judged], errors: Errors) -> int:
    counts: list[NDArray[np.float64]] = [study.review(errors).errors for study in judged]
    return int(sum(count.sum() for count in counts))
