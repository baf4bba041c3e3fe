"""The paper's claims on Dice and calibration, asked as differences between rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregate,
    Aggregation,
    aggregate_difference,
    mean_over_volumes,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate

from .claims import Finding, cycles_needed
from .rows import ABLATIONS, CYCLES, LATE, MNMS, SUNNYBROOK, Row
from .shifts import SHIFTS, UNSHIFTED

DATASETS: Mapping[str, Sequence[str]] = {
    "ACDC": [UNSHIFTED],
    "all shifts": [shift.name for shift in SHIFTS if shift.name != UNSHIFTED],
    "Sunnybrook": [SUNNYBROOK],
    "M&Ms": [MNMS],
}
"""Conditions by name; the cases of several are pooled."""
ACDC, SHIFTED, *SCANNERS = DATASETS
MEASURES: Mapping[str, Aggregation] = {
    "Dice": mean_over_volumes(lambda case: case.mean_dice),
    "ECE": pooled_ece,
    "NLL": mean_over_volumes(lambda case: case.nll),
}
MEMBER = f"the mean single member of cycle {CYCLES}"
"""One network, as vanilla is, but not only one draw of it."""
ENSEMBLES = ("deep-ensemble", "single", "multi", "late")
BAYESIAN = ("mc-dropout", "encoder", *ENSEMBLES)
BASELINES = ("vanilla", "poly")

Methods = Mapping[str, MethodEvaluation]
"""Evaluation of the cases under all conditions, by the name of the row."""
Seeds = dict[str, list[Row]]
"""Rows of one key by seed; of several rows of a seed, the mean counts."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Whether the measure of ``one`` minus that of ``other`` has the ``expected`` sign.

    Both are keys of `rows_by_key`.
    """

    claim: str
    one: str
    other: str
    measure: str
    expected: int
    dataset: str = ACDC


def comparisons(methods: Methods, rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield the answers to all questions whose rows are evaluated.

    Rows with the same seeds are compared in pairs, and the mean of their differences counts. What
    was trained once is compared with the mean over the other's seeds.
    """
    by_key = rows_by_key(rows)
    for question in questions():
        one, other = (
            _evaluated(by_key.get(key, {}), methods, question.dataset)
            for key in (question.one, question.other)
        )
        if one and other:
            yield _answer(question, one, other, methods)


def rows_by_key(rows: Sequence[Row]) -> dict[str, Seeds]:
    """Return the rows by a short key, such as "multi", "multi 5" or "multi fitted", and seed.

    Without a number, the key means the row with the most members. "poly" is vanilla with nnU-Net's
    own schedule, "short" the deep ensemble of its cost, "encoder" dropout in the encoder only,
    "late" multi without its first cycle, and "multi sghmc-1" multi of that kind of training.
    """
    found: dict[str, Seeds] = {}
    for row in rows:
        if key := _key(row):
            found.setdefault(key, {}).setdefault(row.seeds, []).append(row)
    return found


_SPECIAL = {
    ("poly", "vanilla"): "poly",
    ("short", "deep-ensemble"): "short",
    ("dropout-encoder", "mc-dropout"): "encoder",
    ("restarts", "temperature"): "vanilla",
}
"""Key by kind of training and method, where the method alone is another row's."""


def _key(row: Row) -> str:
    if row.group == "members":
        return ""
    if row.group == "cycles":
        return MEMBER if row.title.startswith(f"Cycle {CYCLES},") else ""
    if row.group == "ablations":
        return f"{row.method} {_kind(row)}"
    if row.method == "temperature" and not row.is_fitted:
        return row.method
    key = _SPECIAL.get((_kind(row), row.method), row.method)
    key = "late" if row.name.startswith(LATE) else key
    key = f"{key} 5" if row.members == 5 and row.method != "deep-ensemble" else key
    return f"{key} fitted" if row.is_fitted else key


def _kind(row: Row) -> str:
    return row.folder.partition("/")[0]


def questions() -> Iterator[Question]:
    """Yield all questions, in the order of the claims."""
    yield from _on_dice()
    yield from _on_calibration()
    yield from _on_checkpoint_ensembles()
    for kind, method, measure in product(ABLATIONS, ("single", "multi"), ("Dice", "ECE")):
        claim = "What changes of the schedule and SGHMC do"
        yield Question(
            claim=claim, one=f"{method} {kind}", other=method, measure=measure, expected=0
        )


def _on_dice() -> Iterator[Question]:
    claim = "Ensembles beat vanilla in Dice"
    for dataset, one, base in product((ACDC, *SCANNERS), ENSEMBLES, (*BASELINES, MEMBER)):
        yield Question(
            claim=claim, one=one, other=base, measure="Dice", expected=1, dataset=dataset
        )
    for one in ("mc-dropout", "encoder"):
        claim = "MC-Dropout lowers the Dice"
        yield Question(claim=claim, one=one, other="poly", measure="Dice", expected=-1)
    claim = "Multi is better than single in Dice"
    for dataset, one in product((ACDC, *SCANNERS), ("multi", "late")):
        yield Question(
            claim=claim, one=one, other="single", measure="Dice", expected=1, dataset=dataset
        )


