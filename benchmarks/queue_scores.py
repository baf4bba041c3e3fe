"""Scores of slices that were tried for the review queue, chosen inside folds and judged outside.

python -m benchmarks.queue_scores STUDIES LABELS [--together]

STUDIES and LABELS are those of `evaluate-queue`. Each family of scores has one to three parameters.
For every patient they are chosen on all other patients (the value that finds the most gross errors
in the first 30 % of the slices; the weights of the regression by its likelihood), and judged on
this patient. `--together` puts all volumes of a patient, such as ED and ES, into one queue.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from napari_bayes_nnunet.core.editing.presence import presence
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.slice_volumes import base_is_first
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, case_weights
from napari_bayes_nnunet.core.metrics.border import far_from_contours
from napari_bayes_nnunet.core.metrics.detection import gross_errors
from napari_bayes_nnunet.core.review.queue import DEFAULT_SCORE, REVIEW_SCORES, slice_scores
from napari_bayes_nnunet.core.review.queue_yield import SHARE
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.evaluation.references import reference_labels
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.io.study.summary import list_studies

from .command_line import studies_parser
from .markdown import markdown_table

HEADS = ("score", "gross errors found", "of the best possible", "minus the default, points",
         "chosen most often")  # fmt: skip
PRIORS = (1.0, 1.5, 2.0, 3.0)
FLOOR = 10.0
"""Added to areas (mm²) and scores (mm²·bit) before their logarithm."""

Values = NDArray[np.float64]
Features = Mapping[str, Values]
Score = Callable[[Features], Values]


@dataclass(frozen=True, kw_only=True, eq=False)
class Queue:
    """Slices of one queue: its patient, the (S,) gross errors and the (S,) features."""

    patient: str
    errors: Values
    features: Features


def main() -> None:
    """Print a table with a row for each score and each family."""
    parser = studies_parser(__doc__)
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    queues = list(read_queues(options.studies, options.labels))
    if options.together:
        queues = list(joined(queues))
    evaluation = Evaluation(queues)
    print(f"{len(queues)} queues of {len(evaluation.patients)} patients\n")
    print(markdown_table(HEADS, evaluation.rows()))


def read_queues(studies: Path, labels: Path) -> Iterator[Queue]:
    """Yield the queue of each volume with a reference; structures without one do not count."""
    for summary in sorted(list_studies(studies), key=lambda summary: summary.case):
        study = read_study(summary.folder)
        info, spacing = study.info, study.info.geometry.spacing
        for phase, posterior in study.posteriors.items():
            reference = reference_labels(
                *(labels, info.case, phase),
                structures=info.structures,
                geometry=info.geometry,
                only_known=True,
            )
            if reference is None:
                continue
            known = reference.structures
            truth = only(np.asarray(reference.labels, np.uint8), known)
            errors = gross_errors(only(posterior.prediction, known), truth, spacing)
            yield Queue(
                patient=patient_of(info.case),
                errors=errors.sum(axis=(1, 2)).astype(np.float64),
                features=features(posterior, known, spacing),
            )


def joined(queues: Sequence[Queue]) -> Iterator[Queue]:
    """Yield one queue for each patient."""
    for patient in dict.fromkeys(queue.patient for queue in queues):
        own = [queue for queue in queues if queue.patient == patient]
        yield Queue(
            patient=patient,
            errors=np.concatenate([queue.errors for queue in own]),
            features={
                name: np.concatenate([queue.features[name] for queue in own])
                for name in own[0].features
            },
        )


def only(labels: NDArray[np.uint8], structures: Mapping[str, int]) -> NDArray[np.uint8]:
    """Return labels without those of other structures."""
    return np.where(np.isin(labels, list(structures.values())), labels, 0).astype(np.uint8)


def features(
    posterior: StoredPosterior, structures: Mapping[str, int], spacing: Spacing
) -> Features:
    """Return name → (Z,) feature of each slice: all scores, and what the families add."""
    found = {}
    for name in REVIEW_SCORES:
        scores = slice_scores(posterior, structures, spacing, score=name)
        found[name] = np.sum(list(scores.values()), axis=0)
    members = [only(posterior.member(n), structures) for n in range(posterior.count)]
    prediction, mm2 = only(posterior.prediction, structures), spacing[1] * spacing[2]
    found["gross-if-member"] = mm2 * gross_between(members, members, spacing)
    found["gross-of-prediction"] = mm2 * gross_between([prediction], members, spacing)
    found["presence"] = np.zeros(len(prediction))
    found["base-area"], found["apex-area"] = np.zeros((2, len(prediction)))
    for label in structures.values():
        seen = presence(posterior, label)
        areas = mm2 * np.count_nonzero(np.equal(members, label), axis=(2, 3)).sum(axis=0)
        found["presence"] += (1 - seen) * areas / len(members)
        area = mm2 * np.count_nonzero(prediction == label, axis=(1, 2))
        base, apex = end_slices(posterior.prediction, np.flatnonzero(area))
        found["base-area"] += base @ area
        found["apex-area"] += apex @ area
    found["basal"], found["apical"] = thirds(posterior.prediction)
    return found


def gross_between(
    predictions: Sequence[NDArray[np.uint8]], truths: Sequence[NDArray[np.uint8]], spacing: Spacing
) -> Values:
    """Return the (Z,) mean number of gross errors if each of ``truths`` were the reference."""
    counts = []
    for truth in truths:
        far = far_from_contours(truth, spacing)
        counts += [(far & (p != truth)).sum(axis=(1, 2)) for p in predictions if p is not truth]
    return np.mean(counts, axis=0)


def end_slices(labels: NDArray[np.uint8], having: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return (2, Z, Z) matrices: area of a structure → area at stake at its base and its apex.

    The outermost slice of the structure and the slice beyond it have the area of the outermost one.
    Half of both ends counts if the order of the slices is unknown. ``having`` (k,) are the slices.
    """
    first, last = np.zeros((2, len(labels), len(labels)))
    if len(having):
        low, high = int(having[0]), int(having[-1])
        first[max(0, low - 1) : low + 1, low] = 1
        last[high : high + 2, high] = 1
    return by_end(first, last, base_first=base_is_first(labels))


