"""The parts of a review's report, from its heading to the ensemble that was used."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from ...core.heart.structures import structure_colors, structure_title
from ...core.types import Place
from ...io.study.review_state import Decision
from ...io.study.usage_log import UseSummary
from ..report.html import RESEARCH_USE, Html, bullets, page, picture, section, tag
from ..report.pictures import CropBox, around, curve_picture, slice_picture
from ..segmentation.methods import METHODS
from .outcome import CorrectedSlice, ReviewOutcome
from .report_numbers import number, numbers_table, with_spread

NO_INTERVAL: Final = (
    "± is the spread of the models: the standard deviation over the members of the ensemble, after "
    "the review only of what was not reviewed. The spread of the models is not a clinical "
    "confidence interval: models that agree can be wrong together."
)
NO_PICTURES: Final = "The image was not at hand, so there are no pictures of the corrected slices."
_KEY_FIGURES: Final = ("LV EF", "RV EF", "LV volume", "RV volume", "LV mass")


def report_page(review: ReviewOutcome) -> str:
    """The report as an HTML document."""
    parts = (
        *_heading(review),
        _numbers(review),
        *_curve(review),
        *_corrected(review),
        *_decisions(review),
        *_use(review.use),
        *_origin(review),
    )
    return page(f"{review.name}: reviewed segmentation", parts)


def _heading(review: ReviewOutcome) -> Iterator[Html]:
    roles = (("ED", review.ed), ("ES", review.es))
    facts = [f"{review.made:%Y-%m-%d %H:%M}"]
    facts += [f"{name} is phase {phase}" for name, phase in roles if phase is not None]
    yield tag("p", "Cardiac MRI, reviewed segmentation", class_="kind")
    yield tag("h1", review.name)
    yield tag("p", " · ".join(facts), class_="muted")
    yield tag("p", RESEARCH_USE, class_="use")
    warnings = list(_warnings(review))
    if warnings:
        yield tag("div", tag("b", "Warnings"), bullets(warnings), class_="warnings")
    yield tag("div", *_tiles(review), class_="tiles")


def _warnings(review: ReviewOutcome) -> Iterator[str]:
    of_phases = {s for report in review.predictions.values() for s in report.get("warnings", ())}
    yield from (s for s in dict.fromkeys(review.warnings) if s not in of_phases)
    for phase, report in review.predictions.items():
        title = review.phase_title(phase)
        for sentence in dict.fromkeys(report.get("warnings", ())):
            yield f"{title}: {sentence}" if title else sentence


def _tiles(review: ReviewOutcome) -> Iterator[Html]:
    for name in [name for name in _KEY_FIGURES if name in review.after][:3]:
        after, before = review.after[name], review.before.get(name)
        value, unit = with_spread(after)
        yield _tile(name, value, unit, f"prediction {number(before)}" if before else "")
    progress = review.progress
    if progress is not None:
        share = f"{math.floor(100 * progress.uncertain_share)} % of uncertain volume"
        yield _tile("Slices reviewed", f"{progress.done}", f"of {progress.total}", share)


def _tile(label: str, value: str, unit: str, below: str) -> Html:
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", value, tag("small", f" {unit}"), class_="value"),
        tag("div", below, class_="below"),
        class_="tile",
    )


def _numbers(review: ReviewOutcome) -> Html:
    if not review.before and not review.after:
        return section("Numbers", tag("p", "No ventricle was found: nothing could be measured."))
    notes = (NO_INTERVAL, review.papillary)
    table = numbers_table(review.before, review.after)
    return section("Numbers", table, bullets(notes, class_="notes"))


def _curve(review: ReviewOutcome) -> Iterator[Html]:
    curves = [curve for curve in review.curves if len(curve.phases) > 1]
    if not curves:
        return
    png = curve_picture(curves, ed=review.ed, es=review.es)
    sides = " and ".join(curve.structure for curve in curves)
    words = f"Volume of {sides} in each phase after the review"
    known = any(math.isfinite(spread) for curve in curves for spread in curve.spreads)
    caption = f"{words}; the band is the spread of the models (± one SD)." if known else f"{words}."
    yield section("Volume over the heart cycle", _figure(png, words, caption))


def _figure(png: bytes, description: str, *caption: str) -> Html:
    return tag("figure", picture(png, description), tag("figcaption", *caption))


def _corrected(review: ReviewOutcome) -> Iterator[Html]:
    if not review.corrected:
        why = NO_PICTURES if review.corrected is None else "No slice was changed."
        yield section("Corrected slices", tag("p", why))
        return
    colors = structure_colors(review.structures)
    # One box for all, so that they are of one scale and stand in rows.
    drawn = [(part.before > 0) | (part.after > 0) for part in review.corrected]
    box = around(np.any(drawn, axis=0), review.spacing[1:])
    figures = (_corrected_slice(review, part, colors, box) for part in review.corrected)
    legend = _legend(review.structures, colors)
    yield section("Corrected slices", legend, tag("div", *figures, class_="slices"))


def _legend(structures: Mapping[str, int], colors: Mapping[int, str]) -> Html:
    entries = [
        tag("span", tag("i", style=f"background:{colors[label]}"), structure_title(name))
        for name, label in structures.items()
        if label in colors
    ]
    before = tag("span", tag("i", class_="dotted"), "prediction, where it was changed")
    return tag("div", *entries, before, class_="legend")


def _corrected_slice(
    review: ReviewOutcome, part: CorrectedSlice, colors: Mapping[int, str], box: CropBox
) -> Html:
    png = slice_picture(
        part.image,
        part.before,
        part.after,
        spacing=review.spacing[1:],
        colors=colors,
        box=box,
        letters=review.letters,
    )
    place = review.place(part.phase, part.z)
    decision = review.decisions.get((part.phase, part.z))
    state, comment = (decision.state, decision.comment) if decision else ("", "")
    caption: list[str] = [tag("b", place), " · "]
    if state:
        caption += [tag("span", state, class_=_emphasis(state)), " · "]
    caption.append(f"{np.count_nonzero(part.before != part.after):,} voxels changed")
    if comment:
        caption.append(tag("span", comment, class_="comment"))
    return _figure(png, f"{place}: outlines of the prediction and after the review", *caption)


def _emphasis(state: str) -> str:
    return "flagged" if state == "flagged" else ""


def _decisions(review: ReviewOutcome) -> Iterator[Html]:
    if not review.decisions:
        return
    head = (tag("th", title) for title in ("Slice", "Decision", "Comment"))
    rows = (
        tag(
            "tr",
            tag("td", review.place(phase, z), class_="place"),
            tag("td", decision.state, class_=_emphasis(decision.state)),
            tag("td", decision.comment, class_="comment"),
        )
        for (phase, z), decision in sorted(review.decisions.items(), key=_in_order)
    )
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))
    yield section("Decisions and comments", table)


def _in_order(item: tuple[Place, Decision]) -> tuple[int, int]:
    (phase, z), _ = item
    return phase or 0, z


def _use(use: UseSummary | None) -> Iterator[Html]:
    if use is None or not use.slices:
        return
    sentences = [
        f"{_slices(use.slices)} looked at in {_duration(use.seconds)}, "
        f"{_duration(use.seconds_per_slice)} a slice; {use.corrected} of them corrected."
    ]
    if use.changed:
        thresholds = " or ".join(f"{bits:g}" for bits in use.thresholds)
        sentences.append(
            f"{100 * use.inside_share:.0f} % of the {use.changed:,} changed voxels were where the "
            f"models were uncertain (entropy above {thresholds} bit)."
        )
        tools = ", ".join(f"{tool or 'other'} {count:,}" for tool, count in use.tools.items())
        sentences.append(f"Voxels changed by tool: {tools}.")
    yield section("Log of use", bullets(sentences))


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


_ORIGIN: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "Ensemble": lambda report: str(report.get("ensemble", "")),
    "Kind": lambda report: str(report.get("ensemble_kind", "")),
    "Method": lambda report: _method(report.get("method", "")),
    "Members": lambda report: str(len(report.get("members", ())) or ""),
    "Mirroring": lambda report: str(report.get("mirroring", "")),
    "Temperature": lambda report: _temperature(report.get("temperature", 1)),
}


def _method(name: str) -> str:
    return f"{METHODS[name].title} ({name})" if name in METHODS else name


def _temperature(value: Any) -> str:
    return "" if value == 1 else f"{value:g}"


def _origin(review: ReviewOutcome) -> Iterator[Html]:
    """How the prediction was made; what differs between phases is told of each."""
    lines = []
    for title, of_report in _ORIGIN.items():
        values: dict[str, list[str]] = defaultdict(list)
        for phase, report in review.predictions.items():
            values[of_report(report)].append(review.phase_title(phase))
        values.pop("", None)
        told = [
            value if len(values) == 1 else f"{value} ({', '.join(phases)})"
            for value, phases in values.items()
        ]
        if told:
            lines += [tag("dt", title), tag("dd", "; ".join(told))]
    if lines:
        yield section("How the prediction was made", tag("dl", *lines))
