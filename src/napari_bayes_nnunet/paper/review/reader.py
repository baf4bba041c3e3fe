"""Evaluation of whole reviews by a simulated reader, and its report."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...app.evaluation.evaluate import EvaluationProgress
from ...core.counts import format_count
from ...core.heart.function import MYOCARDIUM_G_PER_ML, ejection_fraction
from ...core.heart.slice_volumes import base_is_first, is_basal, label_volumes
from ...core.metrics.bootstrap import Estimate, case_weights, mean_estimate
from ...core.metrics.overlap import dice
from ...core.review.queue import review_queue
from ...core.review.queue_yield import SHARE
from ...core.review.stop_rule import (
    ReferencedVolume,
    numbers_during_review,
    queue_places,
    urgent_places,
)
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.files.csv_text import csv_text
from .queue import SLICES
from .referenced_studies import ReferencedStudies, ReferencedStudy
from .simulated_reader import QUICK, SimulatedReader, SliceReading, Tool
from .stopping import (
    TARGETS,
    IntervalResult,
    ReadPatient,
    StopResult,
    evaluate_intervals,
    evaluate_stopping,
)
from .study_reports import (
    bounded,
    bounded_values,
    check_report,
    percent_text,
    share_text,
    write_report,
)

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
ERRORS: Final = {name: f"{name} error, {unit}" for name, unit in REVIEWED_NUMBERS.items()}
"""Column of the error of each number."""
NO_TOOLS: Final[tuple[Tool, ...]] = ()

_Values: TypeAlias = NDArray[np.float64]
_FirstSlices: TypeAlias = dict[tuple[Tool, ...], float]


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
    of the first 30 % of the slices of every patient. ``actions`` is the mean number of actions for
    a whole review of a patient.
    ``stopping`` tells whether a review may end early, ``intervals`` whether numbers lie in theirs.
    ``curves`` has for every order and column an estimate for each entry of `ACTIONS`:
    ``gross_left`` is a share of all gross errors, 0 … 1, ``dice`` the mean over volumes and
    structures, and those of `ERRORS` are mean absolute errors.
    """

    curves: Mapping[str, Mapping[str, tuple[Estimate, ...]]]
    tools: tuple[ToolUse, ...]
    one_action: Estimate
    actions: Estimate
    patients: int
    volumes: int
    slices: int
    gross: int
    notes: tuple[str, ...]
    stopping: tuple[StopResult, ...] = ()
    intervals: tuple[IntervalResult, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Volume:
    """Volume of a patient: its reader, its reference, and the scores of its slices."""

    make_reader: Callable[[], SimulatedReader]
    spacing: tuple[float, float, float]
    structures: Mapping[str, int]
    referenced: ReferencedVolume

    @property
    def true_sizes(self) -> dict[str, float]:
        """Volume of each structure in the reference, mL."""
        return {name: float(slices.sum()) for name, slices in self.referenced.reference.items()}


ReaderState: TypeAlias = dict[str, float]
"""Numbers of a patient after some ``actions``: ``gross`` errors, ``dice``, `ERRORS` and numbers."""


@dataclass
class _Review:
    """Review of one patient in one order."""

    states: list[ReaderState] = field(default_factory=list)
    readings: list[SliceReading] = field(default_factory=list)

    def at(self, actions: int) -> ReaderState:
        """Return the state after the last slice that was finished within ``actions``."""
        return [state for state in self.states if state["actions"] <= actions][-1]


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
    # The studies of a patient follow each other, see `ReferencedStudies`.
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
        curves={order: _curves(reviews[order], names) for order in ORDERS},
        tools=tuple(_tool_use(reviews[QUEUE], first, names)),
        one_action=_removed_share(first, QUICK, names),
        actions=mean_estimate([r.states[-1]["actions"] for r in reviews[QUEUE]], names),
        patients=len(names),
        volumes=count,
        slices=sum(len(review.readings) for review in reviews[QUEUE]),
        gross=int(sum(review.states[0]["gross"] for review in reviews[QUEUE])),
        notes=known.notes,
        stopping=tuple(evaluate_stopping(read)),
        intervals=tuple(evaluate_intervals(read)),
    )


