"""Findings on the paper's claims: measured values, intervals and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, bootstrap
from napari_bayes_nnunet.core.metrics.detection import rank_correlation

from .rows import Row
from .rv_slices import RVSlice

UNKNOWN = "cannot be told"
FEWEST_TRAININGS = 3
"""Trainings needed for a verdict on trainings in general."""
THESE_ONLY = "for these trainings"
"""Addition to the verdict if other trainings may turn out otherwise."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison: an estimate with its 95 % interval, multiplied by ``scale``, in ``unit``.

    The interval is over patients. ``by_training`` are the values of several trainings, whose mean
    is the estimate, or () for one training. ``expected`` is the sign that the claim predicts, 1 or
    -1, or 0 if it predicts none. With a ``doubt``, a reason, the claim cannot be told.
    """

    claim: str
    measured: str
    estimate: Estimate
    expected: int
    unit: str = ""
    scale: float = 1.0
    digits: int = 3
    doubt: str = ""
    by_training: tuple[float, ...] = ()

    @property
    def over_trainings(self) -> tuple[float, float]:
        """95 % interval of Student's t over the trainings, NaN for fewer than three."""
        count = len(self.by_training)
        if count < FEWEST_TRAININGS:
            return np.nan, np.nan
        error = np.std(self.by_training, ddof=1) / np.sqrt(count)
        reach = float(student_t.ppf(0.975, count - 1) * error)
        return self.estimate.value - reach, self.estimate.value + reach

    @property
    def verdict(self) -> str:
        """The verdict by the side of 0 on which both intervals lie.

        If only the interval over patients lies on one side, it is one on these trainings.
        """
        if not self.expected or np.isnan(self.estimate.interval).any():
            return "–"
        if self.doubt:
            return f"{UNKNOWN}: {self.doubt}"
        side = self.expected * _side(self.estimate.interval)
        if not side:
            return UNKNOWN
        verdict = "holds" if side > 0 else "does not hold"
        is_general = self.expected * _side(self.over_trainings) == side
        return verdict if is_general else f"{verdict} {THESE_ONLY}"

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self._text(self.estimate.value)}{self._interval(self.estimate.interval)}{unit}"

    @property
    def trainings_text(self) -> str:
        """The values by training, with their interval if there is one; "" for one training."""
        values = ", ".join(map(self._text, self.by_training))
        interval = self._interval(self.over_trainings)
        return f"{values}: {self._text(self.estimate.value)}{interval}" if interval else values

    def _interval(self, interval: tuple[float, float]) -> str:
        if np.isnan(interval).any():
            return ""
        low, high = map(self._text, interval)
        return f" ({low} to {high})"

    def _text(self, number: float) -> str:
        return f"{self.scale * number:+.{self.digits}f}"


def _side(interval: tuple[float, float]) -> int:
    """Return 1 or -1 if the interval lies above or below 0, else 0; 0 for NaN."""
    low, high = interval
    return int(low > 0) - int(high < 0)


def claim_lines(findings: Sequence[Finding]) -> Iterator[dict[str, object]]:
    """Yield a line of the table of claims for each finding, in its unit."""
    for finding in findings:
        numbers = (finding.estimate.value, *finding.estimate.interval, *finding.over_trainings)
        names = ("value", "low", "high", "low_over_trainings", "high_over_trainings")
        yield {
            "claim": finding.claim,
            "measured": finding.measured,
            "unit": finding.unit,
            **{
                name: round(finding.scale * number, 7)
                for name, number in zip(names, numbers, strict=True)
            },
            "by_training": " ".join(f"{finding.scale * v:.7f}" for v in finding.by_training),
            "verdict": finding.verdict,
        }


def doubt_about(row: Row, converged: Mapping[str, int]) -> str:
    """Return why the members of the row's cycles cannot be compared, "" if they can.

    ``converged`` is the number of last cycles that have converged, by seed.
    """
    if not row.cycles_needed:
        return ""
    if row.seeds not in converged:
        return "the cycles are not evaluated yet"
    return "the cycles differ" if row.cycles_needed > converged[row.seeds] else ""


NNUNET = "poly/seed1"
"""Folder of the network with which silent failures are compared."""
Slices = Mapping[str, Sequence[tuple[str, RVSlice]]]
"""Patient and RV slice under every shift, by the name of the row."""


def silent_failures(
    slices: Slices, rows: Sequence[Row], converged: Mapping[str, int]
) -> Iterator[Finding]:
    """Yield the share of silent failures of small RVs and apical slices, per row.

    An RV is small if its area is among the smallest quarter. The other rows are compared with
    nnU-Net's own schedule, which has a fitted temperature if they have, each by the slices in which
    it failed.
    """
    areas = [s.reference_mm2 for row in rows for _, s in slices.get(row.name, ())]
    small = float(np.percentile(areas, 25)) if areas else 0.0
    of_row = {}
    for row in rows:
        failed = [
            (patient, s.is_silent)
            for patient, s in slices.get(row.name, ())
            if s.is_failed and (s.reference_mm2 <= small or s.place >= 2 / 3)
        ]
        if failed:
            of_row[row] = failed
            measured = f"{row.title}: share of {len(failed)} failed slices that escape"
            yield _escaping(measured, _share(failed))
    for base in (row for row in of_row if row.folder == NNUNET):
        for row in of_row:
            if row is base or row.is_fitted != base.is_fitted:
                continue
            measured = f"{row.title}: share of failed slices that escape minus that of {base.title}"
            difference = _share_difference(of_row[row], of_row[base])
            doubt = doubt_about(row, converged)
            yield _escaping(measured, difference, expected=-1, doubt=doubt)


def _escaping(measured: str, estimate: Estimate, *, expected: int = 0, doubt: str = "") -> Finding:
    return Finding(
        claim="Silent failures of small RVs and apical slices are caught",
        measured=measured,
        estimate=estimate,
        expected=expected,
        unit="%",
        scale=100,
        digits=0,
        doubt=doubt,
    )


def area_correlations(
    slices: Slices, rows: Sequence[Row], converged: Mapping[str, int]
) -> Iterator[Finding]:
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
                doubt=doubt_about(row, converged),
            )


def _spearman(one: Sequence[float], other: Sequence[float], patients: Sequence[str]) -> Estimate:
    pairs = np.array([one, other])

    def correlation(weights: np.ndarray) -> float:
        return rank_correlation(*np.repeat(pairs, weights, axis=1))

    return bootstrap(correlation, patients)


def _share(found: Sequence[tuple[str, bool]]) -> Estimate:
    """Return the share of the patients' slices of which something is true."""
    patients, values = zip(*found, strict=True)
    return bootstrap(lambda weights: float(np.average(values, weights=weights)), patients)


def _share_difference(
    one: Sequence[tuple[str, bool]], other: Sequence[tuple[str, bool]]
) -> Estimate:
    """Return the share of one minus that of the other, of the same resampled patients."""
    patients, values = zip(*one, *other, strict=True)

    def difference(weights: np.ndarray) -> float:
        parts = zip(np.split(weights, [len(one)]), np.split(values, [len(one)]), strict=True)
        shares = [(w * v).sum() / w.sum() if w.any() else np.nan for w, v in parts]
        return float(shares[0] - shares[1])

    return bootstrap(difference, patients)
