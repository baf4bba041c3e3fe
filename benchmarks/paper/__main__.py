"""The paper's experiment: trainings of every method, their evaluation, tables, figures and claims.

python -m benchmarks.paper DATASET OUTPUT [--preset cpu|paper] [--sunnybrook FOLDER] [--report DOCS]
    [--workers N] [--only estimate|train|report]

DATASET is ACDC as an nnU-Net raw dataset. Each training and each row of each case is written to
OUTPUT as soon as it is finished, and not repeated when the command is stopped and started again.
Before the first training the command says how many hours and how much disk all of them take. N
workers share the trainings, one for each CUDA card; so do several commands with the same OUTPUT.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT, patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.files.atomic import write_json

from .forecast import forecast_trainings
from .judging import Case, judge
from .report import SUNNYBROOK, write_report
from .rows import rows
from .shifts import SHIFTS, UNSHIFTED
from .temperatures import measure_losses, read_temperatures
from .trainings import PRESETS, Preset, write_split
from .workers import choose_devices, train_all

SPLIT = Path(__file__).parents[1] / "acdc_splits_final.json"


def main() -> None:
    """Run the missing parts of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--split", type=Path, default=SPLIT)
    parser.add_argument("--sunnybrook", type=Path, help="Folder with the two Sunnybrook patients.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, help="Default: the CUDA cards, or CPU cores.")
    parser.add_argument("--report", type=Path, help="Report folder. Default: OUTPUT/report.")
    parser.add_argument(
        "--only",
        choices=["estimate", "train", "report"],
        help="End with the estimate or the trainings, or only write the report of finished rows.",
    )
    options = parser.parse_args()
    preset, split = PRESETS[options.preset], options.output / "split.json"
    _check_same_experiment(options.output, preset, options.dataset, options.split)
    held_back = write_split(options.split, split)
    shifted = _shifted_cases(options.dataset, held_back, frames=preset.shifted)
    cases = [*shifted, *_sunnybrook_cases(options.sunnybrook)]
    if options.only != "report":
        devices = choose_devices(options.device, options.workers)
        places = options.dataset, options.output, split
        forecast = forecast_trainings(*places, preset=preset, devices=devices)
        print(forecast, flush=True)
        if forecast.needed_bytes > forecast.free_bytes:
            sys.exit("The disk of OUTPUT has too little space. Free some, or choose another.")
        if options.only == "estimate":
            return
        train_all(*places, preset=preset, devices=devices)
        if options.only == "train":
            return
        processes = 1 if devices[0].startswith("cuda") else len(devices)
        trained = [row for row in rows(preset) if row.is_trained(options.output, preset)]
        how = {"mirroring": preset.mirroring, "device": options.device}
        plain = [case for case in cases if case.condition == UNSHIFTED]
        fitted = [row for row in trained if row.is_fitted]
        measure_losses(plain, fitted, options.output, **how, processes=processes)
        temperatures = read_temperatures(options.output, fitted)
        judge(cases, trained, options.output, **how, processes=processes, temperatures=temperatures)
    report = options.report or options.output / "report"
    write_report(options.output, report, preset=preset, cases=cases)


def _check_same_experiment(output: Path, preset: Preset, dataset: Path, split: Path) -> None:
    """Record the experiment in OUTPUT, or exit if OUTPUT holds another one."""
    experiment = {
        "preset": asdict(preset),
        "cases": [case.name for case in read_dataset(dataset).cases],
        "split": json.loads(split.read_text(encoding="utf-8")),
    }
    file, has_trainings = output / "experiment.json", (output / "trainings").exists()
    if not file.exists():
        if has_trainings:
            sys.exit(f"{output} holds trainings of an unknown experiment. Choose another OUTPUT.")
        output.mkdir(parents=True, exist_ok=True)
        write_json(file, experiment)  # at once, because tasks of an array may start together
    elif json.loads(file.read_text(encoding="utf-8")) != experiment:
        sys.exit(
            f"{output} holds an experiment with another preset, dataset or split. "
            "Choose another OUTPUT."
        )


def _shifted_cases(dataset: Path, held_back: list[str], *, frames: str) -> Iterator[Case]:
    """Yield every validation case unshifted, and all of them or the ES frames under every shift."""
    raw = read_dataset(dataset)
    structures = {name: value for name, value in raw.labels.items() if value}
    for shift in SHIFTS:
        for case in raw.cases:
            is_wanted = shift.name == UNSHIFTED or frames == "all" or not _is_ed(case.name)
            if case.name in held_back and is_wanted:
                patient = patient_of(case.name, DEFAULT_PATIENT)
                yield Case(shift.name, case.name, patient, case.images[0], case.label, structures)


def _is_ed(case: str) -> bool:
    """Return whether the case is an ED frame, which ACDC numbers 1."""
    return case.endswith("_frame01")


def _sunnybrook_cases(folder: Path | None) -> Iterator[Case]:
    """Yield the cases of two patients of another vendor, with LV and, at ED, myocardium contours.

    An uncropped image replaces its crop, because a crop changes the intensity normalisation.
    """
    files = sorted(folder.glob("*_gt.nii.gz")) if folder else []
    uncropped = {file.name.replace("_uncropped", "") for file in files if "_uncropped" in file.name}
    for label in files:
        if label.name in uncropped:
            continue
        image = label.with_name(label.name.replace("_gt", ""))
        structures = {"MYO": 2, "LV": 3} if "_ED_" in label.name else {"LV": 3}
        patient = label.name.partition("_")[0]
        yield Case(SUNNYBROOK, image.name.partition(".")[0], patient, image, label, structures)


if __name__ == "__main__":
    main()
