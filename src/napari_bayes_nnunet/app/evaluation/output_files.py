"""Files of an evaluation: ``cases.csv``, ``summary.json`` and ``report.html`` in one folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from ...core.heart.structures import structure_colors, structure_title
from ...io.files.atomic import json_text, null_for_nan
from ...io.files.csv_text import csv_text
from ..report.html import Tile, render_page
from ..report.output_folder import check_report_files
from .aggregates import ALL, Aggregate, aggregate_difference
from .case import END_PHASES, PHASE
from .evaluate import MethodEvaluation, judged_structures, known_maps
from .example_cases import ShownCase, case_pictures
from .figures import entropy_picture, reliability_picture, risk_coverage_picture
from .measures import AREAS, ECE, OF_CASE, OF_STRUCTURE, Measure, dice_measures
from .tables import (
    Block,
    Methods,
    describe_extent,
    describe_methods,
    group_table,
    list_groups,
    make_cell,
    paired_table,
    report_blocks,
    report_table,
    text_table,
)

TABLES: Final = (
    *("dice", "ece", "calibration", "contours", "volumes", "detection", "intervals"),
    *("failures", "ranking", "agreement"),
)


def evaluation_page(methods: Methods, shown: Sequence[ShownCase]) -> str:
    """Return the report as an HTML document; ``shown`` are the cases with pictures."""
    structures = judged_structures(methods)
    colors = structure_colors({name: n for n, name in enumerate(structures, start=1)})
    groups = list_groups(methods)
    lines, warnings = describe_methods(methods)
    phases = {case.groups.get(PHASE) for case in methods[0].cases}
    return render_page(
        "evaluation.html.j2",
        methods=methods,
        facts=[f"{datetime.now():%Y-%m-%d %H:%M}", describe_extent(methods)],
        warnings=warnings,
        tiles=list(_tiles(methods)),
        lines=lines,
        tables={name: report_table(methods, name) for name in TABLES},
        differences=paired_table(methods) if len(methods) > 1 else None,
        dice_by_group={group: group_table(methods, "dice", group) for group in groups},
        ece_by_group={group: group_table(methods, "ece", group) for group in groups},
        ranking_by_phase={
            phase: report_table(methods, "ranking", (PHASE, phase))
            for phase in END_PHASES
            if phases >= {*END_PHASES}
        },
        reliability=reliability_picture(methods),
        risk_coverage=risk_coverage_picture(methods),
        entropy=entropy_picture(methods),
        cases=[(case, list(case_pictures(case, structures))) for case in shown],
        colors={structure_title(name): colors[n] for n, name in enumerate(structures, start=1)},
        notes=[f"{method.name}: {note}" for method in methods for note in method.notes],
    )


def _tiles(methods: Methods) -> Iterator[Tile]:
    yield from _best("Best Dice", methods, dice_measures(judged_structures(methods))[-1:])
    yield from _best("Lowest calibration error", methods, ECE[:1])
    yield Tile("Volumes", str(len(methods[0].cases)), below=f"{methods[0].patients} patients")


def _best(label: str, methods: Methods, measures: Sequence[Measure]) -> Iterator[Tile]:
    """Yield the best value of each measure, and the method that has it."""
    for measure in measures:
        aggregates = [(method.name, measure.aggregate(method.table)) for method in methods]
        known = [(name, aggregate) for name, aggregate in aggregates if aggregate.volumes]
        if known:
            sign = 1 if measure.format.better == "higher" else -1
            name, best = max(known, key=lambda pair: sign * pair[1].value)
            number = make_cell(best, measure)
            below = " · ".join(filter(None, (name, number.interval)))
            yield Tile(label, number.value, measure.format.unit, below)


CASES, SUMMARY, PAGE = "cases.csv", "summary.json", "report.html"
_FIRST_COLUMNS: Final = ("method", "case", "patient")


def check_report_folder(report: Path, *, labels: Path, images: Path | None) -> None:
    """Raise AppError, before long work, if the folder ``report`` cannot be used."""
    # How the files of an earlier report begin, which may be replaced.
    tables = {CASES: ",".join(_FIRST_COLUMNS), SUMMARY: '{\n "interval": '}
    inputs = {"reference labels": labels, "images": images}
    check_report_files(report, tables, [PAGE], inputs=inputs)


def report_texts(methods: Methods, *, shown: Iterable[ShownCase] = ()) -> dict[str, str]:
    """Return name → content of each file, in the order of writing.

    ``shown`` are the cases with pictures.
    """
    return {
        CASES: cases_csv(methods),
        SUMMARY: json_text(evaluation_summary(methods)),
        PAGE: evaluation_page(methods, list(shown)),
    }


def evaluation_text(methods: Methods) -> str:
    """Return the methods, warnings, Tables 1 and 2 and the notes for a terminal."""
    lines, warnings = describe_methods(methods)
    parts = [*lines, *warnings, describe_extent(methods)]
    for title, name in (("Dice", "dice"), ("Calibration error", "ece")):
        parts += [title, text_table(report_table(methods, name))]
    notes = [f"{method.name}: {note}" for method in methods for note in method.notes]
    return "\n".join([*parts, *notes])


INTERVAL: Final = "95 %, bootstrap of 2000 resamples of patients with all their volumes"
_Numbers: TypeAlias = dict[str, Aggregate]


def evaluation_summary(methods: Methods) -> dict[str, Any]:
    """Return every measure of every method, for all cases and each group, as JSON; NaN is null.

    Fractions stay fractions: an ``ece_pooled`` of 0.02 is 2 %. ``differences`` are from the first
    method.
    """
    blocks = list(report_blocks(methods))
    results = {method.name: _aggregates(method, blocks) for method in methods}
    first, *others = results
    content = {
        # First, because an earlier report that may be replaced is known by this beginning.
        "interval": INTERVAL,
        "structures": judged_structures(methods),
        "cases": [case.case for case in methods[0].cases],
        "methods": {m.name: _of_method(m, results[m.name], methods) for m in methods},
        "differences": {
            "from": first,
            "of": {name: _differences(results[name], results[first]) for name in others},
        },
    }
    return dict(null_for_nan(content))


def _aggregates(method: MethodEvaluation, blocks: Iterable[Block]) -> _Numbers:
    """Return all measures of the blocks, by key."""
    return {
        measure.key: aggregate
        for block in blocks
        for measure, aggregate in zip(block.measures, block.aggregates(method), strict=True)
    }


def _of_method(method: MethodEvaluation, numbers: _Numbers, methods: Methods) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {}
    for group in list_groups([method]):
        # Other groups than ED and ES have too few cases to rank them.
        blocks = [
            block
            for block in report_blocks([method], judged_structures(methods))
            if group == PHASE or block.table not in ("failures", "ranking")
        ]
        groups[group] = {
            value: _as_json(_aggregates(method, [replace(b, where=(group, value)) for b in blocks]))
            for value in sorted({case.groups.get(group, "") for case in method.cases} - {""})
        }
    return {
        "volumes": len(method.cases),
        "patients": method.patients,
        "notes": list(method.notes),
        "made_by": list(method.made_by),
        "measures": _as_json(numbers),
        "groups": groups,
    }


def _as_json(numbers: _Numbers) -> dict[str, Any]:
    return {
        key: {
            "value": aggregate.value,
            "standard_deviation": aggregate.deviation,
            "interval": list(aggregate.interval),
            "volumes": aggregate.volumes,
            "patients": aggregate.patients,
            "skipped": aggregate.skipped,
        }
        for key, aggregate in numbers.items()
    }


def _differences(own: _Numbers, base: _Numbers) -> dict[str, Any]:
    differences = {key: aggregate_difference(value, base[key]) for key, value in own.items()}
    return {k: {"value": d.value, "interval": list(d.interval)} for k, d in differences.items()}


def cases_csv(methods: Methods) -> str:
    """Return a row for each method, case and structure, and for the whole case ("all").

    A number that is not defined is an empty field. Dice and pairwise Dice of the whole case are
    means over the structures.
    """
    groups = sorted({name for m in methods for case in m.cases for name in case.groups})
    columns = list(_columns(methods))
    others = (*_FIRST_COLUMNS, "structure", *columns)
    # A group may have the name of another column.
    of_groups = (f"group {name}" if name in others else name for name in groups)
    rows: list[Sequence[Any]] = [[*_FIRST_COLUMNS, *of_groups, "structure", *columns]]
    for method in methods:
        for case in method.cases:
            start = method.name, case.case, case.patient, *(case.groups.get(g, "") for g in groups)
            for name in (*case.structures, ALL):
                numbers = (case.number(column, name) for column in columns)
                rows.append([*start, name or "all", *map(_field, numbers)])
    return csv_text(rows)


def _columns(methods: Methods) -> Iterator[str]:
    """Yield the columns of numbers: of structures, of whole cases and of the detection."""
    yield from (figure.column for figure in OF_STRUCTURE if figure.in_csv)
    means = {f"mean_{entry.key}" for entry in known_maps(methods)}
    yield from (f.column for f in OF_CASE if f.table != "maps" or f.column in means)
    every = {column for m in methods for case in m.cases for column in case.numbers[ALL]}
    names = {c.removeprefix("auroc ") for c in every if c.startswith("auroc ")}
    yield from (f"{area} {name}" for name in sorted(names) for area in AREAS)


def _field(number: float) -> str:
    # NumPy's own numbers would name their type in repr, which is as exact as the number.
    return "" if math.isnan(number) else repr(float(number))
