"""Coverage of the prediction intervals on many patients, each left out of a small training.

python -m benchmarks.cross_conformal split SPLIT [--folds K]
python -m benchmarks.cross_conformal table DATASET RUN …

A check that does not rest on the few validation patients: ``split`` divides the training patients
of acdc_splits_final.json into K folds and writes them as a splits_final.json for ``bayes-nnunet
train --split``. ``table`` segments the validation cases of these runs, one for each fold, with the
default settings; the intervals of each patient are fitted on the errors of all others, of whatever
fold (cross-conformal prediction).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from napari_bayes_nnunet.app.segmentation.calibrate import CalibrationCase
from napari_bayes_nnunet.app.segmentation.coverage import HeldOut, held_out_coverage
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_labels

from .held_back import SPLIT, read_image
from .markdown import markdown_table

SETTINGS = SegmentationSettings(temperature=1)


def split(file: Path, folds: int) -> None:
    """Write ``folds`` folds of the training patients; every K-th patient is in the same fold."""
    (demo,) = json.loads(SPLIT.read_text(encoding="utf-8"))
    cases = sorted(demo["train"])
    patients = list(dict.fromkeys(map(patient_of, cases)))
    written = []
    for fold in range(folds):
        left_out = set(patients[fold::folds])
        sides = {"train": False, "val": True}
        written.append(
            {
                side: [case for case in cases if (patient_of(case) in left_out) is is_left_out]
                for side, is_left_out in sides.items()
            }
        )
    file.write_text(json.dumps(written, indent=1), encoding="utf-8")


def table(dataset: Path, runs: list[Path]) -> str:
    """Return the coverage on the patients of all runs together as a Markdown table."""
    cases = [case for run in runs for case in _left_out(run, dataset)]
    patients = len({case.patient for case in cases})
    text = markdown_table(
        ["", "level", "held", "95 %", "mean width"], map(_row, held_out_coverage(cases))
    )
    dice = sum(case.mean_dice for case in cases) / len(cases)
    return f"{text}\n{patients} patients, mean Dice {dice:.3f}"


def _left_out(run: Path, dataset: Path) -> Iterator[CalibrationCase]:
    ensemble = Ensemble(run)
    record = ensemble.folder.record
    assert record is not None
    names = {name for fold in record.folds for name in record.validation_cases(fold)}
    for case in read_dataset(dataset).cases:
        if case.name in names:
            image, spacing = read_image(case)
            result = drain(ensemble.steps(image, spacing, SETTINGS, keep_members=True))
            reference = read_labels(case.label).voxels
            patient = patient_of(case.name)
            yield CalibrationCase.compare(case.name, patient, result, reference, spacing)
            print(case.name, flush=True)


def _row(row: HeldOut) -> list[str]:
    low, high = row.share
    width = f"{row.width:.1f} {row.unit}" if row.unit else f"{row.width:.3f}"
    held = f"{row.held} of {row.patients} ({100 * row.held / row.patients:.0f} %)"
    return [row.name, f"{row.level} %", held, f"{100 * low:.0f} to {100 * high:.0f} %", width]


def main() -> None:
    """Run the command named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    splitting, judging = commands.add_parser("split"), commands.add_parser("table")
    splitting.add_argument("file", type=Path)
    splitting.add_argument("--folds", type=int, default=4)
    judging.add_argument("dataset", type=Path)
    judging.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "split":
        split(options.file, options.folds)
    else:
        print(table(options.dataset, options.runs))


if __name__ == "__main__":
    main()
