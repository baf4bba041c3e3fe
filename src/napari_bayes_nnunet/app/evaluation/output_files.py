"""Files of an evaluation: ``cases.csv``, ``summary.json`` and ``report.html`` in one folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from ...core.ensemble.maps import MAPS
from ...io.files.atomic import json_text, null_for_nan, write_text
from ...io.files.csv_text import csv_text
from ..report.output_folder import (
    check_writable,
    refuse_folder_of_inputs,
    refuse_foreign_files,
    refuse_foreign_settings,
    unwritable,
)
from .aggregates import Aggregate, aggregate_difference
from .case import CALIBRATION_NUMBERS, FAILURE_NUMBERS, CaseEvaluation, StructureResult
from .evaluate import MethodEvaluation, judged_structures, known_intervals, known_maps
from .example_cases import ShownCase
from .measures import Measure, all_measures, failure_measures
from .page import evaluation_page
from .paper_tables import Methods, dice_table, ece_table
from .phases import PHASE
from .tables import describe_extent, describe_methods, list_groups, text_table

CASES, SUMMARY, PAGE = "cases.csv", "summary.json", "report.html"
_FIRST_COLUMNS: Final = ("method", "case", "patient")


def check_report_folder(report: Path, *, labels: Path, images: Path | None) -> None:
    """Raise AppError, before long work, if the folder ``report`` cannot be used."""
    refuse_foreign_settings()
    check_writable(report)
    refuse_folder_of_inputs(report, {"reference labels": labels, "images": images})
    tables = {CASES: ",".join(_FIRST_COLUMNS), SUMMARY: '{\n "interval": '}
    refuse_foreign_files(report, tables, [PAGE])


def write_evaluation(methods: Methods, report: Path, *, shown: Iterable[ShownCase] = ()) -> Path:
    """Write the files into the folder ``report``, replacing earlier ones, and return the page.

    ``shown`` are the cases with pictures. Raises AppError if the files cannot be written.
    """
    return write_report_files(report_texts(methods, shown=shown), report)


def report_texts(methods: Methods, *, shown: Iterable[ShownCase] = ()) -> dict[str, str]:
    """Return name → content of each file of `write_evaluation`, in the order of writing."""
    return {
        CASES: cases_csv(methods),
        SUMMARY: json_text(evaluation_summary(methods)),
        PAGE: evaluation_page(methods, list(shown)),
    }


def write_report_files(texts: Mapping[str, str], report: Path) -> Path:
    """Write `report_texts` into the folder ``report``, and return the page. Raises AppError."""
    try:
        for name, text in texts.items():
            write_text(report / name, text)
    except OSError as error:
        raise unwritable(report, error) from error
    return report / PAGE


def evaluation_text(methods: Methods) -> str:
    """Return the methods, warnings, Tables 1 and 2 and the notes for a terminal."""
    lines, warnings = describe_methods(methods)
    parts = [*lines, *warnings, describe_extent(methods), "Dice", text_table(dice_table(methods))]
    parts += ["Calibration error", text_table(ece_table(methods))]
    notes = [f"{method.name}: {note}" for method in methods for note in method.notes]
    return "\n".join([*parts, *notes])


INTERVAL: Final = "95 %, bootstrap of 2000 resamples of patients with all their volumes"
_ALL: Final = "all"
"""Structure in the rows of a whole case."""
_OF_STRUCTURE: Final = tuple(field.name for field in fields(StructureResult))


def evaluation_summary(methods: Sequence[MethodEvaluation]) -> dict[str, Any]:
    """Return every measure of every method, for all cases and each group, as JSON; NaN is null.

    Fractions stay fractions: an ``ece_pooled`` of 0.02 is 2 %. ``differences`` are from the first
    method.
    """
    structures = judged_structures(methods)
    measures = all_measures(structures, known_intervals(methods), known_maps(methods))
    results = {m.name: {x.key: x.aggregate(m.cases) for x in measures} for m in methods}
    first, *others = (m.name for m in methods)
    content = {
        "interval": INTERVAL,
        "structures": structures,
        "cases": [case.case for case in methods[0].cases],
        "methods": {m.name: _of_method(m, results[m.name], structures) for m in methods},
        "differences": {
            "from": first,
            "of": {name: _differences(results[name], results[first]) for name in others},
        },
    }
    return dict(null_for_nan(content))


def _of_method(
    method: MethodEvaluation, aggregates: dict[str, Aggregate], structures: Sequence[str]
) -> dict[str, Any]:
    every = all_measures(structures, known_intervals([method]), known_maps([method]))
    # Other groups than ED and ES have too few cases.
    left_out = {m.key for measures in failure_measures().values() for m in measures}
    measures = [m for m in every if m.key not in left_out]
    return {
        "volumes": len(method.cases),
        "patients": method.patients,
        "notes": list(method.notes),
        "made_by": list(method.made_by),
        "measures": {key: _numbers(aggregate) for key, aggregate in aggregates.items()},
        "groups": {
            group: dict(_of_group(method, group, every if group == PHASE else measures))
            for group in list_groups([method])
        },
    }


def _of_group(
    method: MethodEvaluation, group: str, measures: Sequence[Measure]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for value in sorted({case.groups.get(group, "") for case in method.cases} - {""}):
        cases = [case for case in method.cases if case.groups.get(group) == value]
        yield value, {m.key: _numbers(m.aggregate(cases)) for m in measures}


def _numbers(aggregate: Aggregate) -> dict[str, Any]:
    return {
        "value": aggregate.value,
        "standard_deviation": aggregate.deviation,
        "interval": list(aggregate.interval),
        "volumes": aggregate.volumes,
        "patients": aggregate.patients,
        "skipped": aggregate.skipped,
    }


def _differences(own: dict[str, Aggregate], base: dict[str, Aggregate]) -> dict[str, Any]:
    differences = {key: aggregate_difference(value, base[key]) for key, value in own.items()}
    return {k: {"value": d.value, "interval": list(d.interval)} for k, d in differences.items()}


def cases_csv(methods: Sequence[MethodEvaluation]) -> str:
    """Return a row for each method, case and structure, and for the whole case ("all").

    A number that is not defined is an empty field. Dice and pairwise Dice of the whole case are
    means over the structures.
    """
    groups = sorted({name for m in methods for case in m.cases for name in case.groups})
    detection = sorted({name for m in methods for case in m.cases for name in case.detection})
    means = [f"mean_{entry.key}" for entry in known_maps(methods)]
    of_case = ("ece", *CALIBRATION_NUMBERS, *means, *FAILURE_NUMBERS)
    of_detection = [f"{kind} {name}" for name in detection for kind in ("auroc", "auprc")]
    others = (*_FIRST_COLUMNS, "structure", *_OF_STRUCTURE, *of_case)
    of_groups = (f"group {name}" if name in others else name for name in groups)
    rows: list[Sequence[Any]] = [[*others[:3], *of_groups, *others[3:], *of_detection]]
    for method in methods:
        for case in method.cases:
            start = [
                method.name,
                case.case,
                case.patient,
                *(case.groups.get(g, "") for g in groups),
            ]
            for name, numbers in _rows_of(case):
                columns = (*_OF_STRUCTURE, *of_case, *of_detection)
                values = (_field(numbers.get(column, math.nan)) for column in columns)
                rows.append([*start, name, *values])
    return csv_text(rows)


def _rows_of(case: CaseEvaluation) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each structure, and "all" for the whole case, with numbers by column."""
    for name, result in case.structures.items():
        yield name, asdict(result)
    numbers = {
        name: getattr(case, name) for name in ("ece", *CALIBRATION_NUMBERS, *FAILURE_NUMBERS)
    }
    numbers |= {f"mean_{entry.key}": case.mean_of(entry) for entry in MAPS.values()}
    for name, scores in case.detection.items():
        numbers |= {f"auroc {name}": scores.auroc, f"auprc {name}": scores.auprc}
    yield _ALL, {"dice": case.mean_dice, "pairwise_dice": case.mean_pairwise_dice, **numbers}


def _field(number: float) -> str:
    return "" if math.isnan(number) else repr(float(number))
