"""Coverage of the prediction intervals on many patients, each left out of a small training.

python -m benchmarks.cross_conformal split SPLIT [--folds K]
python -m benchmarks.cross_conformal table DATASET RUN … [--mirroring full|spread|none]

A check that does not rest on the few validation patients: ``split`` divides the training patients
of acdc_splits_final.json into K folds and writes them as a splits_final.json for ``bayes-nnunet
train --split``. ``table`` segments the validation cases of these runs, one for each fold, with the
default settings but for the mirrors. The intervals of each patient are fitted on the errors of all
others, of whatever fold (cross-conformal prediction). By the ranks of the errors, the number of
patients that they hold is then nearly fixed. So in a second table the intervals are fitted on the
patients of one fold and tested on those of the others. The last lines count, with rules fitted on
the other patients, the warnings of structures that may have failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from napari_bayes_nnunet.app.segmentation.calibrate import (
    CalibrationCase,
    HeldOut,
    coverage_elsewhere,
    dice_rules,
    held_out_coverage,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.choices import Mirroring
from napari_bayes_nnunet.core.metrics.expected_dice import DiceRule
from napari_bayes_nnunet.core.metrics.failure import FAILED_DICE, fit_least_dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.case_report import expected_dice_entry

from .command_line import run
from .held_back import SPLIT, read_image
from .results import markdown_table


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


def table(dataset: Path, runs: list[Path], *, mirroring: Mirroring = "full") -> str:
    """Return the coverage on the patients of all runs together as a Markdown table."""
    settings = SegmentationSettings(temperature=1, mirroring=mirroring)
    folds = [list(_left_out(folder, dataset, settings)) for folder in runs]
    cases = [case for fold in folds for case in fold]
    patients = len({case.patient for case in cases})
    text = markdown_table(
        ["", "level", "held", "95 %", "mean width"], map(_row, held_out_coverage(cases))
    )
    dice = sum(case.mean_dice for case in cases) / len(cases)
    text += f"\n{patients} patients, mean Dice {dice:.3f}\n\n{_between_folds(folds)}"
    return f"{text}\n\n{weak_structures(cases)}"


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


def _left_out(
    folder: Path, dataset: Path, settings: SegmentationSettings
) -> Iterator[CalibrationCase]:
    ensemble = Ensemble(folder)
    record = ensemble.folder.record
    assert record is not None
    names = {name for fold in record.folds for name in record.validation_cases(fold)}
    for case in read_dataset(dataset).cases:
        if case.name in names:
            image, spacing = read_image(case)
            result = drain(ensemble.steps(image, spacing, settings, keep_members=True))
            reference = read_labels(case.label).voxels
            patient = patient_of(case.name)
            yield CalibrationCase.compare(case.name, patient, result, reference, spacing)
            print(case.name, flush=True)


def _row(row: HeldOut) -> list[str]:
    low, high = row.share
    held = f"{row.held} of {row.patients} ({100 * row.held / row.patients:.0f} %)"
    share = f"{100 * low:.0f} to {100 * high:.0f} %"
    return [row.name, f"{row.level} %", held, share, _width([row])]


def _width(rows: Sequence[HeldOut]) -> str:
    unit, width = rows[0].unit, fmean(row.width for row in rows)
    return f"{width:.1f} {unit}" if unit else f"{width:.3f}"


if __name__ == "__main__":
    run(__doc__, split, table)
