"""The report of a review, an HTML page."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.counts import format_count
from ...core.durations import duration_text
from ...core.heart.function import Measured
from ...core.heart.structures import structure_colors, structure_title
from ...core.heart.volume_curve import VolumeCurve
from ...core.review.progress import ReviewProgress
from ...io.study.case_report import worst_failure
from ...io.study.info import StudyInfo
from ...io.study.review_state import Decision, ReviewState
from ...io.study.usage_log import UseSummary
from ..report.html import Tile, render_page
from ..report.pictures import crop_around, curve_picture, slice_picture
from ..segmentation.methods import METHODS
from .accepted_slices import AcceptedSlices
from .report_numbers import format_large, format_number, interval_level, number_rows
from .walls import WALL_TITLES, Walls

_KEY_FIGURES: Final = ("LV EF", "RV EF", "LV volume", "RV volume", "LV mass")


@dataclass(frozen=True, kw_only=True, eq=False)
class CorrectedSlice:
    """A slice ``z`` (from 0) whose labels were changed; all arrays (Y, X)."""

    phase: int | None
    z: int
    image: NDArray[Any]
    before: NDArray[np.integer]
    after: NDArray[np.integer]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewOutcome:
    """Outcome of the review of one image.

    ``before`` are the numbers of the prediction with nothing reviewed, ``after`` those of the
    edited labels, and ``open_slices`` how many slices of the phases of each are still to accept.
    ``walls`` are the segments of the wall. ``rules`` are sentences on papillary muscles and normal
    ranges. ``changes`` says how the labels differ from the prediction, "" if they do not, and
    ``corrected`` is None if the image is not available. ``patient`` says whose heart it is, ""
    unless the reader wants that.
    """

    info: StudyInfo
    state: ReviewState
    before: Mapping[str, Measured]
    after: Mapping[str, Measured]
    rules: Sequence[str]
    made: datetime
    walls: Walls = field(default_factory=Walls)
    open_slices: Mapping[str, int] = field(default_factory=dict)
    curves: Sequence[VolumeCurve] = ()
    accepted: AcceptedSlices = field(default_factory=AcceptedSlices)
    progress: ReviewProgress | None = None
    changes: str = ""
    corrected: Sequence[CorrectedSlice] | None = ()
    use: UseSummary | None = None
    warnings: Sequence[str] = ()
    patient: str = ""

    def phase_title(self, phase: int | None) -> str:
        """Return a title such as "Phase 8 (ES)"; "" for a 3D image."""
        if phase is None:
            return ""
        ed, es = self.state.ed, self.state.es
        role = " (ED)" if phase == ed else " (ES)" if phase == es else ""
        return f"Phase {phase}{role}"

    def place(self, phase: int | None, z: int) -> str:
        """Return a title such as "Phase 8 (ES), slice 3"."""
        title = self.phase_title(phase)
        return f"{title}, slice {z + 1}" if title else f"Slice {z + 1}"


def report_page(review: ReviewOutcome) -> str:
    """Return the report as an HTML document."""
    colors = structure_colors(review.info.structures)
    return render_page(
        "review.html.j2",
        review=review,
        facts=list_facts(review),
        warnings=list(list_warnings(review)),
        tiles=list(_tiles(review)),
        draft=review.accepted.state if review.accepted.still_open else "",
        level=interval_level(review.after.values()),
        numbers=number_rows(review.before, review.after, review.open_slices),
        curve=_curve(review),
        bullseyes={title: review.walls.draw(name) for name, title in WALL_TITLES.items()},
        changes=review.changes,
        slices=list(_corrected(review, colors)),
        colors={
            structure_title(name): colors[label]
            for name, label in review.info.structures.items()
            if label in colors
        },
        decisions=list(_decisions(review)),
        usage=list(_usage(review.use)),
        origin=_origin(review),
    )


def list_facts(review: ReviewOutcome) -> list[str]:
    """Return when and by whom the image was read, and which phases are ED and ES.

    They begin with the pseudonym if the patient is the heading.
    """
    info, state = review.info, review.state
    roles = (("ED", state.ed), ("ES", state.es))
    phases = [f"{name} is phase {phase}" for name, phase in roles if phase is not None]
    joined = [f"phase {n} is {case}" for n, case in enumerate(info.phase_cases, start=1)]
    named = [info.case] if review.patient else []
    read = [f"read by {state.reader}"] if state.reader else []
    if state.finished and state.finished_on:
        early = " early" if review.accepted.still_open else ""
        read.append(f"finished{early} {state.finished_on[:16].replace('T', ' ')}")
    return [*named, f"{review.made:%Y-%m-%d %H:%M}", *read, *phases, *joined]


def list_warnings(review: ReviewOutcome) -> Iterator[str]:
    """Yield the warnings of the review, then those of its phases."""
    # Those of phases are named with their phase below.
    phases = {s for report in review.info.reports.values() for s in report.get("warnings", ())}
    yield from (s for s in dict.fromkeys(review.warnings) if s not in phases)
    for phase, report in review.info.reports.items():
        title = review.phase_title(phase)
        for sentence in dict.fromkeys(report.get("warnings", ())):
            yield f"{title}: {sentence}" if title else sentence


def _tiles(review: ReviewOutcome) -> Iterator[Tile]:
    for name in [name for name in _KEY_FIGURES if name in review.after][:3]:
        value, unit = format_large(review.after[name], review.open_slices.get(name))
        before = review.before.get(name)
        yield Tile(name, value, unit, f"prediction {format_number(before)}" if before else "")
    progress = review.progress
    if progress is not None:
        accepted = review.accepted
        # Rounded down, so that 100 % means all of it.
        share = f"{math.floor(100 * progress.uncertain_share)} % of uncertain volume"
        yield Tile("Slices accepted", f"{accepted.accepted}", f"of {accepted.total}", share)


def _curve(review: ReviewOutcome) -> dict[str, Any] | None:
    curves = [curve for curve in review.curves if len(curve.phases) > 1]
    if not curves:
        return None
    return {
        "png": curve_picture(curves, ed=review.state.ed, es=review.state.es),
        "structures": [curve.structure for curve in curves],
    }


def _corrected(review: ReviewOutcome, colors: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Yield the picture and the caption's values of each corrected slice."""
    if not review.corrected:
        return
    # One box for all slices gives the pictures the same scale and aligned rows.
    drawn = [(part.before > 0) | (part.after > 0) for part in review.corrected]
    geometry = review.info.geometry
    box = crop_around(np.any(drawn, axis=0), geometry.spacing[1:])
    for part in review.corrected:
        png = slice_picture(
            part.image,
            part.before,
            part.after,
            spacing=geometry.spacing[1:],
            colors=colors,
            box=box,
            letters=geometry.reliable_letters,
        )
        yield {
            "png": png,
            "place": review.place(part.phase, part.z),
            "decision": review.state.decisions.get((part.phase, part.z)),
            "changed": np.count_nonzero(part.before != part.after),
        }


