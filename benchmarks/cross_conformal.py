"""Coverage of the prediction intervals on many patients, each left out of a small training.

python -m benchmarks.cross_conformal split SPLIT [--folds K]
python -m benchmarks.cross_conformal table DATASET RUN … [--mirroring …] [--members N]
python -m benchmarks.cross_conformal ship FOLDER DATASET RUN … [--mirroring …] [--members N]
python -m benchmarks.cross_conformal compare RUN DATASET OTHER OTHER_DATASET [--mirroring …]

A check that does not rest on the few validation patients: ``split`` divides the training patients
of acdc_splits_final.json into K folds and writes them as a splits_final.json for ``bayes-nnunet
train --split``. ``table`` segments the validation cases of these runs, one for each fold, with the
default settings but for the mirrors and members. The intervals of each patient are fitted on the
errors of all others, of whatever fold (cross-conformal prediction). By the ranks of the errors, the
number of patients that they hold is then nearly fixed. So in a second table the intervals are
fitted on the patients of one fold and tested on those of the others. The last lines count, with
rules fitted on the other patients, the warnings of structures that may have failed.

``ship`` fits the calibration of the ensemble in FOLDER, of the same recipe and more patients, on
the errors of these runs. It returns what the intervals hold of FOLDER's own validation patients,
each left out of the fit. ``compare`` judges a change of the recipe: what OTHER gains over RUN on
the patients that both left out. Their datasets have the same cases; the channels may differ.
Compared cases are kept in RUN/.calibration.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from napari_bayes_nnunet.app.segmentation.calibrate import (
    ARRAYS,
    CalibrationCase,
    HeldOut,
    compare_held_back,
    coverage_elsewhere,
    dice_rules,
    fit_calibration,
    held_out_coverage,
    measure_pair,
    paired,
)
from napari_bayes_nnunet.app.segmentation.calibration import find_calibration, write_calibration
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.choices import Mirroring
from napari_bayes_nnunet.core.ensemble.posterior import apply_temperature
from napari_bayes_nnunet.core.metrics.bootstrap import Estimate, mean_estimate
from napari_bayes_nnunet.core.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
)
from napari_bayes_nnunet.core.metrics.expected_dice import DiceRule
from napari_bayes_nnunet.core.metrics.failure import FAILED_DICE, fit_least_dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.io.study.case_report import expected_dice_entry

from .command_line import run
from .held_back import SPLIT
from .results import markdown_table, with_interval

PHASES = "ED", "ES"


def split(file: Path, *, folds: int = 4) -> None:
    """Write ``folds`` folds of the training patients; every K-th patient is in the same fold."""
    (demo,) = json.loads(SPLIT.read_text(encoding="utf-8"))
    cases = sorted(demo["train"])
    patients = list(dict.fromkeys(map(patient_of, cases)))
    written = []
    for fold in range(folds):
        left_out = set(patients[fold::folds])
        train, val = (
            [c for c in cases if (patient_of(c) in left_out) is out] for out in (False, True)
        )
        written.append({"train": train, "val": val})
    file.write_text(json.dumps(written, indent=1), encoding="utf-8")


def table(
    dataset: Path, runs: list[Path], *, mirroring: Mirroring = "full", members: int = 30
) -> str:
    """Return the coverage on the patients of all runs together as a Markdown table."""
    settings = SegmentationSettings(mirroring=mirroring, members=members)
    folds = [_left_out(folder, dataset, settings) for folder in runs]
    cases = [case for fold in folds for case in fold]
    text = f"{_coverage(held_out_coverage(cases), cases)}\n\n{_between_folds(folds)}"
    return f"{text}\n\n{weak_structures(cases)}"


def ship(
    folder: Path,
    dataset: Path,
    runs: list[Path],
    *,
    mirroring: Mirroring = "full",
    members: int = 30,
) -> str:
    """Write the calibration on all runs into ``folder``; return what it holds of its patients."""
    settings = SegmentationSettings(mirroring=mirroring, members=members)
    cases = [case for run in runs for case in _left_out(run, dataset, settings)]
    own = _left_out(folder, dataset, settings)
    ensemble = find_ensemble(folder)
    before = find_calibration(ensemble, settings)
    mass_range = None if before is None else before.mass_range
    write_calibration(ensemble, fit_calibration(ensemble, settings, cases, mass_range=mass_range))
    return _coverage(coverage_elsewhere(cases, own), own)


def compare(
    run: Path, dataset: Path, other: Path, other_dataset: Path, *, mirroring: Mirroring = "full"
) -> str:
    """Return what ``other`` gains over ``run`` on their common validation cases."""
    settings = SegmentationSettings(mirroring=mirroring)
    every = [_left_out(run, dataset, settings), _left_out(other, other_dataset, settings)]
    names = set[str].intersection(*({case.name for case in cases} for cases in every))
    both = [[case for case in cases if case.name in names] for cases in every]
    patients = [case.patient for case in both[0]]
    rows = []
    for (name, old), new in zip(_figures(both[0]).items(), _figures(both[1]).values(), strict=True):
        before, after = mean_estimate(old, patients), mean_estimate(new, patients)
        gain = Estimate(after.value - before.value, after.resampled - before.resampled)
        values = (f"{estimate.value:.4f}" for estimate in (before, after))
        rows.append([name, *values, with_interval(gain, digits=4, sign="+")])
    return markdown_table(["mean of a volume", run.name, other.name, "gain"], rows)


def _figures(cases: Sequence[CalibrationCase]) -> dict[str, list[float]]:
    """Return figure → its value of each case, NaN where the case has none."""
    ends = {c.name: phase for pair in paired(cases) for phase, c in zip(PHASES, pair, strict=True)}
    probabilities, labels = (
        np.concatenate([getattr(case, name) for case in cases], axis=-1) for name in ARRAYS
    )
    temperature = fit_temperature(probabilities, labels)
    ef_errors = {}
    for end_diastole, end_systole in paired(cases):
        predicted, truth = measure_pair(end_diastole, end_systole)
        ef_errors[end_diastole.name] = predicted["LV EF"].value - truth["LV EF"].value
    errors = [ef_errors.get(case.name, math.nan) for case in cases]
    return {
        "mean Dice": [case.mean_dice for case in cases],
        **{
            f"Dice of {name} at {phase}": [
                case.dice[name] if ends.get(case.name) == phase else math.nan for case in cases
            ]
            for name in cases[0].dice
            for phase in PHASES
        },
        "structures wrongly present or absent in a slice": [*map(_wrong_slices, cases)],
        f"ECE with the temperature {temperature:.2f}": [_ece(case, temperature) for case in cases],
        "error of LV EF, points": errors,
        "its size": [abs(error) for error in errors],
    }


def _wrong_slices(case: CalibrationCase) -> int:
    assert case.slices is not None
    drawn, true = case.slices.predicted, case.slices.reference
    return sum(int(((drawn[name] > 0) != (true[name] > 0)).sum()) for name in true)


def _ece(case: CalibrationCase, temperature: float) -> float:
    """Return the calibration error in the box around the reference."""
    tempered = np.asarray(apply_temperature(case.probabilities, temperature))
    # A class that nothing is of keeps all voxels: they are those of the box already.
    probabilities = np.vstack([np.zeros_like(tempered[:1]), tempered])
    return expected_calibration_error(
        probabilities[..., None, None], case.labels[:, None, None] + 1
    )


def _coverage(rows: Sequence[HeldOut], cases: Sequence[CalibrationCase]) -> str:
    text = markdown_table(["", "level", "held", "95 %", "mean width"], map(_row, rows))
    dice = fmean(case.mean_dice for case in cases)
    return f"{text}\n{len({case.patient for case in cases})} patients, mean Dice {dice:.3f}"


def weak_structures(cases: Sequence[CalibrationCase]) -> str:
    """Return how many cases with and without a failed structure have a warning of one."""

    def least_expected(rules: dict[str, dict[str, DiceRule]], case: CalibrationCase) -> float:
        return min(
            e["value"] for e in expected_dice_entry(rules, case.agreement, case.volumes).values()
        )

    named: dict[bool, list[bool]] = {True: [], False: []}
    for left_out in {case.patient for case in cases}:
        others = [case for case in cases if case.patient != left_out]
        rules = dice_rules(others)
        limit = fit_least_dice(
            [least_expected(rules, case) for case in others],
            [min(case.dice.values()) for case in others],
            [case.patient for case in others],
        )
        for case in (case for case in cases if case.patient == left_out):
            failed = min(case.dice.values()) < FAILED_DICE
            named[failed].append(least_expected(rules, case) < limit)
    return "\n".join(
        f"{name}: {sum(named[failed])} of {len(named[failed])} named"
        for name, failed in (("a structure failed", True), ("none failed", False))
    )


def _between_folds(folds: Sequence[Sequence[CalibrationCase]]) -> str:
    """Return the table of intervals that are fitted on one fold and tested on the others."""
    rows: dict[tuple[str, str], list[HeldOut]] = {}
    for fitted in folds:
        others = [case for fold in folds if fold is not fitted for case in fold]
        for row in coverage_elsewhere(fitted, others):
            rows.setdefault((row.name, f"{row.level} %"), []).append(row)
    cells = []
    for key, of_folds in rows.items():
        shares = [100 * row.held / row.patients for row in of_folds]
        spread = f"{min(shares):.0f} to {max(shares):.0f} %"
        cells.append([*key, f"{fmean(shares):.0f} %", spread, _width(of_folds)])
    return markdown_table(["", "level", "held", "by fold", "mean width"], cells)


def _left_out(folder: Path, dataset: Path, settings: SegmentationSettings) -> list[CalibrationCase]:
    """Return the validation cases of a run; those that an earlier call has kept are read."""
    steps = compare_held_back(Ensemble(folder), read_dataset(dataset), settings)
    return drain(steps, lambda case: print(getattr(case, "name", case), flush=True))


def _row(row: HeldOut) -> list[str]:
    low, high = row.share
    held = f"{row.held} of {row.patients} ({100 * row.held / row.patients:.0f} %)"
    share = f"{100 * low:.0f} to {100 * high:.0f} %"
    return [row.name, f"{row.level} %", held, share, _width([row])]


def _width(rows: Sequence[HeldOut]) -> str:
    unit, width = rows[0].unit, fmean(row.width for row in rows)
    return f"{width:.1f} {unit}" if unit else f"{width:.3f}"


if __name__ == "__main__":
    run(__doc__, split, table, ship, compare)
