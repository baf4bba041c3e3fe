"""The paper's experiment: trainings of every method, their evaluation, tables, figures and claims.

python -m benchmarks.paper DATASET OUTPUT [--preset cpu|paper] [--sunnybrook FOLDER] [--mnms FOLDER]
    [--report DOCS] [--workers N] [--only train|report]

DATASET is ACDC as an nnU-Net raw dataset. The rows are also evaluated on LV contours of Sunnybrook,
and on M&Ms as `bayes-nnunet prepare mnms` wrote it, if their folders are given. Each training and
each row of each case is written to OUTPUT as soon as it is finished, and not repeated when the
command is stopped and started again; weights whose rows are all there may be deleted. N workers
share the trainings, one for each CUDA card; so do several commands with the same OUTPUT.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.files.atomic import write_json
from napari_bayes_nnunet.io.files.json_files import read_json

from ..command_line import (
    existing_file,
    existing_folder,
    exiting_with_problems,
    new_folder,
    positive_number,
)
from .cases import mnms_cases, shifted_cases, sunnybrook_cases
from .judging import Case, judge, needed_trainings
from .report import write_report
from .rows import MNMS, SUNNYBROOK, rows
from .shifts import UNSHIFTED
from .temperatures import measure_losses, read_temperatures
from .trainings import (
    PRESETS,
    Fold,
    Preset,
    Training,
    read_split,
    record_of,
    trainings,
    write_split,
)
from .workers import choose_devices, train_all

SPLIT = Path(__file__).parents[1] / "acdc_splits_final.json"


def main() -> None:
    """Run the missing parts of the experiment."""
    options = _parser().parse_args()
    try:
        with exiting_with_problems():
            _run(options)
    except KeyboardInterrupt:
        sys.exit("Stopped. Start the same command again to continue.")


def _run(options: argparse.Namespace) -> None:
    names = [case.name for case in read_dataset(options.dataset).cases]
    preset, fold = PRESETS[options.preset], read_split(options.split, names)
    cases = [
        *shifted_cases(options.dataset, fold["val"], frames=preset.shifted),
        *sunnybrook_cases(options.sunnybrook, options.dataset),
        *mnms_cases(options.mnms, options.dataset),
    ]
    _check_cases(cases, options)
    _check_same_experiment(options, preset, fold)
    failed: list[Training] = []
    if options.only != "report":
        devices = choose_devices(options.device, options.workers)
        needed = needed_trainings(trainings(preset), cases, rows(preset), options.output)
        split = options.output / "split.json"
        places = options.dataset, options.output, split, needed
        write_split(fold, split)
        failed = train_all(*places, preset=preset, devices=devices)
        if options.only == "train":
            sys.exit(int(bool(failed)))
        _evaluate(cases, preset, devices, options)
    report = options.report or options.output / "report"
    write_report(options.output, report, preset=preset, cases=cases, device=options.device)
    sys.exit(int(bool(failed)))


def _evaluate(
    cases: Sequence[Case], preset: Preset, devices: Sequence[str], options: argparse.Namespace
) -> None:
    """Evaluate the missing rows, unless another command does."""
    output = options.output
    processes = 1 if devices[0].startswith("cuda") else len(devices)
    trained = [row for row in rows(preset) if row.is_trained(output, preset)]
    how = {"mirroring": preset.mirroring, "device": options.device}
    plain = [case for case in cases if case.condition == UNSHIFTED]
    fitted = [row for row in trained if row.is_fitted]
    try:
        with FileLock(output / "evaluation.lock", timeout=0):
            measure_losses(plain, fitted, output, **how, processes=processes)
            found = read_temperatures(output, fitted, [case.name for case in plain])
            judge(cases, trained, output, **how, processes=processes, temperatures=found)
    except Timeout:
        sys.exit("Another command evaluates these trainings. Start this one again afterwards.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=_dataset)
    parser.add_argument("output", type=new_folder)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--split", type=existing_file, default=SPLIT)
    parser.add_argument(
        "--sunnybrook", type=existing_folder, help="Folder of images/ and labels/ (LV 1)."
    )
    parser.add_argument(
        "--mnms", type=existing_folder, help="Folder that `bayes-nnunet prepare mnms` wrote."
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--workers", type=positive_number, help="Default: the CUDA cards, or CPU cores."
    )
    parser.add_argument("--report", type=new_folder, help="Report folder. Default: OUTPUT/report.")
    parser.add_argument(
        "--only",
        choices=["train", "report"],
        help="End with the trainings, or only write the report of finished rows.",
    )
    return parser


def _dataset(text: str) -> Path:
    """Return the argument as a path. Raises ArgumentTypeError unless it is a dataset."""
    try:
        return read_dataset(existing_folder(text)).path
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _check_same_experiment(options: argparse.Namespace, preset: Preset, fold: Fold) -> None:
    """Exit if OUTPUT holds another experiment, or none to report; record a new one to train."""
    output = options.output
    experiment = {
        "preset": asdict(preset),
        "cases": [case.name for case in read_dataset(options.dataset).cases],
        "split": [fold],
    }
    record = record_of(output)
    if record.exists():
        kept = read_json(record, dict[str, Any], repair="Choose another OUTPUT.")
        if kept != experiment:
            sys.exit(
                f"{output} holds an experiment with another preset, dataset or split. "
                "Choose another OUTPUT."
            )
    elif (output / "trainings").exists():
        sys.exit(f"{output} holds trainings of an unknown experiment. Choose another OUTPUT.")
    elif options.only == "report":
        sys.exit(f"{output} holds no experiment. Choose the OUTPUT of one.")
    else:
        output.mkdir(parents=True, exist_ok=True)
        write_json(record, experiment)  # at once, because tasks of an array may start together


def _check_cases(cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Exit if files of cases are missing, or all cases of another scanner."""
    for condition, folder in ((SUNNYBROOK, options.sunnybrook), (MNMS, options.mnms)):
        if folder is not None and condition not in {case.condition for case in cases}:
            sys.exit(f"{folder} has no image. Choose another folder.")
    for file in (file for case in cases for file in (case.image, case.label)):
        if not file.exists():
            sys.exit(f"{file} is missing. Add it, or remove the case.")


if __name__ == "__main__":
    main()
