"""The paper's claims on Dice and calibration, asked as differences between rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregate,
    Aggregation,
    CaseScore,
    aggregate_difference,
    mean_over_volumes,
    numbers_of,
    pooled_ece,
    rank_cases,
)
from napari_bayes_nnunet.app.evaluation.case import case_table
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate
from napari_bayes_nnunet.core.metrics.detection import (
    area_under_risk_coverage,
    excess_area_under_risk_coverage,
)

from .claims import Finding, doubt_about
from .rows import (
    ABLATIONS,
    CYCLES,
    MNMS,
    ONLY_LAST,
    PER_CYCLE,
    SPREAD,
    STEPS,
    SUNNYBROOK,
    Row,
)
from .shifts import SHIFTS, UNSHIFTED

if TYPE_CHECKING:
    from pandas import DataFrame


class _Confidence(CaseScore):
    """Agreement of the members, or of one network the negative distant entropy."""

    def pairs(self, table: DataFrame) -> NDArray[np.float64]:
        agreement, risks = super().pairs(table).T
        entropy = numbers_of(table, "distant_entropy")
        return np.stack([np.where(np.isnan(agreement), -entropy, agreement), risks], axis=1)


CONFIDENCE = _Confidence("confidence", "Confidence", "", "pairwise_dice", 1)


DATASETS: Mapping[str, Sequence[str]] = {
    "ACDC": [UNSHIFTED],
    "all shifts": [shift.name for shift in SHIFTS if shift.name != UNSHIFTED],
    "Sunnybrook": [SUNNYBROOK],
    "M&Ms": [MNMS],
}
"""Conditions by name; the cases of several are pooled."""
ACDC, SHIFTED, *SCANNERS = DATASETS
MEASURES: Mapping[str, Aggregation] = {
    "Dice": mean_over_volumes("dice"),
    "ECE": pooled_ece,
    "NLL": mean_over_volumes("nll"),
    "AURC": rank_cases(area_under_risk_coverage, CONFIDENCE),
    "e-AURC": rank_cases(excess_area_under_risk_coverage, CONFIDENCE),
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


class Side(NamedTuple):
    """One side of a difference: its ``numbers`` by seed, and why they should not be compared.

    ``row`` is one of its rows. If it ``is_chosen``, other seeds are left out.
    """

    key: str
    row: Row
    numbers: Mapping[str, Aggregate]
    doubt: str = ""
    is_chosen: bool = False

    def title(self, *, is_mean: bool) -> str:
        """Return the title without seeds, except chosen ones, or with the number of seeds."""
        title = self.key if self.key == MEMBER else self.row.title.partition(", seed ")[0]
        count = len(self.numbers)
        if self.is_chosen:
            title += f", seed{'s' if count > 1 else ''} {' and '.join(self.numbers)}"
        return f"{title} (mean of {count} trainings)" if is_mean and count > 1 else title

    def of_seeds(self, seeds: Collection[str]) -> Side:
        """Return the side with the numbers of these seeds only, or itself if it has none."""
        kept = {seed: number for seed, number in self.numbers.items() if seed in seeds}
        if len(kept) in (0, len(self.numbers)):
            return self
        return self._replace(numbers=kept, is_chosen=True)


class Question(NamedTuple):
    """Whether the measure of ``one`` minus that of ``other`` has the ``expected`` sign.

    Both are keys of `rows_by_key`.
    """

    claim: str
    one: str
    other: str
    measure: str
    expected: int
    dataset: str = ACDC


def comparisons(
    methods: Methods, rows: Sequence[Row], converged: Mapping[str, int]
) -> Iterator[Finding]:
    """Yield the answers to all questions whose rows are evaluated.

    Rows with the same seeds are compared in pairs, and the mean of their differences counts. What
    was trained once is compared with the mean over the other's seeds, but a changed schedule with
    the training of its own seed, which begins alike. Where the cycles of some seeds have
    ``converged``, see `doubt_about`, the others do not count.
    """
    by_key = rows_by_key(rows)

    @cache
    def measure(row: Row, measure: str, dataset: str) -> Aggregate | None:
        """Return a number of the row, None before all conditions of the dataset are evaluated."""
        evaluated = methods[row.name].cases if row.name in methods else ()
        cases = [case for case in evaluated if case.groups["shift"] in DATASETS[dataset]]
        is_whole = {case.groups["shift"] for case in cases} == {*DATASETS[dataset]}
        return MEASURES[measure](case_table(cases)) if is_whole else None

    def side(key: str, question: Question) -> Side | None:
        numbers = {}
        for seed, of_seed in by_key.get(key, {}).items():
            found = [measure(row, question.measure, question.dataset) for row in of_seed]
            known = [aggregate for aggregate in found if aggregate is not None]
            if len(known) == len(found):
                numbers[seed] = _mean(known)
        return _beyond_doubt(key, by_key[key], numbers, converged) if numbers else None

    for question in questions():
        one, other = side(question.one, question), side(question.other, question)
        if one and other:
            if one.row.group == "ablations":
                other = other.of_seeds(one.numbers)
            yield _answer(question, one, other)


def rows_by_key(rows: Sequence[Row]) -> dict[str, Seeds]:
    """Return the rows by a short key, such as "multi", "multi 5" or "multi fitted", and seed.

    Without a number, the key means the row with the most members. "poly" is vanilla with nnU-Net's
    own schedule, "short" the deep ensemble of its cost, "encoder" dropout in the encoder only,
    "late" multi without its first cycle, and "multi sghmc-1" multi of that kind of training. Other
    members of multi and single go by their titles.
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
        return row.title
    if row.group == "cycles":
        return MEMBER if row.title.startswith(f"Cycle {CYCLES},") else ""
    if row.group == "ablations":
        return f"{row.method} {_kind(row)}"
    if row.method == "temperature" and not row.is_fitted:
        return row.method
    key = _SPECIAL.get((_kind(row), row.method), row.method)
    key = "late" if row.is_late else key
    key = f"{key} 5" if row.members == 5 and row.method != "deep-ensemble" else key
    return f"{key} fitted" if row.is_fitted else key