def _on_calibration() -> Iterator[Question]:
    claim = "All four Bayesian methods calibrate better than vanilla and SWA"
    for dataset, one, base in product((ACDC, *SCANNERS), BAYESIAN, (*BASELINES, "swa")):
        yield Question(
            claim=claim, one=one, other=base, measure="ECE", expected=-1, dataset=dataset
        )
    claim = "Temperature scaling calibrates a little better than vanilla"
    for dataset, one in product((ACDC, *SCANNERS), ("temperature", "vanilla fitted")):
        yield Question(
            claim=claim, one=one, other="vanilla", measure="ECE", expected=-1, dataset=dataset
        )
    claim = "Bayesian methods calibrate better than vanilla if all have fitted temperatures"
    for dataset, measure in (*product(DATASETS, ["ECE"]), (ACDC, "NLL")):
        for one in (name for name in BAYESIAN if name != "late"):
            bases = BASELINES if one not in ("single", "multi") else ("vanilla", "swa")
            for base in bases:
                yield Question(
                    claim=claim,
                    one=f"{one} fitted",
                    other=f"{base} fitted",
                    measure=measure,
                    expected=-1,
                    dataset=dataset,
                )


def _on_checkpoint_ensembles() -> Iterator[Question]:
    for dataset, name, (how, members, other) in product(
        DATASETS,
        ("single", "multi"),
        (("at equal n", " 5", "deep-ensemble"), ("at equal cost", "", "short")),
    ):
        claim = f"Checkpoint ensembles calibrate better than the deep ensemble, {how}"
        yield Question(
            claim=claim,
            one=f"{name}{members}",
            other=other,
            measure="ECE",
            expected=-1,
            dataset=dataset,
        )
    claim = "Multi is better than single under shift"
    for dataset, (measure, expected), (one, other) in product(
        (SHIFTED, *SCANNERS),
        (("ECE", -1), ("Dice", 1)),
        (
            ("multi", "single"),
            ("late", "single"),
            ("multi 5", "single 5"),
            ("multi fitted", "single fitted"),
        ),
    ):
        if measure == "ECE" or not one.endswith("fitted"):  # which has the same Dice
            yield Question(
                claim=claim,
                one=one,
                other=other,
                measure=measure,
                expected=expected,
                dataset=dataset,
            )


def _evaluated(seeds: Seeds, methods: Methods, dataset: str) -> Seeds:
    """Return the seeds of which every row has cases under all conditions of the dataset."""

    def is_evaluated(row: Row) -> bool:
        cases = methods[row.name].cases if row.name in methods else ()
        return {*DATASETS[dataset]} <= {case.groups["shift"] for case in cases}

    return {seed: rows for seed, rows in seeds.items() if all(map(is_evaluated, rows))}


def _answer(question: Question, one: Seeds, other: Seeds, methods: Methods) -> Finding:
    first, second = (_values(question, seeds, methods) for seeds in (one, other))
    shared = [seed for seed in first if seed in second]
    kinds = {_kind(row) for seeds in (one, other) for rows in seeds.values() for row in rows}
    is_paired = bool(shared) and (len(kinds) == 1 or len(shared) > 1)
    if is_paired:
        differences = [aggregate_difference(first[seed], second[seed]) for seed in shared]
    else:
        differences = [aggregate_difference(_mean([*first.values()]), _mean([*second.values()]))]
    is_ece = question.measure == "ECE"
    titles = [
        _title(key, seeds, is_mean=not is_paired)
        for key, seeds in ((question.one, one), (question.other, other))
    ]
    return Finding(
        claim=question.claim,
        measured=f"{question.measure} of {titles[0]} minus that of {titles[1]}, {question.dataset}",
        estimate=_mean(differences).estimate,
        expected=question.expected,
        unit="%" if is_ece else "",
        scale=100 if is_ece else 1,
        digits=2 if is_ece else 3,
        needs_cycles=max(
            cycles_needed(row) for seeds in (one, other) for rows in seeds.values() for row in rows
        ),
        by_training=tuple(d.value for d in differences) if len(differences) > 1 else (),
    )


def _values(question: Question, seeds: Seeds, methods: Methods) -> dict[str, Aggregate]:
    """Return the measure of every seed."""
    conditions, aggregate = DATASETS[question.dataset], MEASURES[question.measure]
    return {
        seed: _mean(
            [
                aggregate([c for c in methods[row.name].cases if c.groups["shift"] in conditions])
                for row in rows
            ]
        )
        for seed, rows in seeds.items()
    }


def _mean(aggregates: Sequence[Aggregate]) -> Aggregate:
    """Return the mean of numbers of the same patients, resample by resample."""
    value = float(np.mean([aggregate.value for aggregate in aggregates]))
    resampled = np.mean([aggregate.estimate.resampled for aggregate in aggregates], axis=0)
    return replace(aggregates[0], estimate=Estimate(value, resampled))


def _title(key: str, seeds: Seeds, *, is_mean: bool) -> str:
    """Return the title of the rows without their seeds, and of how many it is the mean."""
    first = next(iter(seeds.values()))[0]
    title = key if key == MEMBER else first.title.partition(", seed ")[0]
    return f"{title} (mean of {len(seeds)} trainings)" if is_mean and len(seeds) > 1 else title