def _stopped(name: str, volumes: Sequence[_Volume], review: _Review) -> Iterator[ReadPatient]:
    """Yield a patient with exactly ED and ES, and its numbers in the order of the queue."""
    if len(volumes) != 2:
        return
    readers = [volume.make_reader() for volume in volumes]
    both = {n: volume.referenced for n, volume in enumerate(volumes)}
    sizes = [volume.true_sizes.get("LV", 0.0) for volume in volumes]
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
            number: np.array([state.get(number, math.nan) for state in review.states])
            for number in TARGETS
        },
        basal=max((places.index(place) + 1 for place in basal), default=0),
    )


def _volumes(referenced: ReferencedStudy) -> Iterator[_Volume]:
    info, posteriors = referenced.study.info, referenced.study.posteriors
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
            referenced=ReferencedVolume.compare(
                posterior, reference.labels, spacing, info.structures
            ),
        )


def _review(volumes: Sequence[_Volume], order: str) -> _Review:
    """Return the review of all slices of a patient."""
    # New ones for each order, because a reader corrects labels of its own.
    readers = [volume.make_reader() for volume in volumes]
    measured = [*map(_measure, volumes, readers)]
    true = [volume.true_sizes for volume in volumes]
    ends = _ends(true)
    review = _Review(states=[_state(0, measured, true, ends)])
    actions = 0
    for number, z in _order(volumes, readers, order):
        reading = readers[number].read(z)
        actions += reading.cost
        measured[number] = _measure(volumes[number], readers[number])
        review.readings.append(reading)
        review.states.append(_state(actions, measured, true, ends))
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
    items = review_queue(
        {number: volume.referenced.scores for number, volume in enumerate(volumes)}
    )
    queued = [(int(item.phase or 0), item.z) for item in items]
    # Slices without a score are not in the queue, but the reader accepts them, too.
    return [*queued, *sorted(set(all_slices).difference(queued))]


class _Measured(NamedTuple):
    """Corrected labels of a volume: gross errors, mean Dice, and volumes of structures, mL."""

    gross: int
    dice: float
    sizes: dict[str, float]


def _measure(volume: _Volume, reader: SimulatedReader) -> _Measured:
    overlap = dice(reader.labels, reader.reference, volume.structures)
    sizes = label_volumes(reader.labels, volume.spacing, volume.structures)
    return _Measured(
        gross=sum(reader.gross(z) for z in range(len(reader.labels))),
        dice=_mean(overlap.values()),
        sizes={name: float(slices.sum()) for name, slices in sizes.items()},
    )


def _state(
    actions: int,
    measured: Sequence[_Measured],
    true_sizes: Sequence[Mapping[str, float]],
    ends: tuple[int, int] | None,
) -> ReaderState:
    now, true = (
        _numbers(sizes, ends) for sizes in ([volume.sizes for volume in measured], true_sizes)
    )
    return {
        "actions": actions,
        "gross": sum(volume.gross for volume in measured),
        "dice": _mean([volume.dice for volume in measured]),
        **now,
        **{
            column: abs(now.get(name, math.nan) - true.get(name, math.nan))
            for name, column in ERRORS.items()
        },
    }


def _ends(sizes: Sequence[Mapping[str, float]]) -> tuple[int, int] | None:
    """Return ED and ES, the volumes with the largest and smallest LV; None for fewer than two."""
    with_lv = {n: size["LV"] for n, size in enumerate(sizes) if size.get("LV", 0) > 0}
    # Without an LV both are −1, and so equal.
    ed, es = (choose(with_lv, key=with_lv.__getitem__, default=-1) for choose in (max, min))
    return None if ed == es else (ed, es)


def _numbers(sizes: Sequence[Mapping[str, float]], ends: tuple[int, int] | None) -> ReaderState:
    """Return the `REVIEWED_NUMBERS` that the patient's volumes (structure → mL) allow."""
    numbers: ReaderState = {}
    if ends is None:
        return numbers
    ed, es = (sizes[number] for number in ends)
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


def _one_action(volumes: Sequence[_Volume]) -> _FirstSlices:
    """Return the errors removed by one action of any of some tools in each of the first slices.

    A part of a slice counts in proportion. `NO_TOOLS` has all errors.
    """
    readers = [volume.make_reader() for volume in volumes]
    places = _order(volumes, readers, QUEUE)
    before = np.array([readers[number].gross(z) for number, z in places], np.float64)
    left = [readers[number].left_after_one(z) for number, z in places]
    removed = {NO_TOOLS: float(before.sum())}
    for tools in (QUICK, *((tool,) for tool in QUICK)):
        # In each slice the reader takes the tool that leaves the fewest errors.
        least = np.array([min(errors[tool] for tool in tools) for errors in left], np.float64)
        cumulative = np.concatenate([[0.0], np.cumsum(before - least)])
        position = np.linspace(0, 1, len(cumulative))
        removed[tools] = float(np.interp(SHARE, position, cumulative))
    return removed


