"""The paper's experiment: trainings of every method, their evaluation, tables, figures and claims.

python -m benchmarks.paper DATASET OUTPUT [--preset cpu|paper] [--sunnybrook FOLDER] [--mnms FOLDER]
    [--report DOCS] [--workers N] [--only estimate|train|report]

DATASET is ACDC as an nnU-Net raw dataset. The rows are also evaluated on LV contours of Sunnybrook,
and on M&Ms as `bayes-nnunet prepare mnms` wrote it, if their folders are given. Each training and
each row of each case is written to OUTPUT as soon as it is finished, and not repeated when the
command is stopped and started again; weights whose rows are all there may be deleted. Before the
first training the command says how many hours and how much disk all of them take. N workers share
the trainings, one for each CUDA card; so do several commands with the same OUTPUT.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.files.atomic import write_json

from ..command_line import existing_file, existing_folder, new_folder, positive_number
from .cases import mnms_cases, shifted_cases, sunnybrook_cases
from .forecast import forecast_trainings
from .judging import judge, needed_trainings
from .report import write_report
from .rows import rows
from .shifts import UNSHIFTED
from .temperatures import measure_losses, read_temperatures
from .trainings import PRESETS, Preset, record_of, trainings, write_split
from .workers import choose_devices, train_all

SPLIT = Path(__file__).parents[1] / "acdc_splits_final.json"


def main() -> None:
    """Run the missing parts of the experiment."""
    options = _parser().parse_args()
    preset, split = PRESETS[options.preset], options.output / "split.json"
    trains = options.only in (None, "train")
    _check_same_experiment(
        *(options.output, preset, options.dataset, options.split), is_recorded=trains
    )
    held_back = write_split(options.split, split)
    cases = [
        *shifted_cases(options.dataset, held_back, frames=preset.shifted),
        *sunnybrook_cases(options.sunnybrook, options.dataset),
        *mnms_cases(options.mnms, options.dataset),
    ]
    if options.only != "report":
        devices = choose_devices(options.device, options.workers)
        needed = needed_trainings(trainings(preset), cases, rows(preset), options.output)
        places = options.dataset, options.output, split, needed
        forecast = forecast_trainings(*places, preset=preset, devices=devices)
        print(forecast, flush=True)
        if forecast.needed_bytes > forecast.free_bytes:
            sys.exit("The disk of OUTPUT has too little space. Free some, or choose another.")
        if options.only == "estimate":
            return
        failed = train_all(*places, preset=preset, devices=devices)
        if options.only == "train":
            sys.exit(int(bool(failed)))
        processes = 1 if devices[0].startswith("cuda") else len(devices)
        trained = [row for row in rows(preset) if row.is_trained(options.output, preset)]
        how = {"mirroring": preset.mirroring, "device": options.device}
        plain = [case for case in cases if case.condition == UNSHIFTED]
        fitted = [row for row in trained if row.is_fitted]
        measure_losses(plain, fitted, options.output, **how, processes=processes)
        names = [case.name for case in plain]
        temperatures = read_temperatures(options.output, fitted, names)
        judge(cases, trained, options.output, **how, processes=processes, temperatures=temperatures)
    report = options.report or options.output / "report"
    write_report(options.output, report, preset=preset, cases=cases)


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
        choices=["estimate", "train", "report"],
        help="End with the estimate or the trainings, or only write the report of finished rows.",
    )
    return parser


def _dataset(text: str) -> Path:
    """Return the argument as a path. Raises ArgumentTypeError unless it is a dataset."""
    try:
        return read_dataset(existing_folder(text)).path
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _check_same_experiment(
    output: Path, preset: Preset, dataset: Path, split: Path, *, is_recorded: bool
) -> None:
    """Exit if OUTPUT holds another experiment; record a new one if it ``is_recorded``."""
    experiment = {
        "preset": asdict(preset),
        "cases": [case.name for case in read_dataset(dataset).cases],
        "split": json.loads(split.read_text(encoding="utf-8")),
    }
    record, has_trainings = record_of(output), (output / "trainings").exists()
    if not record.exists():
        if has_trainings:
            sys.exit(f"{output} holds trainings of an unknown experiment. Choose another OUTPUT.")
        if is_recorded:
            output.mkdir(parents=True, exist_ok=True)
            write_json(record, experiment)  # at once, because tasks of an array may start together
    elif json.loads(record.read_text(encoding="utf-8")) != experiment:
        sys.exit(
            f"{output} holds an experiment with another preset, dataset or split. "
            "Choose another OUTPUT."
        )


if __name__ == "__main__":
    main()
