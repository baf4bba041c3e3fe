"""Evaluation of the review queue of every score against reference labels, and its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.counts import format_count
from ...core.metrics.bootstrap import Estimate
from ...core.review.queue import (
    DEFAULT_SCORE,
    REVIEW_SCORES,
    QueueItem,
    review_queue,
    slice_scores,
    usable_score,
)
from ...core.review.queue_yield import (
    SHARE,
    QueueYield,
    ReviewedSlices,
    in_best_order,
    in_random_order,
    queue_yield,
    wrong_voxels,
)
from ...core.types import Phase
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.files.csv_text import csv_text
from ...io.study.study import Study
from .referenced_studies import ReferencedStudies
from .study_reports import (
    bounded,
    bounded_values,
    check_report,
    percent_text,
    share_text,
    write_report,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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

    def find_result(self, errors: Errors, order: str) -> OrderResult:
        """Return the result of one order, with the border counted."""
        wanted = (errors, order, False)
        return next(r for r in self.results if (r.errors, r.order, r.leaves_out_border) == wanted)


@dataclass(frozen=True, kw_only=True, eq=False)
class _QueuedStudy:
    """A study with a reference: `wrong_voxels` of each phase, and the queue of every score."""

    patient: str
    wrong: Mapping[Phase, Mapping[str, NDArray[np.float64]]]
    queues: Mapping[tuple[str, bool], Sequence[QueueItem]]

    def review(self, errors: Errors, queue: Sequence[QueueItem] = ()) -> ReviewedSlices:
        """Return the slices in the queue, then all others."""
        counts = {phase: wrong[errors] for phase, wrong in self.wrong.items()}
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
        slices=sum(len(wrong["all"]) for study in evaluated for wrong in study.wrong.values()),
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
        # A single member has only the entropy.
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


_TITLES: Final[dict[Errors, str]] = {
    "gross": "Gross errors (more than 3 mm from the contour)",
    "all": "All wrong voxels",
}
_FIRST_COLUMNS: Final = ("errors", "order", "title", "border")
STYLES: Final[dict[str, dict[str, Any]]] = {
    BEST: {"color": "black", "linestyle": "-", "linewidth": 1.2},
    "gross-errors": {"color": "#d55e00"},
    "mutual-information": {"color": "#0072b2"},
    "disagreement": {"color": "#009e73"},
    "area-spread": {"color": "#56b4e9"},
    "entropy": {"color": "#cc79a7"},
    SLICES: {"color": "grey", "linestyle": ":", "linewidth": 1.5},
    RANDOM: {"color": "grey", "linestyle": "--", "linewidth": 1.2},
}
"""Lines of the figure, in colours for colour-blind readers (Okabe and Ito)."""


def check_queue_report(report: Path) -> None:
    """Raise AppError, before long work, if the report cannot be written or replaces other files."""
    check_report(report, {".csv": ",".join(_FIRST_COLUMNS)})


def write_queue_report(evaluation: QueueEvaluation, report: Path) -> tuple[Path, ...]:
    """Write the table ``report``.csv and the figure ``report``.png, and return both.

    ``report`` may end in .csv or .png. Raises AppError if the files cannot be written.
    """
    return write_report(report, {".csv": report_csv(evaluation)}, partial(_draw, evaluation))


def report_csv(evaluation: QueueEvaluation) -> str:
    """Return a row for each order: errors found at 30 % of the slices, the curve and its area.

    Shares are fractions; ``_low`` and ``_high`` bound the 95 % interval over patients.
    """
    numbers = ("found_at_30_percent", "times_random", "of_best_possible", "area_under_curve")
    steps = range(0, 101, 10)
    rows = [[*_FIRST_COLUMNS, *bounded(numbers), *(f"found_at_{step}" for step in steps)]]
    for result in evaluation.results:
        found = result.queue_yield
        estimates = (found.at_share, result.times_random, result.of_best, found.area)
        border = "left out" if result.leaves_out_border else "counted"
        curve = (f"{found.curve[step]:.4f}" for step in steps)
        start = result.errors, result.order, result.title, border
        rows.append([*start, *bounded_values(estimates), *curve])
    return csv_text(rows)


def queue_text(evaluation: QueueEvaluation) -> str:
    """Return the extent of the evaluation and the errors found by the default score."""
    lines = [
        f"{format_count(evaluation.studies, 'study', 'studies')} of "
        f"{format_count(evaluation.patients, 'patient')}, "
        f"{format_count(evaluation.slices, 'slice')}, {evaluation.errors['all']} wrong voxels, "
        f"{evaluation.errors['gross']} of them gross (more than 3 mm from the reference contour)."
    ]
    for kind in filter(evaluation.errors.get, KINDS):
        default = evaluation.find_result(kind, DEFAULT_SCORE)
        best = evaluation.find_result(kind, BEST)
        lines.append(
            f"{_TITLES[kind]} in the first {percent_text(SHARE)} of the slices by "
            f"“{default.title}”: {share_text(default.queue_yield.at_share)}. Best possible: "
            f"{percent_text(best.queue_yield.at_share.value)}. Random order: {percent_text(SHARE)}."
        )
    return "\n".join([*lines, *evaluation.notes])


def _draw(evaluation: QueueEvaluation, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, kind in zip(panels, KINDS, strict=True):
        _draw_panel(panel, [r for r in evaluation.results if r.errors == kind], _TITLES[kind])
    panels[0].set_ylabel("errors found, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(file, dpi=120)


def _draw_panel(panel: Axes, results: list[OrderResult], title: str) -> None:
    for result in results:
        # Twice as many curves could not be told apart; the table has them.
        if result.leaves_out_border:
            continue
        is_default = result.order == DEFAULT_SCORE
        style = {"linewidth": 2.6 if is_default else 1.3, **STYLES.get(result.order, {})}
        curve = 100 * result.queue_yield.curve
        percent = np.linspace(0, 100, len(curve))
        panel.plot(percent, curve, label=result.title, zorder=3 if is_default else 2, **style)
    panel.axvline(100 * SHARE, color="lightgrey", linewidth=1, zorder=1)
    panel.set(title=title, xlabel="slices reviewed, % of each study", xlim=(0, 100), ylim=(0, 101))
