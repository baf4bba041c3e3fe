"""The report of an evaluation, an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from ...core.heart.structures import structure_colors, structure_title
from ..report.html import Tile, render_page
from .evaluate import judged_structures
from .example_cases import ShownCase
from .example_picture import case_pictures
from .figures import entropy_picture, reliability_picture, risk_coverage_picture
from .measures import ECE, Measure, dice_measures
from .phases import END_PHASES, PHASE
from .tables import (
    Methods,
    describe_extent,
    describe_methods,
    group_table,
    list_groups,
    make_cell,
    paired_table,
    report_table,
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
