"""Evaluation of the review queue of every score against reference labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from ...core.metrics.bootstrap import Estimate
from ...core.review.queue import REVIEW_SCORES, QueueItem, review_queue, slice_scores, usable_score
from ...core.review.queue_yield import (
    QueueYield,
    ReviewedSlices,
    WrongVoxels,
    in_best_order,
    in_random_order,
    queue_yield,
    wrong_voxels,
)
from ...core.types import Phase
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.study.study import Study
from .referenced_studies import ReferencedStudies

Errors = Literal["gross", "all"]
KINDS: Final[tuple[Errors, ...]] = ("gross", "all")
BEST, SLICES, RANDOM = "best possible", "slice order", "random"


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderResult:
    """Errors of one kind found in one order of the slices.

    ``order`` names a score, or is BEST, SLICES or RANDOM. ``times_random`` and ``of_best`` are
    ratios of the errors found in the first 30 % of the slices.
    """

    errors: Errors
    order: str
    leaves_out_border: bool
    queue_yield: QueueYield
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
class _QueuedStudy:
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
        order = [*queued, *sorted(set(index.values()).difference(queued))]
        return ReviewedSlices(
            patient=self.patient,
            errors=np.concatenate(list(counts.values())),
            order=np.array(order, dtype=np.intp),
        )


def evaluate_queue(
    studies: Path, labels: Path, *, patient: str = DEFAULT_PATIENT
) -> QueueEvaluation:
    """Return the wrong voxels found when the studies in a folder are reviewed by every score.

    `ReferencedStudies` describes the arguments, what is left out and what is refused. Patients are
    resampled for the intervals.
    """
    known = ReferencedStudies(studies, labels, patient=patient)
    evaluated, notes = [], []
    for referenced in known:
        study, spacing = referenced.study, referenced.study.info.geometry.spacing
        wrong = {
            phase: wrong_voxels(study.posteriors[phase].prediction, reference.labels, spacing)
            for phase, reference in referenced.references.items()
        }
        queues = _queues(study, list(wrong))
        evaluated.append(_QueuedStudy(patient=referenced.patient, wrong=wrong, queues=queues))
        sentences = (usable_score(study.posteriors.values(), name)[1] for name in REVIEW_SCORES)
        notes += [f"{study.info.case}: {sentence}" for sentence in sentences if sentence]
    return QueueEvaluation(
        results=tuple(result for kind in KINDS for result in _results(evaluated, kind)),
        studies=len(evaluated),
        patients=len({study.patient for study in evaluated}),
        slices=sum(len(wrong.all) for study in evaluated for wrong in study.wrong.values()),
        errors={
            kind: int(sum(study.review(kind).errors.sum() for study in evaluated)) for kind in KINDS
        },
        notes=tuple(dict.fromkeys((*known.notes, *notes))),
    )


def _queues(
    study: Study, phases: Sequence[Phase]
) -> Mapping[tuple[str, bool], Sequence[QueueItem]]:
    """Return the queue of every score, with and without the border of the heart."""
    posteriors = {phase: study.posteriors[phase] for phase in phases}
    structures, spacing = study.info.structures, study.info.geometry.spacing
    queues = {}
    for name in REVIEW_SCORES:
        score, _ = usable_score(posteriors.values(), name)
        for border in (False, True):
            scores = {
                phase: slice_scores(
                    posterior, structures, spacing, score=score, leave_out_border=border
                )
                for phase, posterior in posteriors.items()
            }
            queues[name, border] = review_queue(scores)
    return queues


def _results(studies: Sequence[_QueuedStudy], errors: Errors) -> Iterator[OrderResult]:
    """Yield the results of all orders, the best possible first."""
    reviews = [study.review(errors) for study in studies]
    orders = {(BEST, False): [in_best_order(review) for review in reviews]}
    for key in studies[0].queues:
        orders[key] = [study.review(errors, study.queues[key]) for study in studies]
    orders[SLICES, False] = reviews
    orders[RANDOM, False] = [in_random_order(review) for review in reviews]
    yields = {key: queue_yield(ordered) for key, ordered in orders.items()}
    best, random = (yields[order, False].at_share for order in (BEST, RANDOM))
    for (order, border), found in yields.items():
        yield OrderResult(
            errors=errors,
            order=order,
            leaves_out_border=border,
            queue_yield=found,
            times_random=found.at_share.relative_to(random),
            of_best=found.at_share.relative_to(best),
        )
