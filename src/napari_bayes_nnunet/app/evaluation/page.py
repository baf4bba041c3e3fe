"""The page of an evaluation: tables and figures, each with what it means in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final

from ...core.heart.structures import structure_colors, structure_title
from ..report.figures import DPI
from ..report.html import RESEARCH_USE, Html, bullets, page, picture, section, tag
from .evaluate import judged_structures
from .example_cases import ShownCase
from .example_picture import case_pictures
from .figures import doubt_picture, reliability_picture, risk_coverage_picture
from .measures import ECE, Measure, dice_measures
from .paper_tables import (
    Methods,
    agreement_table,
    calibration_table,
    contour_table,
    detection_table,
    dice_table,
    ece_table,
    failure_table,
    paired_table,
    volume_table,
)
from .tables import Table, TableCell, cell, extent, groups_of, html_table

_STYLE: Final = """
body { max-width: 82rem; }
.wide { overflow-x: auto; margin: .9rem 0 1.3rem; }
.wide table { width: auto; min-width: 60%; font-size: .93rem; }
.wide thead th { vertical-align: bottom; }
.wide tbody th { font-weight: 500; white-space: nowrap; padding-right: 1.4rem; }
.wide tr > th:first-child { position: sticky; left: 0; background: #fff; }
th.block { text-align: center; border-bottom: 1px solid #aab4c0; color: var(--ink); }
.wide thead tr:first-child th:first-child { border-bottom: 0; }
th.result, td.result { text-align: right; white-space: nowrap; padding-left: .9rem; }
th.end, td.end { border-right: 1px solid var(--line); }
td.result i { margin-left: .3rem; color: var(--muted); font-style: normal; font-size: .87rem; }
td.result small { display: block; margin: 0; font-size: .78rem; line-height: 1.3; }
td.result b { font-weight: 700; }
h3 { margin: 1.8rem 0 .2rem; font-size: 1rem; }
figure { margin: 1rem 0 1.6rem; }
.case { margin: 1.6rem 0 2.2rem; }
.scale { display: inline-block; width: 7rem; height: .75rem; margin: 0 .4rem; border-radius: 2px;
  background: linear-gradient(90deg, #000004, #420a68, #932667, #dd513a, #fca50a, #fcffa4); }
@media print { .wide { overflow: visible; font-size: 8pt; }
  .scale { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_READING: Final = (
    "A number is the mean over the volumes, ± is their standard deviation. Below stands the 95 % "
    "interval: as many patients were drawn again and again, with all their volumes, and the number "
    "lay within it in 95 % of the draws. Fewer than 5 patients give no interval. “2 without” "
    "counts volumes for which the number is not defined.",
    "Bold is the best of a column. Whether it is better than another method is told by the table "
    "of differences, not by intervals that overlap.",
)


def evaluation_page(methods: Methods, shown: Sequence[ShownCase]) -> str:
    """The report as an HTML document; ``shown`` are the cases with pictures."""
    parts = (
        Html(f"<style>{_STYLE}</style>"),
        *_heading(methods),
        section("Table 1. Dice: how well the structures are drawn", *_dice(methods)),
        section("Table 2. Calibration error: is the confidence true?", *_ece(methods)),
        *_differences(methods),
        section("Further measures of calibration", *_calibration(methods)),
        section("Contours and volumes", *_contours(methods)),
        section("Does uncertainty find the wrong voxels?", *_detection(methods)),
        section("Does uncertainty find the cases that failed?", *_failures(methods)),
        *_cases(methods, shown),
        *_notes(methods),
    )
    return page("Evaluation of " + ", ".join(method.name for method in methods), parts)


def _heading(methods: Methods) -> Iterator[Html]:
    facts = (f"{datetime.now():%Y-%m-%d %H:%M}", extent(methods))
    yield tag("p", "Segmentation with uncertainty, against reference labels", class_="kind")
    names = [method.name for method in methods]
    yield tag("h1", " · ".join(names) if len(names) <= 3 else f"{len(names)} methods compared")
    yield tag("p", " · ".join(facts), class_="muted")
    yield tag("p", RESEARCH_USE, class_="use")
    yield tag("div", *_tiles(methods), class_="tiles")
    yield section("How to read the tables", *(tag("p", sentence) for sentence in _READING))


def _tiles(methods: Methods) -> Iterator[Html]:
    mean = dice_measures(judged_structures(methods))[-1:]
    for label, measure in (("Best Dice", mean), ("Lowest calibration error", ECE[:1])):
        for one in measure:
            found = _best(methods, one)
            if found is not None:
                method, number = found
                yield _tile(label, number.value, one.unit, f"{method} · {number.interval}")
    yield _tile("Volumes", str(len(methods[0].cases)), "", f"{methods[0].patients} patients")


def _best(methods: Methods, measure: Measure) -> tuple[str, TableCell] | None:
    """Name of the best method and its number."""
    found = [(m.name, measure.aggregate(m.cases)) for m in methods]
    known = [(name, aggregate) for name, aggregate in found if aggregate.volumes]
    if not known:
        return None
    sign = 1 if measure.better == "higher" else -1
    name, aggregate = max(known, key=lambda pair: sign * pair[1].value)
    return name, cell(aggregate, measure)


def _tile(label: str, value: str, unit: str, below: str) -> Html:
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", value, tag("small", f" {unit}"), class_="value"),
        tag("div", below, class_="below"),
        class_="tile",
    )


def _dice(methods: Methods) -> Iterator[Html]:
    yield tag(
        "p",
        "Twice the volume that prediction and reference have in common, over the sum of both: 1 is "
        "a perfect overlap, 0 none. 0 too where one of them is empty; volumes in which both are "
        "empty have no Dice.",
    )
    yield html_table(dice_table(methods))
    yield from _by_group(methods, dice_table)


def _ece(methods: Methods) -> Iterator[Html]:
    yield tag(
        "p",
        "Of the voxels that a method is 80 % sure of, 80 % should be right. The expected "
        "calibration error is the mean distance of confidence and share of right voxels over 100 "
        "bins of confidence, in the box around the reference: 0 % is perfect. Pooled, all voxels "
        "of all volumes are one heap; in the other column every volume counts alike. The paper "
        "does not say which of them it reports.",
    )
    yield html_table(ece_table(methods))
    yield from _by_group(methods, ece_table)
    yield from _figure(
        reliability_picture(methods),
        "Share of right voxels against confidence",
        "Reliability: the bars should end at the dashed line. Red: the method is too sure; pale: "
        "it is right more often than it says.",
    )


def _by_group(methods: Methods, table: Callable[[Methods, str], Table]) -> Iterator[Html]:
    for group in groups_of(methods):
        yield tag("h3", f"By {group}")
        yield html_table(table(methods, group))


def _differences(methods: Methods) -> Iterator[Html]:
    if len(methods) < 2:
        return
    first = methods[0].name
    yield section(
        f"Differences from {first}",
        tag(
            "p",
            f"Each method less {first}, of the same patients in every draw. Bold where the "
            "interval leaves out 0. Of many numbers in bold some are so by chance.",
        ),
        html_table(paired_table(methods)),
    )


def _calibration(methods: Methods) -> Iterator[Html]:
    yield bullets(
        [
            "Class-wise: every class's probability is compared with its share, not that of the "
            "most probable class alone. Adaptive: the bins hold equally many voxels.",
            "NLL (negative log-likelihood) and Brier score: proper scores, at their lowest only "
            "for the true probabilities; a calibration error can be low for useless ones.",
        ]
    )
    yield html_table(calibration_table(methods))


def _contours(methods: Methods) -> Iterator[Html]:
    yield tag(
        "p",
        "How far the surfaces of prediction and reference are apart: 95 % of their voxels are "
        "nearer than the Hausdorff distance. A volume in which a method misses the structure has "
        "no distance and is left out, in favour of that method: read them with the Dice.",
    )
    yield html_table(contour_table(methods))
    yield tag("p", "Volumes: errors of both signs cancel in the first part, not in the second.")
    yield html_table(volume_table(methods))


def _detection(methods: Methods) -> Iterator[Html]:
    yield bullets(
        [
            "AUROC: the chance that a wrong voxel is more uncertain than a right one; 0.5 is "
            "useless, 1 perfect. AUPRC: how pure the most uncertain voxels are; useless is the "
            "share of wrong voxels, so a method with fewer errors may have less of it.",
            "MI (mutual information) is the part of the entropy that the members disagree on; a "
            "single model has none. Gross errors are more than 3 mm from the reference's "
            "contours: at the contours every method is uncertain.",
        ]
    )
    yield html_table(detection_table(methods))


def _failures(methods: Methods) -> Iterator[Html]:
    yield tag(
        "p",
        "Three numbers of a case that need no reference. If they are right, putting aside the "
        "cases that they trust least lowers the error of the others. AURC is the mean error "
        "(1 − Dice) on that way, less is better; Spearman's correlation with the Dice is 1 where "
        "the order is right.",
    )
    yield html_table(failure_table(methods))
    yield from _figure(
        risk_coverage_picture(methods),
        "Error of the cases that are kept against their share",
        "Error of the cases that are kept. Dotted: the best that an order can reach. A flat line "
        "is no better than chance.",
    )
    yield from _figure(
        doubt_picture(methods),
        "Error of each case against its mean entropy",
        "Each point is a volume. Failures on the left are silent: the method was sure.",
    )
    yield tag("h3", "Agreement of the members: their mean pairwise Dice")
    yield html_table(agreement_table(methods))


def _cases(methods: Methods, shown: Sequence[ShownCase]) -> Iterator[Html]:
    if not shown:
        return
    structures = judged_structures(methods)
    colors = structure_colors({name: n for n, name in enumerate(structures, start=1)})
    entries = [
        tag("span", tag("i", style=f"background:{colors[n]}"), structure_title(name))
        for n, name in enumerate(structures, start=1)
    ]
    scale = tag("span", "entropy 0", tag("b", class_="scale"), "1 bit and more")
    yield section(
        "Cases",
        tag(
            "p",
            "The best case and the worst, by the mean Dice over the methods. Above what each "
            "method drew, below its entropy; white lines are the reference. Of the best case the "
            "slice with the largest reference, of the others that with the most wrong voxels. The "
            "Dice is that of the whole volume.",
        ),
        tag("div", *entries, scale, class_="legend"),
        *(_case(case, structures) for case in shown),
    )


def _case(shown: ShownCase, structures: Sequence[str]) -> Html:
    case = shown.case
    kind = "Best case" if shown.is_good else "One of the worst"
    facts = [*case.groups.values(), f"slice {shown.z} of {shown.slices}"]
    if shown.image is None:
        facts.append("without its image, which was not found")
    caption = tag("figcaption", tag("b", case.case), f" · {kind} · {' · '.join(facts)}")
    names = ", ".join(method.name for method in shown.methods)
    words = f"{case.case} by {names}"
    pictures = (_sized(png, words, 7.8) for png in case_pictures(shown, structures))
    return tag("figure", caption, *pictures, class_="case")


def _notes(methods: Methods) -> Iterator[Html]:
    sentences = [f"{m.name}: {note}" for m in methods for note in m.notes]
    if sentences:
        yield section("What was left out or assumed", bullets(sentences, class_="notes"))


def _figure(png: bytes | None, description: str, caption: str) -> Iterator[Html]:
    if png is not None:
        yield tag("figure", _sized(png, description, 6.4), tag("figcaption", caption))


def _sized(png: bytes, description: str, rem_an_inch: float) -> Html:
    """A picture, as wide beside others as its size in inches says."""
    inches = int.from_bytes(png[16:20]) / DPI
    width = f"max-width:{rem_an_inch * inches:.1f}rem"
    return tag("div", picture(png, description), style=width)