def _kind(row: Row) -> str:
    return row.folder.partition("/")[0]


def questions() -> Iterator[Question]:
    """Yield all questions, in the order of the claims."""
    yield from _on_dice()
    yield from _on_calibration()
    yield from _on_checkpoint_ensembles()
    yield from _on_failed_cases()
    measures = ("Dice", "ECE", "AURC", "e-AURC")
    for kind, method, measure in product(ABLATIONS, ("single", "multi"), measures):
        claim = "What changes of the schedule and SGHMC do"
        yield Question(claim, f"{method} {kind}", method, measure, 0)
    yield from _on_members()


def _on_dice() -> Iterator[Question]:
    claim = "Ensembles beat vanilla in Dice"
    for dataset, one, base in product((ACDC, *SCANNERS), ENSEMBLES, (*BASELINES, MEMBER)):
        yield Question(claim, one, base, "Dice", 1, dataset)
    for dataset, one, (other, how) in product(
        DATASETS, ("single", "multi"), (("deep-ensemble", ""), ("short", " of the same cost"))
    ):
        claim = f"Checkpoint ensembles beat the deep ensemble{how} in Dice"
        yield Question(claim, one, other, "Dice", 1, dataset)
    claim = "MC-Dropout lowers the Dice"
    for dataset, one in product((ACDC, *SCANNERS), ("mc-dropout", "encoder")):
        yield Question(claim, one, "poly", "Dice", -1, dataset)
    claim = "Multi is better than single in Dice"
    for dataset, one in product((ACDC, *SCANNERS), ("multi", "late")):
        yield Question(claim, one, "single", "Dice", 1, dataset)


def _on_calibration() -> Iterator[Question]:
    claim = "All four Bayesian methods calibrate better than vanilla and SWA"
    for dataset, one, base in product((ACDC, *SCANNERS), BAYESIAN, (*BASELINES, "swa")):
        yield Question(claim, one, base, "ECE", -1, dataset)
    claim = "Temperature scaling calibrates a little better than vanilla"
    for dataset, one in product((ACDC, *SCANNERS), ("temperature", "vanilla fitted")):
        yield Question(claim, one, "vanilla", "ECE", -1, dataset)
    claim = "Bayesian methods calibrate better than vanilla if all have fitted temperatures"
    for dataset, measure in (*product(DATASETS, ["ECE"]), (ACDC, "NLL")):
        for one in (name for name in BAYESIAN if name != "late"):
            for base in (*BASELINES, "swa"):
                yield Question(claim, f"{one} fitted", f"{base} fitted", measure, -1, dataset)