def _removed_share(
    patients: Sequence[_FirstSlices], tools: tuple[Tool, ...], names: Sequence[str]
) -> Estimate:
    part, whole = (np.array([removed[key] for removed in patients]) for key in (tools, NO_TOOLS))
    return _ratio(part, whole, names)


def _ratio(part: _Values, whole: _Values, names: Sequence[str]) -> Estimate:
    """Return the pooled share of (n,) parts of (n,) wholes, for resampled patients."""
    weights = case_weights(names)
    # A resample may have only patients without errors.
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(np.divide(part.sum(), whole.sum()))
        return Estimate(value, np.asarray((weights @ part) / (weights @ whole), np.float64))


def _curves(reviews: Sequence[_Review], names: Sequence[str]) -> dict[str, tuple[Estimate, ...]]:
    def series(column: str) -> list[_Values]:
        states = ([review.at(actions) for review in reviews] for actions in ACTIONS)
        return [np.array([state[column] for state in at], np.float64) for at in states]

    gross = series("gross")
    means = {
        column: tuple(mean_estimate(values, names) for values in series(column))
        for column in ("dice", *ERRORS.values())
    }
    return {"gross_left": tuple(_ratio(left, gross[0], names) for left in gross), **means}


def _tool_use(
    reviews: Sequence[_Review], first: Sequence[_FirstSlices], names: Sequence[str]
) -> Iterator[ToolUse]:
    """Yield the use of each tool in the reviews."""
    every = [c for review in reviews for reading in review.readings for c in reading.corrections]
    for tool in Tool:
        corrections = [correction for correction in every if correction.tool == tool]
        yield ToolUse(
            tool=tool,
            corrections=len(corrections),
            actions=sum(correction.cost for correction in corrections),
            removed=sum(correction.removed for correction in corrections),
            alone=_removed_share(first, (tool,), names) if tool in QUICK else None,
        )


ORACLE: Final = (
    "The reader is simulated and knows the reference, so this is what the tools allow, not what "
    "readers do."
)
_TABLES: Final = (".csv", "_tools.csv", "_stop.csv", "_intervals.csv")
_STYLES: Final[dict[str, dict[str, Any]]] = {
    QUEUE: {"color": "#0072b2", "linewidth": 2.4},
    SLICES: {"color": "grey", "linestyle": ":", "linewidth": 1.6},
    MOST_FIRST: {"color": "black", "linewidth": 1.2},
}
_TITLES: Final = {
    QUEUE: "Order of the queue",
    SLICES: "Slice by slice",
    MOST_FIRST: "Most gross errors first",
}


def check_reader_report(report: Path) -> None:
    """Raise AppError, before long work, if the report cannot be written or replaces other files."""
    begins = ("order,actions", "tool,corrections", "number,target", "number,slices")
    check_report(report, dict(zip(_TABLES, begins, strict=True)))


def write_reader_report(evaluation: ReaderEvaluation, report: Path) -> tuple[Path, ...]:
    """Write ``report``.csv, its tables _tools, _stop and _intervals, and its figure; return them.

    ``report`` may end in .csv or .png. Raises AppError if the files cannot be written.
    """
    makers = curves_csv, tools_csv, stop_csv, intervals_csv
    texts = [make(evaluation) for make in makers]
    return write_report(report, dict(zip(_TABLES, texts, strict=True)), partial(_draw, evaluation))


def curves_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each order and number of actions per patient.

    ``gross_left`` is a share of all gross errors, Dice a fraction, errors are mean absolute ones in
    the unit of their heading. ``_low`` and ``_high`` bound the 95 % interval over patients.
    """
    rows: list[Sequence[Any]] = [
        ("order", "actions", *bounded(("gross_left", "dice", *ERRORS.values())))
    ]
    for order, curves in evaluation.curves.items():
        for actions, *estimates in zip(ACTIONS, *curves.values(), strict=True):
            rows.append((order, actions, *bounded_values(estimates)))
    return csv_text(rows)


def tools_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each tool, used in the order of the queue.

    ``one_action`` is the share of all gross errors that the tool alone removes by one action in
    each of the first 30 % of the slices; empty for a tool that takes more than one.
    """
    rows: list[Sequence[Any]] = [
        ("tool", "corrections", "actions", "gross_removed", *bounded(["one_action"]))
    ]
    for use in evaluation.tools:
        shares = ("",) * 3 if use.alone is None else bounded_values([use.alone])
        rows.append((use.tool.value, use.corrections, use.actions, use.removed, *shares))
    return csv_text(rows)


