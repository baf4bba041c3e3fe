"""Evaluation of whole reviews by a simulated reader."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.heart.function import MYOCARDIUM_G_PER_ML, ejection_fraction
from ...core.heart.slice_volumes import base_is_first, is_basal, label_volumes
from ...core.metrics.bootstrap import Estimate, case_weights, mean_estimate
from ...core.metrics.overlap import dice
from ...core.review.queue import DEFAULT_SCORE, review_queue, slice_scores, usable_score
from ...core.review.queue_yield import SHARE
from ...core.review.simulated_reader import QUICK, SimulatedReader, SliceReading, Tool
from ...core.review.stop_rule import (
    ReferencedVolume,
    numbers_during_review,
    queue_places,
    urgent_places,
)
from ...io.dataset.patients import DEFAULT_PATIENT
from .evaluate import EvaluationProgress
from .queue import SLICES
from .referenced_studies import ReferencedStudies, ReferencedStudy
from .stopping import TARGETS, ReadPatient, StopResult, evaluate_stopping

QUEUE, MOST_FIRST = "queue", "most errors first"
ORDERS: Final = (QUEUE, SLICES, MOST_FIRST)
ACTIONS: Final = (0, 5, 10, 15, 20, 30, 40, 60, 80, 120)
"""Actions per patient after which the review is measured."""
REVIEWED_NUMBERS: Final[Mapping[str, str]] = {
    "LV EF": "points",
    "LV EDV": "mL",
    "LV ESV": "mL",
    "LV mass": "g",
    "RV EF": "points",
}
"""Numbers of a patient, and the unit of their errors."""
FIRST_TOOLS: Final = (Tool.ALTERNATIVE, Tool.LEVEL)
"""Quick tools of 0.1.0."""

_Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewCurves:
    """Curves of all reviews in one order, each an estimate for every entry of `ACTIONS`.

    ``gross_left`` is the share of all gross errors, 0 … 1, ``dice`` the mean over volumes and
    structures, ``errors`` the mean absolute error of each of the `REVIEWED_NUMBERS`.
    """

    order: str
    gross_left: tuple[Estimate, ...]
    dice: tuple[Estimate, ...]
    errors: Mapping[str, tuple[Estimate, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ToolUse:
    """Use of a tool in the order of the queue.

    ``corrections`` and ``actions`` count its use, ``removed`` the gross errors it removed.
    ``alone`` is the share of all gross errors that it removes by one action in each of the first
    30 % of the slices, None for a tool that takes more than one.
    """

    tool: Tool
    corrections: int
    actions: int
    removed: int
    alone: Estimate | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ReaderEvaluation:
    """Results of the simulated reader.

    ``one_action`` is the share of all gross errors removed by one action of any quick tool in each
    of the first 30 % of the slices of every patient, ``one_action_first`` the same with the
    `FIRST_TOOLS`. ``actions`` is the mean number of actions for a whole review of a patient.
    ``stopping`` tells whether a review may end early.
    """

    curves: tuple[ReviewCurves, ...]
    tools: tuple[ToolUse, ...]
    one_action: Estimate
    one_action_first: Estimate
    actions: Estimate
    patients: int
    volumes: int
    slices: int
    gross: int
    notes: tuple[str, ...]
    stopping: tuple[StopResult, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Volume:
    """Volume of a patient: its reader, its reference, and the scores of its slices."""

    make_reader: Callable[[], SimulatedReader]
    spacing: tuple[float, float, float]
    structures: Mapping[str, int]
    scores: Mapping[str, _Values]
    referenced: ReferencedVolume


@dataclass
class _State:
    """Measurements of one patient after some actions."""

    actions: int
    gross: int
    dice: float
    errors: dict[str, float]
    numbers: dict[str, float]


@dataclass
class _Review:
    """Review of one patient in one order."""

    states: list[_State] = field(default_factory=list)
    readings: list[SliceReading] = field(default_factory=list)

    def at(self, actions: int) -> _State:
        """Return the state after the last slice that was finished within ``actions``."""
        return [state for state in self.states if state.actions <= actions][-1]


def evaluate_reader(
    studies: Path, labels: Path, *, patient: str = DEFAULT_PATIENT
) -> Generator[EvaluationProgress, None, ReaderEvaluation]:
    """Yield each patient, and return what a simulated reader reaches after its actions.

    All volumes of a patient, such as ED and ES, are reviewed together. The volume with the largest
    LV in the reference is taken as ED, that with the smallest as ES. `ReferencedStudies` describes
    the arguments, what is left out and what is refused. Patients are resampled for the intervals.
    """
    known = ReferencedStudies(studies, labels, patient=patient)
    names: list[str] = []
    reviews: dict[str, list[_Review]] = {order: [] for order in ORDERS}
    first: list[_FirstSlices] = []
    read: list[ReadPatient] = []
    count = 0
    for name, of_patient in groupby(known, key=lambda referenced: referenced.patient):
        volumes = [volume for referenced in of_patient for volume in _volumes(referenced)]
        for order in ORDERS:
            reviews[order].append(_review(volumes, order))
        first.append(_one_action(volumes))
        read += _stopped(name, volumes, reviews[QUEUE][-1])
        names.append(name)
        count += len(volumes)
        yield EvaluationProgress(done=len(names), total=known.patient_count, case=name)
    return ReaderEvaluation(
        curves=tuple(_curves(order, reviews[order], names) for order in ORDERS),
        tools=tuple(_tool_use(tool, reviews[QUEUE], first, names) for tool in Tool),
        one_action=_removed_share(first, QUICK, names),
        one_action_first=_removed_share(first, FIRST_TOOLS, names),
        actions=mean_estimate([r.states[-1].actions for r in reviews[QUEUE]], names),
        patients=len(names),
        volumes=count,
        slices=sum(len(review.readings) for review in reviews[QUEUE]),
        gross=sum(review.states[0].gross for review in reviews[QUEUE]),
        notes=known.notes,
        stopping=tuple(evaluate_stopping(read)),
    )


def _stopped(name: str, volumes: Sequence[_Volume], review: _Review) -> Iterator[ReadPatient]:
    """Yield a patient with exactly ED and ES, and its numbers in the order of the queue."""
    if len(volumes) != 2:
        return
    readers = [volume.make_reader() for volume in volumes]
    both = {n: volume.referenced for n, volume in enumerate(volumes)}
    sizes = [float(volume.reference.get("LV", np.zeros(1)).sum()) for volume in both.values()]
    ed, es = (0, 1) if sizes[0] >= sizes[1] else (1, 0)
    places = queue_places(both)
    first = [base_is_first(reader.labels) for reader in readers]
    basal = [
        place
        for place in urgent_places(places)
        if is_basal(readers[place[0] or 0].labels, place[1], base_first=first[place[0] or 0])
    ]
    yield ReadPatient(
        patient=name,
        numbers=numbers_during_review(both, ed=ed, es=es),
        with_tools={
            number: np.array([state.numbers.get(number, math.nan) for state in review.states])
            for number in TARGETS
        },
        basal=max((places.index(place) + 1 for place in basal), default=0),
    )


def _volumes(referenced: ReferencedStudy) -> Iterator[_Volume]:
    info, posteriors = referenced.study.info, referenced.study.posteriors
    score, _ = usable_score(posteriors.values(), DEFAULT_SCORE)
    for phase, reference in referenced.references.items():
        posterior, spacing = posteriors[phase], info.geometry.spacing
        yield _Volume(
            make_reader=partial(
                SimulatedReader,
                posterior,
                np.asarray(reference.labels, np.uint8),
                spacing=spacing,
                structures=info.structures,
            ),
            spacing=spacing,
            structures=info.structures,
            scores=slice_scores(posterior, info.structures, spacing, score=score),
            referenced=ReferencedVolume.compare(
                posterior, reference.labels, spacing, info.structures
            ),
        )


def _review(volumes: Sequence[_Volume], order: str) -> _Review:
    """Return the review of all slices of a patient."""
    readers = [volume.make_reader() for volume in volumes]
    review = _Review()
    measure = _Measurer(volumes, readers)
    actions = 0
    review.states.append(measure.state(actions))
    for number, z in _order(volumes, readers, order):
        reading = readers[number].read(z)
        actions += reading.cost
        review.readings.append(reading)
        review.states.append(measure.state(actions, changed=number))
    return review


def _order(
    volumes: Sequence[_Volume], readers: Sequence[SimulatedReader], order: str
) -> list[tuple[int, int]]:
    """Return (number of the volume, slice) of all slices in an order."""
    all_slices = [(n, z) for n, reader in enumerate(readers) for z in range(len(reader.labels))]
    if order == SLICES:
        return all_slices
    if order == MOST_FIRST:
        return sorted(all_slices, key=lambda place: -readers[place[0]].gross(place[1]))
    items = review_queue({number: volume.scores for number, volume in enumerate(volumes)})
    queued = [(int(item.phase or 0), item.z) for item in items]
    return [*queued, *sorted(set(all_slices).difference(queued))]


class _Measurer:
    """Measurements of a patient's corrected labels: Dice, gross errors and numbers."""

    def __init__(self, volumes: Sequence[_Volume], readers: Sequence[SimulatedReader]) -> None:
        self._volumes, self._readers = volumes, readers
        self._totals = [self._measure(number) for number in range(len(volumes))]
        references = [
            label_volumes(reader.reference, volume.spacing, volume.structures)
            for volume, reader in zip(volumes, readers, strict=True)
        ]
        self._true: list[dict[str, float]] = [
            {name: float(v.sum()) for name, v in ref.items()} for ref in references
        ]
        with_lv = [n for n, ref in enumerate(self._true) if ref.get("LV", 0) > 0]
        self._ed = max(with_lv, key=lambda n: self._true[n]["LV"], default=None)
        self._es = min(with_lv, key=lambda n: self._true[n]["LV"], default=None)

    def state(self, actions: int, *, changed: int | None = None) -> _State:
        """Return the measurements, of which only those of the volume ``changed`` are repeated."""
        if changed is not None:
            self._totals[changed] = self._measure(changed)
        now, true = self._numbers([t[2] for t in self._totals]), self._numbers(self._true)
        return _State(
            actions=actions,
            gross=sum(total[0] for total in self._totals),
            dice=_mean([total[1] for total in self._totals]),
            numbers=now,
            errors={
                name: abs(now[name] - true[name]) if name in now and name in true else math.nan
                for name in REVIEWED_NUMBERS
            },
        )

    def _measure(self, number: int) -> tuple[int, float, dict[str, float]]:
        volume, reader = self._volumes[number], self._readers[number]
        overlap = dice(reader.labels, reader.reference, volume.structures)
        sizes = label_volumes(reader.labels, volume.spacing, volume.structures)
        return (
            sum(reader.gross(z) for z in range(len(reader.labels))),
            _mean(overlap.values()),
            {name: float(values.sum()) for name, values in sizes.items()},
        )

    def _numbers(self, sizes: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Return the `REVIEWED_NUMBERS` that the patient's volumes (structure → mL) allow."""
        numbers: dict[str, float] = {}
        if self._ed is None or self._es is None or self._ed == self._es:
            return numbers
        ed, es = sizes[self._ed], sizes[self._es]
        for side in ("LV", "RV"):
            if side in ed and side in es:
                edv, esv = np.array([ed[side]]), np.array([es[side]])
                numbers[f"{side} EDV"], numbers[f"{side} ESV"] = ed[side], es[side]
                numbers[f"{side} EF"] = float(ejection_fraction(edv, esv)[0])
        if "MYO" in ed:
            numbers["LV mass"] = ed["MYO"] * MYOCARDIUM_G_PER_ML
        return numbers


def _mean(values: Iterable[float]) -> float:
    """Return the mean without NaN; NaN if nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class _FirstSlices:
    """Gross errors of one patient: all of them, and those left by one action of each tool.

    ``before`` (S,) and ``left`` (S,) of each quick tool are in the order of the queue.
    """

    before: _Values
    left: Mapping[Tool, _Values]

    def removed(self, tools: Sequence[Tool]) -> float:
        """Return the errors removed in the first slices; a part of a slice counts in proportion."""
        left = np.min([self.left[tool] for tool in tools], axis=0)
        cumulative = np.concatenate([[0.0], np.cumsum(self.before - left)])
        return float(np.interp(SHARE, np.linspace(0, 1, len(cumulative)), cumulative))


def _one_action(volumes: Sequence[_Volume]) -> _FirstSlices:
    readers = [volume.make_reader() for volume in volumes]
    places = _order(volumes, readers, QUEUE)
    left = [readers[number].left_after_one(z) for number, z in places]
    return _FirstSlices(
        before=np.array([readers[number].gross(z) for number, z in places], np.float64),
        left={tool: np.array([errors[tool] for errors in left], np.float64) for tool in QUICK},
    )


def _removed_share(
    patients: Sequence[_FirstSlices], tools: Sequence[Tool], names: Sequence[str]
) -> Estimate:
    removed = np.array([patient.removed(tools) for patient in patients])
    return _ratio(removed, np.array([patient.before.sum() for patient in patients]), names)


def _ratio(part: _Values, whole: _Values, names: Sequence[str]) -> Estimate:
    """Return the pooled share of (n,) parts of (n,) wholes, for resampled patients."""
    weights = case_weights(names, resamples=2000, seed=2022)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(np.divide(part.sum(), whole.sum()))
        return Estimate(value, np.asarray((weights @ part) / (weights @ whole), np.float64))


def _curves(order: str, reviews: Sequence[_Review], names: Sequence[str]) -> ReviewCurves:
    states = [[review.at(actions) for review in reviews] for actions in ACTIONS]
    first = np.array([review.states[0].gross for review in reviews], np.float64)
    return ReviewCurves(
        order=order,
        gross_left=tuple(
            _ratio(np.array([s.gross for s in at], np.float64), first, names) for at in states
        ),
        dice=tuple(mean_estimate([s.dice for s in at], names) for at in states),
        errors={
            name: tuple(mean_estimate([s.errors[name] for s in at], names) for at in states)
            for name in REVIEWED_NUMBERS
        },
    )


def _tool_use(
    tool: Tool,
    reviews: Sequence[_Review],
    first: Sequence[_FirstSlices],
    names: Sequence[str],
) -> ToolUse:
    corrections = [
        correction
        for review in reviews
        for reading in review.readings
        for correction in reading.corrections
        if correction.tool == tool
    ]
    return ToolUse(
        tool=tool,
        corrections=len(corrections),
        actions=sum(correction.cost for correction in corrections),
        removed=sum(correction.removed for correction in corrections),
        alone=_removed_share(first, (tool,), names) if tool in QUICK else None,
    )