def _on_checkpoint_ensembles() -> Iterator[Question]:
    for dataset, name, (how, members, other) in product(
        DATASETS,
        ("single", "multi"),
        (
            ("with all their members", "", "deep-ensemble"),
            ("at equal n", " 5", "deep-ensemble"),
            ("at equal cost", "", "short"),
        ),
    ):
        claim = f"Checkpoint ensembles calibrate better than the deep ensemble, {how}"
        yield Question(claim, f"{name}{members}", other, "ECE", -1, dataset)
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
            yield Question(claim, one, other, measure, expected, dataset)


def _on_failed_cases() -> Iterator[Question]:
    claim = "Agreement finds failed cases better than the distant entropy of one network"
    ensembles = ("mc-dropout", "encoder", "deep-ensemble", "short", "single", "multi")
    for dataset, one, measure in product((ACDC, *SCANNERS), ensembles, ("AURC", "e-AURC")):
        yield Question(claim, one, "poly", measure, -1, dataset)


def _on_members() -> Iterator[Question]:
    """Yield what fewer members do, and more epochs between them."""
    claim = "What fewer members, and steps between them, do"
    fewer = [(f"{count} per cycle", f"{PER_CYCLE[-1]} per cycle") for count in PER_CYCLE[:-1]]
    steps = [f"{SPREAD} per cycle, step {step}" for step in STEPS]
    for start, (one, other), measure in product(
        ("", ONLY_LAST), [*fewer, *((step, steps[0]) for step in steps[1:])], ("Dice", "ECE")
    ):
        yield Question(claim, f"{start}{one}", f"{start}{other}", measure, 0)


def _answer(question: Question, one: Side, other: Side) -> Finding:
    """Return the difference of the numbers of both sides, by seed."""
    shared = [seed for seed in one.numbers if seed in other.numbers]
    is_paired = bool(shared) and (_kind(one.row) == _kind(other.row) or len(shared) > 1)
    if is_paired:
        differences = [aggregate_difference(one.numbers[s], other.numbers[s]) for s in shared]
    else:
        means = (_mean([*side.numbers.values()]) for side in (one, other))
        differences = [aggregate_difference(*means)]
    minuend, subtrahend = (side.title(is_mean=not is_paired) for side in (one, other))
    is_ece = question.measure == "ECE"
    return Finding(
        claim=question.claim,
        measured=f"{question.measure} of {minuend} minus that of {subtrahend}, {question.dataset}",
        estimate=_mean(differences).estimate,
        expected=question.expected,
        unit="%" if is_ece else "",
        scale=100 if is_ece else 1,
        digits=2 if is_ece else 3,
        doubt=one.doubt or other.doubt,
        by_training=tuple(d.value for d in differences) if len(differences) > 1 else (),
    )


def _beyond_doubt(
    key: str, rows: Seeds, numbers: Mapping[str, Aggregate], converged: Mapping[str, int]
) -> Side:
    """Return the seeds whose cycles can be compared; if there are none, all of them."""
    row = next(iter(rows.values()))[0]
    doubts = {seed: doubt_about(rows[seed][0], converged) for seed in numbers}
    kept = {seed: number for seed, number in numbers.items() if not doubts[seed]}
    if not kept:
        return Side(key, row, numbers, doubt=next(iter(doubts.values())))
    return Side(key, row, kept, is_chosen=len(kept) < len(numbers))


def _mean(aggregates: Sequence[Aggregate]) -> Aggregate:
    """Return the mean of numbers of the same patients, resample by resample."""
    value = float(np.mean([aggregate.value for aggregate in aggregates]))
    resampled = np.mean([aggregate.estimate.resampled for aggregate in aggregates], axis=0)
    return replace(aggregates[0], estimate=Estimate(value, resampled))