def list_decisions(review: ReviewOutcome) -> list[str]:
    """Return the decisions in words, such as "Phase 8 (ES), slice 3: flagged. Apex unclear"."""
    return [
        f"{place}: {decision.state}{f'. {decision.comment}' if decision.comment else ''}"
        for place, decision in _decisions(review)
    ]


def _decisions(review: ReviewOutcome) -> Iterator[tuple[str, Decision]]:
    """Yield the title of each slice with a decision, in the order of phases and slices."""
    decisions = review.state.decisions
    for phase, z in sorted(decisions, key=lambda place: (place[0] or 0, place[1])):
        yield review.place(phase, z), decisions[phase, z]


def _usage(use: UseSummary | None) -> Iterator[str]:
    if use is None or not use.slices:
        return
    yield (
        f"{format_count(use.slices, 'slice')} viewed in {duration_text(use.seconds)} "
        f"({duration_text(use.seconds_per_slice)} per slice)."
    )


_ORIGIN: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "Ensemble": lambda report: str(report.get("ensemble", "")),
    "Kind": lambda report: str(report.get("ensemble_kind", "")),
    "Method": lambda report: _method(report.get("method", "")),
    "Members": lambda report: str(len(report.get("members", ())) or ""),
    "Mirroring": lambda report: str(report.get("mirroring", "")),
    "Window": lambda report: str(report.get("window", "")),
    "Temperature": lambda report: _temperature(report.get("temperature", 1)),
    "Failure score": lambda report: _failure(report),
}


def _method(name: str) -> str:
    return f"{METHODS[name].title} ({name})" if name in METHODS else name


def _temperature(value: Any) -> str:
    return "" if value == 1 else f"{value:g}"


def _failure(report: Mapping[str, Any]) -> str:
    entry = worst_failure([report])
    return "" if entry is None else f"{entry.score:.1f} (warning above {entry.threshold:.1f})"


def _origin(review: ReviewOutcome) -> dict[str, str]:
    """Return how the prediction was made; a value that differs between phases names its phases."""
    lines = {}
    for title, of_report in _ORIGIN.items():
        values: dict[str, list[str]] = defaultdict(list)
        for phase, report in review.info.reports.items():
            values[of_report(report)].append(review.phase_title(phase))
        # A report without this entry says nothing.
        values.pop("", None)
        written = [
            value if len(values) == 1 else f"{value} ({', '.join(phases)})"
            for value, phases in values.items()
        ]
        if written:
            lines[title] = "; ".join(written)
    return lines
