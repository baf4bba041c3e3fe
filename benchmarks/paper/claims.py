"""The paper's claims, with measured values, intervals and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregate,
    aggregate_difference,
    mean_over_volumes,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.evaluate import MethodEvaluation
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, bootstrap
from napari_bayes_nnunet.core.metrics.detection import rank_correlation

from .rows import CYCLES, LATE, Row
from .rv_slices import RVSlice
from .shifts import UNSHIFTED

UNKNOWN = "cannot be told"
Methods = Mapping[str, MethodEvaluation]
"""Evaluation of the cases under every shift, by the name of the row."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison: an estimate with its 95 % interval, multiplied by ``scale``, in ``unit``.

    ``expected`` is the sign that the claim predicts, 1 or -1, or 0 if it predicts none. Findings on
    "multi" cannot be told unless its last cycles, ``needs_cycles`` of them, have converged.
    """

    claim: str
    measured: str
    estimate: Estimate
    expected: int
    unit: str = ""
    scale: float = 1.0
    digits: int = 3
    needs_cycles: int = 0

    def verdict(self, *, converged: int = CYCLES) -> str:
        """Return the verdict by the side of 0 on which the interval lies.

        ``converged`` is how many of the last cycles have converged.
        """
        low, high = (side * self.expected for side in self.estimate.interval)
        if not self.expected or np.isnan([low, high]).any():
            return "–"
        if self.needs_cycles > converged:
            return f"{UNKNOWN}: the cycles {'differ' if converged else 'are not evaluated yet'}"
        low, high = sorted((low, high))
        if low > 0:
            return "holds"
        return "does not hold" if high < 0 else UNKNOWN

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        numbers = [self.estimate.value, *self.estimate.interval]
        value, low, high = (f"{self.scale * number:+.{self.digits}f}" for number in numbers)
        interval = "" if "nan" in low else f" ({low} to {high})"
        return f"{value}{interval}{unit}"


def claim_lines(findings: Sequence[Finding], *, converged: int) -> Iterator[dict[str, object]]:
    """Yield a line of the table of claims for each finding, in its unit."""
    for finding in findings:
        numbers = finding.estimate.value, *finding.estimate.interval
        value, low, high = (round(finding.scale * number, 5) for number in numbers)
        yield {
            "claim": finding.claim,
            "measured": finding.measured,
            "unit": finding.unit,
            "value": value,
            "low": low,
            "high": high,
            "verdict": finding.verdict(converged=converged),
        }


def _dice(methods: Methods, row: Row, conditions: Sequence[str]) -> Aggregate:
    return mean_over_volumes(lambda c: c.mean_dice)(_cases(methods, row, conditions))


def _ece(methods: Methods, row: Row, conditions: Sequence[str]) -> Aggregate:
    return pooled_ece(_cases(methods, row, conditions))


def _cases(methods: Methods, row: Row, conditions: Sequence[str]) -> list:
    return [c for c in methods[row.name].cases if c.groups["shift"] in conditions]


def comparisons(methods: Methods, rows: Sequence[Row], shifted: Sequence[str]) -> Iterator[Finding]:
    """Yield the findings that compare two rows in Dice or calibration error."""
    by_name = {row.name: row for row in rows if row.name in methods}

    def compare(
        claim: str, one: str, other: str, conditions: Sequence[str], *, what: str, expected: int
    ) -> Iterator[Finding]:
        if one not in by_name or other not in by_name:
            return
        measures: dict[str, Callable[[Methods, Row, Sequence[str]], Aggregate]]
        measures = {"Dice": _dice, "ECE": _ece}
        aggregate = measures[what]
        a, b = (aggregate(methods, by_name[name], conditions) for name in (one, other))
        where = "ACDC" if list(conditions) == [UNSHIFTED] else "all shifts"
        yield Finding(
            claim=claim,
            measured=f"{what} of {by_name[one].title} minus that of {by_name[other].title}, "
            f"{where}",
            estimate=aggregate_difference(a, b).estimate,
            expected=expected,
            unit="%" if what == "ECE" else "",
            scale=100 if what == "ECE" else 1,
            digits=2 if what == "ECE" else 3,
            needs_cycles=max(_cycles_of(by_name[one]), _cycles_of(by_name[other])),
        )

    names = _names(rows)
    for claim, one, other, what, expected, conditions in _questions(names, shifted):
        yield from compare(claim, one, other, conditions, what=what, expected=expected)


def _cycles_of(row: Row) -> int:
    """Return the number of last cycles whose members are compared as if they were alike."""
    return 0 if row.method != "multi" else 2 if row.name.startswith(LATE) else CYCLES


_SPECIAL = {
    ("poly", "vanilla"): "poly",
    ("short", "deep-ensemble"): "short",
    ("dropout-encoder", "mc-dropout"): "encoder",
}
"""Short name by kind of training and method, where the method alone is another row's."""


def _names(rows: Sequence[Row]) -> dict[str, str]:
    """Return the row's name by a short name, such as "multi", "multi 5" or "multi seed 2".

    Without a number, the short name means the row with the most members. "fitted" is vanilla with
    its fitted temperature, "multi fitted" that of multi, "encoder" dropout in the encoder only,
    "late" multi without its first cycle.
    """
    names = {}
    for row in rows:
        if row.group not in ("compared", "seeds"):
            continue
        key = _SPECIAL.get((row.folder.partition("/")[0], row.method), row.method)
        key = "late" if row.name.startswith(LATE) else key
        if row.is_fitted:
            key = f"{key} fitted" if row.is_twin else "fitted"
        if row.group == "seeds":
            key = f"{key} seed {row.seeds}"
        names[key] = row.name
        if row.members == 5:
            names[f"{key} 5"] = row.name
    return names


