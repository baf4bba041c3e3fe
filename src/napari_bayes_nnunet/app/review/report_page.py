"""The report of a review, an HTML page."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from ...core.counts import format_count
from ...core.durations import duration_text
from ...core.heart.structures import structure_colors, structure_title
from ...core.types import Place
from ...io.study.case_report import worst_failure
from ...io.study.review_state import Decision
from ...io.study.usage_log import UNCERTAIN_ABOVE, UseSummary
from ..report.html import Tile, render_page
from ..report.pictures import crop_around, curve_picture, slice_picture
from ..segmentation.methods import METHODS
from .outcome import LabelChanges, ReviewOutcome
from .report_numbers import format_number, format_with_spread, number_rows

_KEY_FIGURES: Final = ("LV EF", "RV EF", "LV volume", "RV volume", "LV mass")


def report_page(review: ReviewOutcome) -> str:
    """Return the report as an HTML document."""
    colors = structure_colors(review.structures)
    return render_page(
        "review.html.j2",
        review=review,
        facts=_facts(review),
        warnings=list(_warnings(review)),
        tiles=list(_tiles(review)),
        numbers=number_rows(review.before, review.after, review.open_slices),
        curve=_curve(review),
        changes=_changes(review.changes),
        slices=list(_corrected(review, colors)),
        colors={
            structure_title(name): colors[label]
            for name, label in review.structures.items()
            if label in colors
        },
        decisions=[
            (review.place(*place), decision)
            for place, decision in sorted(review.decisions.items(), key=_in_order)
        ],
        usage=list(_usage(review.use)),
        origin=_origin(review),
    )


def _facts(review: ReviewOutcome) -> list[str]:
    roles = (("ED", review.ed), ("ES", review.es))
    phases = [f"{name} is phase {phase}" for name, phase in roles if phase is not None]
    joined = [f"phase {n} is {case}" for n, case in enumerate(review.phase_cases, start=1)]
    return [f"{review.made:%Y-%m-%d %H:%M}", *phases, *joined]


def _warnings(review: ReviewOutcome) -> Iterator[str]:
    phases = {s for report in review.predictions.values() for s in report.get("warnings", ())}
    yield from (s for s in dict.fromkeys(review.warnings) if s not in phases)
    for phase, report in review.predictions.items():
        title = review.phase_title(phase)
        for sentence in dict.fromkeys(report.get("warnings", ())):
            yield f"{title}: {sentence}" if title else sentence


def _tiles(review: ReviewOutcome) -> Iterator[Tile]:
    for name in [name for name in _KEY_FIGURES if name in review.after][:3]:
        value, unit = format_with_spread(review.after[name], review.open_slices.get(name))
        before = review.before.get(name)
        yield Tile(name, value, unit, f"prediction {format_number(before)}" if before else "")
    progress = review.progress
    if progress is not None:
        share = f"{math.floor(100 * progress.uncertain_share)} % of uncertain volume"
        yield Tile("Slices accepted", f"{progress.done}", f"of {progress.total}", share)


def _curve(review: ReviewOutcome) -> dict[str, Any] | None:
    curves = [curve for curve in review.curves if len(curve.phases) > 1]
    if not curves:
        return None
    return {
        "png": curve_picture(curves, ed=review.ed, es=review.es),
        "structures": [curve.structure for curve in curves],
        "has_spread": any(math.isfinite(spread) for curve in curves for spread in curve.spreads),
    }


def _changes(changes: LabelChanges) -> str:
    """Return what differs from the prediction in the labels as they are now, "" for nothing."""
    if not changes.voxels:
        return ""
    share = 100 * changes.uncertain / changes.voxels
    return (
        f"Changed since the prediction: {format_count(changes.voxels, 'voxel')} in "
        f"{format_count(changes.slices, 'slice')}, {share:.0f} % of them where the members were "
        f"uncertain (entropy above {UNCERTAIN_ABOVE:g} bit)."
    )


def _corrected(review: ReviewOutcome, colors: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Yield the picture and the caption's values of each corrected slice."""
    if not review.corrected:
        return
    # One box for all slices gives the pictures the same scale and aligned rows.
    drawn = [(part.before > 0) | (part.after > 0) for part in review.corrected]
    box = crop_around(np.any(drawn, axis=0), review.spacing[1:])
    for part in review.corrected:
        png = slice_picture(
            part.image,
            part.before,
            part.after,
            spacing=review.spacing[1:],
            colors=colors,
            box=box,
            letters=review.letters,
        )
        yield {
            "png": png,
            "place": review.place(part.phase, part.z),
            "decision": review.decisions.get((part.phase, part.z)),
            "changed": np.count_nonzero(part.before != part.after),
        }


def _in_order(item: tuple[Place, Decision]) -> tuple[int, int]:
    (phase, z), _ = item
    return phase or 0, z


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
        for phase, report in review.predictions.items():
            values[of_report(report)].append(review.phase_title(phase))
        values.pop("", None)
        written = [
            value if len(values) == 1 else f"{value} ({', '.join(phases)})"
            for value, phases in values.items()
        ]
        if written:
            lines[title] = "; ".join(written)
    return lines