def thirds(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (2, Z): 1 in the basal and in the apical third of the heart and beyond, else 0."""
    heart, z = np.flatnonzero(labels.any(axis=(1, 2))), np.arange(len(labels))
    if not len(heart):
        return np.zeros((2, len(labels)))
    low, high = heart[0], heart[-1]
    third = (high - low + 1) / 3
    first, last = (z < low + third).astype(float), (z > high - third).astype(float)
    return by_end(first, last, base_first=base_is_first(labels))


def by_end(first: Values, last: Values, *, base_first: bool | None) -> Values:
    """Return (base, apex) from what holds for the first and the last slices."""
    if base_first is None:
        return np.stack([(first + last) / 2] * 2)
    return np.stack([first, last] if base_first else [last, first])


def prior(score: Score, basal: float, apical: float) -> Score:
    """Return a score times factors in the basal and the apical third."""
    return lambda f: score(f) * basal ** f["basal"] * apical ** f["apical"]


def blend(share: float) -> Score:
    """Return the geometric mean of the default score and the gross errors between members."""
    return lambda f: (
        (f[DEFAULT_SCORE] + 1e-6) ** (1 - share) * (f["gross-if-member"] + 1e-6) ** share
    )


def plus(score: Score, name: str, weight: float) -> Score:
    """Return a score plus a weighted feature."""
    return lambda f: score(f) + weight * f[name]


def families() -> dict[str, dict[str, Score]]:
    """Return family → parameters in words → score."""
    weights, shares = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0), (0.0, 0.25, 0.5, 0.75, 1.0)
    default: Score = lambda f: f[DEFAULT_SCORE]  # noqa: E731
    return {
        "prior for base and apex": {
            f"base × {b:g}, apex × {a:g}": prior(default, b, a)
            for b, a in itertools.product(PRIORS, PRIORS)
        },
        "area at the ends": {
            f"base {b:g}, apex {a:g}": plus(plus(default, "base-area", b), "apex-area", a)
            for b, a in itertools.product((0.0, 0.05, 0.1, 0.2, 0.5), repeat=2)
        },
        "presence": {f"weight {w:g}": plus(default, "presence", w) for w in weights},
        "expected gross errors": {
            f"weight {w:g}": plus(default, "gross-errors", w) for w in (*weights, 4.0)
        },
        "gross errors between members, product": {f"share {s:g}": blend(s) for s in shares},
        "gross errors between members, sum": {
            f"weight {w:g}": plus(default, "gross-if-member", w) for w in (*weights, 4.0)
        },
        "blend, presence and prior": {
            f"share {s:g}, presence {w:g}, base × {b:g}": prior(plus(blend(s), "presence", w), b, 1)
            for s, w, b in itertools.product(shares, (0.0, 0.5, 1.0, 2.0), PRIORS)
        },
    }


class Evaluation:
    """Gross errors of all queues, and what orders find of them, per patient."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._queues = queues
        self.patients = sorted({queue.patient for queue in queues})
        self._owner = np.array([self.patients.index(queue.patient) for queue in queues])
        self._total = self._by_patient([queue.errors.sum() for queue in queues])
        self._best = self._by_patient([found_early(q.errors, q.errors) for q in queues])
        self._default = self.found(lambda f: f[DEFAULT_SCORE])
        self._weights = case_weights(self.patients, resamples=2000, seed=2022)

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yield a row for each score without parameters, then for each family."""
        for name in (*REVIEW_SCORES, "gross-if-member", "gross-of-prediction", "presence"):
            yield self._row(name, self.found(lambda f, name=name: f[name]))
        for name, scores in families().items():
            held_out, chosen = self._nested(scores)
            yield self._row(f"family: {name}", held_out, chosen)
        yield self._row("family: regression", *self._regression())

    def found(self, score: Score) -> Values:
        """Return the (P,) gross errors of each patient found in the first 30 % of the slices."""
        return self._by_patient([found_early(q.errors, score(q.features)) for q in self._queues])

    def _by_patient(self, values: Sequence[float]) -> Values:
        return np.bincount(self._owner, values, len(self.patients))

    def _nested(self, scores: Mapping[str, Score]) -> tuple[Values, str]:
        """Return what is found in each patient by the score chosen on all others."""
        names = list(scores)
        found = np.array([self.found(score) for score in scores.values()])
        chosen = (found.sum(axis=1, keepdims=True) - found).argmax(axis=0)
        often, folds = Counter(names[n] for n in chosen).most_common(1)[0]
        return found[chosen, np.arange(len(chosen))], f"{often} ({folds} of {len(chosen)} folds)"

    def _regression(self) -> tuple[Values, str]:
        """Return what a regression on the features finds, fitted on all other patients."""
        found, weights = np.zeros(len(self.patients)), []
        for patient in range(len(self.patients)):
            others = [q for q, owner in zip(self._queues, self._owner, strict=True)
                      if owner != patient]  # fmt: skip
            weights.append(fitted_weights(others))
            score = lambda f: design(f) @ weights[-1]  # noqa: E731
            found[patient] = self.found(score)[patient]
        return found, "weights " + ", ".join(f"{w:.2f}" for w in np.mean(weights, axis=0))

    def _row(self, name: str, found: Values, chosen: str = "") -> tuple[object, ...]:
        best = self._best
        return (
            name,
            worded(self._ratio(found, self._total), "{:.0f}"),
            worded(self._ratio(found, best), "{:.0f}"),
            worded(self._ratio(found - self._default, best), "{:+.1f}"),
            chosen,
        )

    def _ratio(self, numerator: Values, denominator: Values) -> Estimate:
        """Return the pooled ratio in percent, with its values for resampled patients."""
        resampled = (self._weights @ numerator) / (self._weights @ denominator)
        return Estimate(100 * numerator.sum() / denominator.sum(), 100 * resampled)


def found_early(errors: Values, score: Values) -> float:
    """Return the errors in the first 30 % of the slices; a part of a slice counts in proportion."""
    cumulative = np.concatenate([[0.0], np.cumsum(errors[np.argsort(-score, kind="stable")])])
    return float(np.interp(SHARE, np.linspace(0, 1, len(cumulative)), cumulative))


def design(f: Features) -> NDArray[np.float64]:
    """Return the (S, 5) columns of the regression."""
    logs = [np.log(f[n] + FLOOR) for n in (DEFAULT_SCORE, "gross-if-member", "presence")]
    return np.stack([*logs, f["basal"], f["apical"]], axis=1)


def fitted_weights(queues: Sequence[Queue]) -> Values:
    """Return the (5,) weights by which the slices of a queue share its errors (softmax).

    Queues count with the square root of their errors, and a ridge of one queue pulls the weights
    towards the default score.
    """
    used = [queue for queue in queues if queue.errors.any()]
    columns = [design(queue.features) for queue in used]
    shares = [queue.errors / queue.errors.sum() for queue in used]
    counts = np.sqrt([queue.errors.sum() for queue in used])
    start = np.array([1.0, 0, 0, 0, 0])

    def loss(w: Values) -> float:
        total = 0.0
        for x, share, count in zip(columns, shares, counts, strict=True):
            total -= count * share @ (x @ w - np.logaddexp.reduce(x @ w))
        return float(total / counts.sum() + ((w - start) ** 2).sum() / (2 * len(used)))

    return np.asarray(minimize(loss, start).x)


def worded(estimate: Estimate, form: str) -> str:
    """Return a value and its 95 % interval over patients."""
    low, high = (form.format(end) for end in estimate.interval)
    return f"{form.format(estimate.value)} ({low} to {high})"


if __name__ == "__main__":
    main()
