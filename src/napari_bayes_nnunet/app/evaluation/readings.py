"""Comparison of the readings of studies with each other and with the prediction, and its report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.heart.function import Measured, heart_function
from ...core.heart.measurements import volumes_ml
from ...core.heart.slice_volumes import PhaseVolumes, base_is_first
from ...core.heart.wall import thirds
from ...core.metrics.agreement import Agreement, bland_altman, contour_distances
from ...core.metrics.overlap import dice
from ...core.types import Phase
from ...io.files.csv_text import csv_text
from ...io.study.arrays import EDITED, PREDICTION, read_labels_on, select_phase
from ...io.study.info import StudyInfo, is_study, read_study_info
from ...io.study.readings import Reading, list_readings, unfinished_readers
from ...io.study.study import READINGS
from ...io.study.summary import list_studies
from .. import AppError
from ..report.figures import INK, METHOD_COLORS, encode_png
from ..report.html import UNKNOWN, render_page
from ..report.output_folder import (
    check_writable,
    refuse_foreign_files,
    report_files,
    write_or_refuse,
)

PREDICTION_READING: Final = "prediction"
PARTS: Final = ("whole", "base", "middle", "apex")
NOTHING_TO_COMPARE: Final = (
    "{folder} has no study whose readers have finished. Finish the readings in the Review dock."
)
STILL_READING: Final = "{case} was left out. Finish the reading of {readers} in the Review dock."
OTHER_PHASES: Final = (
    "{pair} chose different phases as {role} in {case}, so these contours are not compared."
)


class ReadingDifference(NamedTuple):
    """One measure of two readings of a study; the fields are the columns of the CSV file.

    ``measure`` is "number", "dice" or "distance_mm", ``name`` that of the number or structure.
    ``value`` of a number is ``second_value`` − ``first_value``, in ``unit``.
    """

    study: str
    first: str
    second: str
    measure: str
    name: str
    phase: str
    part: str
    unit: str
    first_value: float
    second_value: float
    value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadingsComparison:
    """Differences of all pairs of readings, and ``notes`` on what was not compared."""

    differences: Sequence[ReadingDifference]
    notes: Sequence[str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Pairs of readings that were compared, those with the prediction last."""
        pairs = dict.fromkeys((d.first, d.second) for d in self.differences)
        return sorted(pairs, key=lambda pair: pair[0] == PREDICTION_READING)

    def of(self, pair: tuple[str, str]) -> list[ReadingDifference]:
        """Return the known differences of a pair of readings."""
        return [d for d in self.differences if d[1:3] == pair and math.isfinite(d.value)]


def compare_readings(folder: Path) -> ReadingsComparison:
    """Compare the finished readings of a study, or of all studies in a folder.

    A study is left out while a reader has begun and not finished, who shall not see the others.
    Raises AppError without a finished reading, and DataError for files that cannot be read.
    """
    folders = [folder] if is_study(folder) else [s.folder for s in list_studies(folder)]
    differences: list[ReadingDifference] = []
    notes: list[str] = []
    infos = {study: read_study_info(study) for study in folders}
    counts = Counter(info.case for info in infos.values())
    for study, info in infos.items():
        readings = list_readings(study)
        if counts[info.case] > 1:  # of several patients
            info = replace(info, case=study.relative_to(folder).as_posix())
        if waiting := unfinished_readers(study, readings):
            names = " and ".join(waiting)
            notes.append(STILL_READING.format(case=info.case, readers=names))
        elif finished := [reading for reading in readings if reading.review.finished]:
            differences += _compare_study(study, info, finished, notes)
    if not differences:
        raise AppError(NOTHING_TO_COMPARE, folder=folder)
    return ReadingsComparison(differences=differences, notes=notes)


class _Read(NamedTuple):
    """Labels of a reading, its ED and ES ("" for a 3D image) and its numbers."""

    labels: NDArray[Any]
    ends: Mapping[str, Phase]
    numbers: Mapping[str, Measured]


def _compare_study(
    study: Path, info: StudyInfo, finished: Sequence[Reading], notes: list[str]
) -> Iterator[ReadingDifference]:
    """Yield the differences of the latest readings, and of earlier versions from the latest."""
    prediction = read_labels_on(study / PREDICTION, info.geometry)
    # The study may name an ED or ES that was not segmented; then those of a reader count.
    is_known = {info.ed, info.es} <= {*info.phases}
    of_both = info if is_known else finished[0].review
    reads = {PREDICTION_READING: _measure(info, prediction, of_both.ed, of_both.es)}
    latest = {reading.name: reading for reading in finished}
    pairs = [*combinations([PREDICTION_READING, *latest], 2)]
    for reading in finished:
        name, review = reading.name, reading.review
        if latest[name] is not reading:
            name = reading.versioned_name
            pairs.append((name, reading.name))
        labels = read_labels_on(reading.path / EDITED, info.geometry)
        reads[name] = _measure(info, labels, review.ed, review.es)
    # Position comes first: by their areas, base and apex of a stack of few slices were exchanged.
    by_position = info.geometry.starts_at_base
    base_first = base_is_first(prediction) if by_position is None else by_position
    for pair in pairs:
        yield from _compare_pair(info, pair, reads, base_first, notes)


def _measure(info: StudyInfo, labels: NDArray[Any], ed: Phase, es: Phase) -> _Read:
    ends = {"": None} if info.phases == (None,) else {"ED": ed, "ES": es}
    known = {role: phase for role, phase in ends.items() if phase in info.phases}
    volumes = {
        phase: PhaseVolumes.from_totals(
            volumes_ml(select_phase(labels, phase), info.geometry.spacing, info.structures)
        )
        for phase in known.values()
    }
    return _Read(labels, known, heart_function(volumes, ed=ed, es=es))