def stop_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each number, target, level and reader of the stop rule.

    The rule was fitted on the other patients. ``slices`` are the mean ones until it said stop, of
    ``of_slices`` in the queue; ``covered`` of ``patients`` changed by no more than the ``target``
    later, and none by more than ``largest``.
    """
    means = {"slices": ".2f", "of_slices": ".2f"}
    return _results_csv(StopResult._fields, evaluation.stopping, means)


def intervals_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each number, count of accepted slices and level.

    The rule was fitted on the other patients; ``held`` of ``patients`` had their number after all
    slices in the interval, ``low`` and ``high`` bound this share. ``half_width`` is the mean one.
    """
    return _results_csv(IntervalResult._fields, evaluation.intervals)


def _results_csv(
    columns: Sequence[str], results: Iterable[tuple[Any, ...]], formats: Mapping[str, str] = {}
) -> str:
    rows = [
        [
            f"{v:{formats.get(c, '.3f')}}" if isinstance(v, float) else v
            for c, v in zip(columns, r, strict=True)
        ]
        for r in results
    ]
    return csv_text([columns, *rows])


def reader_text(evaluation: ReaderEvaluation) -> str:
    """Return the extent of the evaluation and its main results."""
    lines = [
        f"{format_count(evaluation.patients, 'patient')}, "
        f"{format_count(evaluation.volumes, 'volume')}, "
        f"{format_count(evaluation.slices, 'slice')}, "
        f"{format_count(evaluation.gross, 'gross error')} (more than 3 mm from the reference "
        "contour).",
        ORACLE,
        f"A whole review takes {evaluation.actions.value:.0f} actions per patient.",
    ]
    if evaluation.gross:
        lines += _shares_of_errors(evaluation)
    # Those of the first target of the LV EF: two levels and two readers.
    lines += map(_stop_line, evaluation.stopping[:4])
    return "\n".join([*lines, *evaluation.notes])


def _stop_line(result: StopResult) -> str:
    """Return what the rule gave for a target and a reader."""
    low, high = map(percent_text, (result.low, result.high))
    return (
        f"{result.number} to ± {result.target:g} in {result.level} % (reader who {result.reader}): "
        f"{result.slices:.1f} of {result.of_slices:.1f} slices, then within the target in "
        f"{result.covered} of {result.patients} patients ({low} to {high})."
    )


def _shares_of_errors(evaluation: ReaderEvaluation) -> list[str]:
    """Return the gross errors left by one action in the first slices, and by more actions."""
    queue = evaluation.curves[QUEUE]
    lines = [
        f"One action in each of the first {percent_text(SHARE)} of the slices removes "
        f"{share_text(evaluation.one_action)} of the gross errors.",
    ]
    for actions in (20, 40):
        n = ACTIONS.index(actions)
        left = (
            f"After {actions} actions in the order of the queue, "
            f"{percent_text(queue['gross_left'][n].value)} of the gross errors are left"
        )
        before, now = (queue[ERRORS["LV EF"]][number].value for number in (0, n))
        wrong = f", and the LV EF is wrong by {now:.1f} points (before: {before:.1f})"
        lines.append(f"{left}{'' if math.isnan(now) else wrong}.")  # without ED and ES no EF
    return lines


def _draw(evaluation: ReaderEvaluation, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = gross, dice, ejection = figure.subplots(1, 3)
    for order, curves in evaluation.curves.items():
        for panel, column in zip(panels, ("gross_left", "dice", ERRORS["LV EF"]), strict=True):
            factor = 100 if panel is gross else 1
            values = [factor * estimate.value for estimate in curves[column]]
            panel.plot(ACTIONS, values, label=_TITLES[order], marker=".", **_STYLES[order])
    gross.set(title="Gross errors left, %", ylim=(0, 101))
    dice.set(title="Mean Dice")
    ejection.set(title="Mean absolute error of the LV EF, points")
    ejection.set_ylim(bottom=0)
    for panel in panels:
        panel.set(xlabel="actions per patient", xlim=(0, ACTIONS[-1]))
    figure.legend(*gross.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=120)
