"""The paper's experiment: trainings of every method, their evaluation, tables, figures and claims.

python -m benchmarks.paper DATASET OUTPUT [--preset cpu|paper] [--sunnybrook FOLDER] [--mnms FOLDER]
    [--report DOCS] [--workers N] [--only train|report]

DATASET is ACDC as an nnU-Net raw dataset. The rows are also evaluated on LV contours of Sunnybrook,
and on M&Ms as `bayes-nnunet prepare mnms` wrote it, if their folders are given. Each training and
each row of each case is written to OUTPUT as soon as it is finished, and not repeated when the
command is stopped and started again; weights whose rows are all there may be deleted. N workers
share the trainings, by default one for each CUDA card or core; so do several commands with the same
OUTPUT. ``--only`` ends with the trainings, or only writes the report of finished rows, to DOCS or
OUTPUT/report.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.files.atomic import write_json
from napari_bayes_nnunet.io.files.json_files import read_json

from .. import command_line
from ..held_back import SPLIT
from .cases import mnms_cases, shifted_cases, sunnybrook_cases
from .judging import Case, judge, needed_trainings
from .report import write_report
from .rows import MNMS, SUNNYBROOK, rows
from .shifts import UNSHIFTED
from .temperatures import measure_losses, read_temperatures
from .trainings import (
    PRESETS,
    Preset,
    Training,
    read_split,
    record_of,
    trainings,
    write_split,
)
from .workers import choose_devices, train_all


def main(
    dataset: Path,
    output: Path,
    *,
    preset: Literal["cpu", "paper"] = "cpu",
    split: Path = SPLIT,
    sunnybrook: Path | None = None,
    mnms: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    report: Path | None = None,
    only: Literal["train", "report"] | None = None,
) -> int:
    """Run the missing parts of the experiment; return 1 if a training failed."""
    names = [case.name for case in read_dataset(dataset).cases]
    size, fold = PRESETS[preset], read_split(split, names)
    cases = [
        *shifted_cases(dataset, fold["val"], frames=size.shifted),
        *sunnybrook_cases(sunnybrook, dataset),
        *mnms_cases(mnms, dataset),
    ]
    _check_cases(cases, {SUNNYBROOK: sunnybrook, MNMS: mnms})
    experiment = {"preset": asdict(size), "cases": names, "split": [fold]}
    _check_same_experiment(output, experiment, is_new=only != "report")
    failed: list[Training] = []
    if only != "report":
        devices = choose_devices(device, workers)
        needed = needed_trainings(trainings(size), cases, rows(size), output)
        places = dataset, output, output / "split.json", needed
        write_split(fold, output / "split.json")
        failed = train_all(*places, preset=size, devices=devices)
    if only is None:
        _evaluate(cases, size, devices, output, device=device)
    if only != "train":
        write_report(output, report or output / "report", preset=size, cases=cases, device=device)
    return int(bool(failed))


def _evaluate(
    cases: Sequence[Case], preset: Preset, devices: Sequence[str], output: Path, *, device: str
) -> None:
    """Evaluate the missing rows, unless another command does."""
    processes = 1 if devices[0].startswith("cuda") else len(devices)
    trained = [row for row in rows(preset) if row.is_trained(output, preset)]
    how = {"mirroring": preset.mirroring, "device": device}
    plain = [case for case in cases if case.condition == UNSHIFTED]
    fitted = [row for row in trained if row.is_fitted]
    try:
        with FileLock(output / "evaluation.lock", timeout=0):
            measure_losses(plain, fitted, output, **how, processes=processes)
            found = read_temperatures(output, fitted, [case.name for case in plain])
            judge(cases, trained, output, **how, processes=processes, temperatures=found)
    except Timeout:
        sys.exit("Another command evaluates these trainings. Start this one again afterwards.")


def _check_same_experiment(output: Path, experiment: dict[str, Any], *, is_new: bool) -> None:
    """Exit if OUTPUT holds another experiment, or none that may be ``is_new``; record a new one."""
    record = record_of(output)
    if record.exists():
        if read_json(record, dict[str, Any], repair="Choose another OUTPUT.") != experiment:
            sys.exit(
                f"{output} holds an experiment with another preset, dataset or split. "
                "Choose another OUTPUT."
            )
    elif not is_new or (output / "trainings").exists():
        sys.exit(f"{output} holds no known experiment. Choose another OUTPUT.")
    else:
        output.mkdir(parents=True, exist_ok=True)
        write_json(record, experiment)  # at once, because tasks of an array may start together


def _check_cases(cases: Sequence[Case], folders: Mapping[str, Path | None]) -> None:
    """Exit if all cases of another scanner are missing, or files of some cases."""
    for condition, folder in folders.items():
        if folder is not None and condition not in {case.condition for case in cases}:
            sys.exit(f"{folder} has no image. Choose another folder.")
    for file in (file for case in cases for file in (case.image, case.label)):
        if not file.exists():
            sys.exit(f"{file} is missing. Add it, or remove the case.")


if __name__ == "__main__":
    command_line.run(__doc__, main)