def _compare_pair(
    info: StudyInfo,
    pair: tuple[str, str],
    reads: Mapping[str, _Read],
    base_first: bool | None,
    notes: list[str],
) -> Iterator[ReadingDifference]:
    a, b = (reads[name] for name in pair)
    start = info.case, *pair
    for name, one in a.numbers.items():
        if name in b.numbers:
            values = one.value, b.numbers[name].value, b.numbers[name].value - one.value
            yield ReadingDifference(*start, "number", name, "", "", one.unit, *values)
    for role, phase in a.ends.items():
        # NaN for a missing role, because None is the phase of a 3D image.
        if b.ends.get(role, math.nan) != phase:
            notes.append(OTHER_PHASES.format(case=info.case, pair=" and ".join(pair), role=role))
            continue
        planes = select_phase(a.labels, phase), select_phase(b.labels, phase)
        for measure, unit, name, part, value in _overlaps(info, *planes, base_first):
            values = math.nan, math.nan, value
            yield ReadingDifference(*start, measure, name, role, part, unit, *values)


def _overlaps(
    info: StudyInfo, first: NDArray[Any], second: NDArray[Any], base_first: bool | None
) -> Iterator[tuple[str, str, str, str, float]]:
    """Yield Dice and mean contour distance of each structure: measure, unit, name, part, value.

    The slices of either heart are divided into thirds, unless it is unknown where the base is.
    """
    heart = np.flatnonzero(((first > 0) | (second > 0)).any(axis=(1, 2))).tolist()
    rings = {} if base_first is None else thirds(heart, base_first=base_first)
    distances = contour_distances(first, second, info.geometry.spacing, info.structures)
    for number, part in enumerate(PARTS, start=-1):
        inside = [z for z in heart if number < 0 or rings.get(z) == number]
        overlaps = dice(first[inside], second[inside], info.structures)
        for name in info.structures:
            known = [mm for mm in distances[name][inside] if math.isfinite(mm)]
            yield "dice", "", name, part, overlaps[name]
            mean = math.fsum(known) / len(known) if known else math.nan
            yield "distance_mm", "mm", name, part, mean


_PLOTTED: Final = ("LV EF", "LV EDV", "LV ESV", "LV mass", "RV EF", "RV EDV")


def write_comparison_report(comparison: ReadingsComparison, report: Path) -> Path:
    """Write ``report``.csv and the page ``report``.html, which is returned.

    Raises AppError or DataError if they cannot be written or would replace other files.
    """
    table, page = report_files(report, ".csv", ".html")
    check_writable(table.parent)
    refuse_foreign_files(table.parent, {table.name: "study,first,second"}, [page.name])
    rows = [
        [*d[:8], *("" if math.isnan(v) else f"{v:.6g}" for v in d[8:])]
        for d in comparison.differences
    ]
    studies = {difference.study for difference in comparison.differences}
    text = render_page(
        "readings.html.j2",
        heading=", ".join(studies) if len(studies) == 1 else f"{len(studies)} studies",
        facts=[],
        warnings=comparison.notes,
        tiles=[],
        parts=PARTS,
        unknown=UNKNOWN,
        sections=[_section(comparison, pair) for pair in comparison.pairs],
    )
    for file, content in ((table, csv_text([ReadingDifference._fields, *rows])), (page, text)):
        write_or_refuse(file, content)
    return page


def compare_study(study: Path) -> Path:
    """Compare the finished readings of a study; return the page, which lies next to them."""
    return write_comparison_report(compare_readings(study), study / READINGS / "comparison")


def _section(comparison: ReadingsComparison, pair: tuple[str, str]) -> dict[str, Any]:
    """Return what the page says about a pair of readings; all numbers are means over studies."""
    known, numbers = comparison.of(pair), dict[str, list[ReadingDifference]]()
    overlaps: dict[tuple[str, ...], list[float]] = {}
    for d in known:
        if d.measure == "number":
            numbers.setdefault(d.name, []).append(d)
        overlaps.setdefault((d.name, d.phase, d.part, d.measure), []).append(d.value)
    agreement = {name: bland_altman([d.value for d in ds]) for name, ds in numbers.items()}
    studies = dict.fromkeys(d.study for d in known)
    return {
        "pair": pair,
        "agreement": agreement,
        "numbers": numbers,
        "rows": dict.fromkeys((d.name, d.phase) for d in known if d.part),
        "overlaps": {key: fmean(values) for key, values in overlaps.items()},
        "studies": {s: {d.name: d.value for d in known if d.study == s} for s in studies},
        # One study is one point, which has neither bias nor limits.
        "png": _plots(numbers, agreement) if len(studies) > 1 else b"",
    }


def _plots(
    numbers: Mapping[str, list[ReadingDifference]], agreement: Mapping[str, Agreement]
) -> bytes:
    """Return the Bland–Altman plots as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), layout="constrained")
    for index, name in enumerate(filter(numbers.get, _PLOTTED), start=1):
        axes, known, found = figure.add_subplot(2, 3, index), numbers[name], agreement[name]
        for level, style in ((found.bias, "-"), (found.low, "--"), (found.high, "--")):
            axes.axhline(level, color=INK, linestyle=style)
        means = [(d.first_value + d.second_value) / 2 for d in known]
        axes.plot(means, [d.value for d in known], "o", color=METHOD_COLORS[0], alpha=0.7)
        axes.set(title=name, xlabel=f"mean, {known[0].unit}", ylabel=f"difference, {known[0].unit}")
    return encode_png(figure)