Question = tuple[str, str, str, str, int, Sequence[str]]
"""Claim, two rows, measure, expected sign of the difference, and shifts."""


def _questions(names: Mapping[str, str], shifted: Sequence[str]) -> Iterator[Question]:
    plain = [UNSHIFTED]
    for name in ("deep-ensemble", "single", "multi", "late"):
        for base in ("vanilla", "poly"):
            claim = "Ensembles beat vanilla in Dice"
            yield claim, names[name], names[base], "Dice", 1, plain
        yield from _of_further_seeds(claim, name, names, "Dice", 1)
    claim = "MC-Dropout lowers the Dice"
    for name in ("mc-dropout", "encoder"):
        yield claim, names[name], names["poly"], "Dice", -1, plain
    for name in ("mc-dropout", "encoder", "deep-ensemble", "single", "multi", "late"):
        for base in ("vanilla", "poly", "swa"):
            claim = "All four Bayesian methods calibrate better than vanilla and SWA"
            yield claim, names[name], names[base], "ECE", -1, plain
        yield from _of_further_seeds(claim, name, names, "ECE", -1)
    for name in ("temperature", "fitted"):
        claim = "Temperature scaling calibrates a little better than vanilla"
        yield claim, names[name], names["vanilla"], "ECE", -1, plain
    for conditions in (plain, shifted):
        for name in ("mc-dropout", "deep-ensemble", "single", "multi", "late"):
            claim = "Bayesian methods calibrate better than vanilla if all have fitted temperatures"
            yield claim, names[f"{name} fitted"], names["fitted"], "ECE", -1, conditions
    for conditions in (plain, shifted):
        for name in ("single", "multi"):
            for one, other, how in (
                (f"{name} 5", "deep-ensemble", "at equal n"),
                (name, "short", "at equal cost"),
            ):
                claim = f"Checkpoint ensembles calibrate better than the deep ensemble, {how}"
                yield claim, names[one], names[other], "ECE", -1, conditions
    claim = "Multi is not worse than single in Dice"
    for name in ("multi", "late"):
        yield claim, names[name], names["single"], "Dice", 1, plain
    for key in names:
        if key.startswith("multi seed ") and not key.endswith("fitted"):
            other = names[key.replace("multi", "single")]
            yield claim, names[key], other, "Dice", 1, plain
    for what, expected in (("ECE", -1), ("Dice", 1)):
        claim = "Multi is better than single under shift"
        for name in ("multi", "late"):
            yield claim, names[name], names["single"], what, expected, shifted
        yield claim, names["multi 5"], names["single 5"], what, expected, shifted


def _of_further_seeds(
    claim: str, name: str, names: Mapping[str, str], what: str, expected: int
) -> Iterator[Question]:
    """Yield the same question for the trainings with further seeds."""
    for key in names:
        if key.startswith(f"{name} seed "):
            base = names[key.replace(name, "vanilla")]
            yield claim, names[key], base, what, expected, [UNSHIFTED]


Slices = Mapping[str, Sequence[tuple[str, RVSlice]]]
"""Patient and RV slice under every shift, by the name of the row."""


def silent_failures(slices: Slices, rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield the share of silent failures of small RVs and apical slices, per row."""
    areas = [s.reference_mm2 for of_row in slices.values() for _, s in of_row]
    small = float(np.percentile(areas, 25)) if areas else 0.0
    for row in rows:
        failed = [
            (patient, s)
            for patient, s in slices.get(row.name, ())
            if s.is_failed and (s.reference_mm2 <= small or s.place >= 2 / 3)
        ]
        if failed:
            silent = np.array([s.is_silent for _, s in failed], float)
            yield Finding(
                claim="Silent failures of small RVs and apical slices are caught",
                measured=f"{row.title}: share of {len(failed)} failed slices that escape",
                estimate=_share(silent, [patient for patient, _ in failed]),
                expected=0,
                unit="%",
                scale=100,
                digits=0,
            )


def area_correlations(slices: Slices, rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield the rank correlations of uncertain area and true RV area over failed slices."""
    for row in rows:
        failed = [(patient, s) for patient, s in slices.get(row.name, ()) if s.is_failed]
        if len(failed) < 3:
            continue
        patients = [patient for patient, _ in failed]
        true = [s.reference_mm2 for _, s in failed]
        for which, areas in (
            ("of the RV", [s.uncertain_mm2 for _, s in failed]),
            ("of anything", [s.all_uncertain_mm2 for _, s in failed]),
        ):
            yield Finding(
                claim="Entropy correlates with the true RV area in failed cases",
                measured=f"{row.title}: Spearman over {len(failed)} failed slices, area uncertain "
                f"{which}",
                estimate=_spearman(areas, true, patients),
                expected=1,
                digits=2,
            )


def _spearman(one: Sequence[float], other: Sequence[float], patients: Sequence[str]) -> Estimate:
    pairs = np.array([one, other])

    def correlation(weights: np.ndarray) -> float:
        return rank_correlation(*np.repeat(pairs, weights, axis=1))

    return bootstrap(correlation, patients)


def _share(values: np.ndarray, patients: Sequence[str]) -> Estimate:
    return bootstrap(lambda weights: float(np.average(values, weights=weights)), patients)
