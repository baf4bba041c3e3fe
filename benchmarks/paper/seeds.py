"""What differs between trainings that differ only in their seed, and between cycles of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, takewhile

import numpy as np

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregation,
    mean_over_volumes,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, case_table
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation

from ..results import markdown_table
from .rows import VENDOR, Row

CONVERGED = 0.005
"""Cycles count as converged if the Dice of their members lies no further from the last one's."""


def mean_dice(cases: Sequence[CaseEvaluation]) -> float:
    """Return the mean Dice over the volumes."""
    return mean_over_volumes("dice")(case_table(cases)).value


def seeds_table(methods: Mapping[str, MethodEvaluation], rows: Sequence[Row]) -> str:
    """Return Dice and ECE of every seed, with their mean and standard deviation over trainings."""
    lines = []
    for title, same in _by_title(rows, methods).items():
        cases = {row.seeds: methods[row.name].cases for row in same}
        dice = [mean_dice(of_seed) for of_seed in cases.values()]
        ece = [100 * pooled_ece(case_table(of_seed)).value for of_seed in cases.values()]
        cells = [_values(dice, 3), _over_trainings(dice, 3), _values(ece, 2)]
        lines.append([title, ", ".join(cases), *cells, _over_trainings(ece, 2)])
    heads = ("Method", "Seeds", "Dice", "mean, SD", "ECE %", "mean, SD")
    return markdown_table(heads, lines)


def _by_title(rows: Sequence[Row], methods: Mapping[str, MethodEvaluation]) -> dict[str, list[Row]]:
    """Return the rows that differ only in their seed, by title, where there are several."""
    known = [row for row in rows if row.name in methods and not row.is_fitted]
    further = {row.title.rpartition(", seed ")[0] for row in known if row.group == "seeds"}
    return {
        title: [row for row in known if row.title in (title, f"{title}, seed {row.seeds}")]
        for title in dict.fromkeys(row.title for row in known if row.title in further)
    }


def _values(values: Sequence[float], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _over_trainings(values: Sequence[float], digits: int) -> str:
    deviation = np.std(values, ddof=1) if len(values) > 1 else np.nan
    return f"{np.mean(values):.{digits}f} SD {deviation:.{digits}f}"


def dice_by_cycle(
    methods: Mapping[str, MethodEvaluation], rows: Sequence[Row]
) -> dict[str, list[float]]:
    """Return the mean Dice of single members of each cycle, by seed.

    It is NaN for a cycle of which not all members are evaluated; seeds without any are left out.
    """
    wanted = [row for row in rows if row.group == "cycles"]
    found: dict[str, list[float]] = {}
    for (seed, _), same in groupby(wanted, key=lambda row: (row.seeds, row.title.split(",")[0])):
        values = [mean_dice(methods[r.name].cases) if r.name in methods else np.nan for r in same]
        found.setdefault(seed, []).append(float(np.mean(values)))
    return {seed: cycles for seed, cycles in found.items() if not np.isnan(cycles).all()}


def converged_cycles(by_cycle: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Return how many of the last cycles are as good as the last one, by seed.

    Seeds of which not all cycles are evaluated are left out.
    """
    known = {seed: cycles for seed, cycles in by_cycle.items() if not np.isnan(cycles).any()}
    return {
        seed: sum(1 for _ in takewhile(partial(_is_near, cycles[-1]), reversed(cycles)))
        for seed, cycles in known.items()
    }


def _is_near(last: float, dice: float) -> bool:
    return abs(dice - last) <= CONVERGED


def cycles_table(by_cycle: Mapping[str, Sequence[float]]) -> str:
    """Return the Dice of single members by seed and cycle."""
    heads = ("Seed", *(f"Cycle {n}" for n in range(1, 4)))
    lines = (
        [seed, *("–" if np.isnan(dice) else f"{dice:.3f}" for dice in cycles)]
        for seed, cycles in by_cycle.items()
    )
    return markdown_table(heads, lines)


def csv_lines(
    methods: Mapping[str, MethodEvaluation], rows: Sequence[Row]
) -> Iterator[dict[str, object]]:
    """Yield mean Dice, its structures and ECE of every row and condition, with intervals.

    The cases of a vendor are a condition too, such as "mnms-A".
    """
    for row in (row for row in rows if row.name in methods):
        for condition, cases in _by_condition(methods[row.name].cases).items():
            names = list(dict.fromkeys(name for case in cases for name in case.structures))
            measures: dict[str, Aggregation] = {
                "Dice": mean_over_volumes("dice"),
                **{f"Dice {name}": mean_over_volumes("dice", name) for name in names},
            }
            if any(case.reliability is not None for case in cases):  # not those of single members
                measures["ECE"] = pooled_ece
            for measure, aggregate in measures.items():
                found = aggregate(case_table(cases))
                low, high = found.interval
                yield {
                    "row": row.title,
                    "group": row.group,
                    "seeds": row.seeds,
                    "condition": condition,
                    "measure": measure,
                    "value": round(found.value, 7),
                    "low": round(low, 7),
                    "high": round(high, 7),
                }


def _by_condition(evaluated: Sequence[CaseEvaluation]) -> dict[str, list[CaseEvaluation]]:
    found: dict[str, list[CaseEvaluation]] = {}
    for case in evaluated:
        condition, vendor = case.groups["shift"], case.groups.get(VENDOR)
        for name in (condition, f"{condition}-{vendor}") if vendor else (condition,):
            found.setdefault(name, []).append(case)
    return found
