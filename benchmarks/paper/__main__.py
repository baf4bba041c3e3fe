"""The paper's experiment: train every method, judge every row, write tables, figures and claims.

python -m benchmarks.paper DATASET OUTPUT [--preset cpu|paper] [--sunnybrook FOLDER] [--report DOCS]

DATASET is ACDC as an nnU-Net raw dataset. What is finished is never done again: stop it, start it
anew. Each training and each row of each case is written to OUTPUT as soon as it is done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT, patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset

from .judging import Case, judge
from .report import SUNNYBROOK, write_report
from .rows import rows, vanilla
from .shifts import SHIFTS, UNSHIFTED
from .temperatures import fitted_temperatures
from .trainings import PRESETS, Preset, train_all, write_split

SPLIT = Path(__file__).parents[1] / "acdc_splits_final.json"


def main() -> None:
    """Do what is missing of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--split", type=Path, default=SPLIT)
    parser.add_argument("--sunnybrook", type=Path, help="Folder of the two Sunnybrook patients.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 1)))
    parser.add_argument("--report", type=Path, help="Folder of the report.  [OUTPUT/report]")
    parser.add_argument("--only-report", action="store_true", help="Of what is there by now.")
    asked = parser.parse_args()
    preset, split = PRESETS[asked.preset], asked.output / "split.json"
    _check_same_experiment(asked.output, preset, asked.dataset, asked.split)
    held_back = write_split(asked.split, split)
    shifted = _shifted(asked.dataset, held_back, frames=preset.shifted)
    cases = [*shifted, *_sunnybrook(asked.sunnybrook)]
    if not asked.only_report:
        processes = asked.processes if asked.device in ("auto", "cpu") else 1
        train_all(
            *(asked.dataset, asked.output, split),
            preset=preset,
            device=asked.device,
            processes=processes,
        )
        trained = [row for row in rows(preset) if row.is_trained(asked.output, preset)]
        how = {"mirroring": preset.mirroring, "device": asked.device}
        plain = [case for case in cases if case.condition == UNSHIFTED]
        base = vanilla(preset)
        is_there = base.is_trained(asked.output, preset)
        fitted = fitted_temperatures(plain, base, asked.output, **how) if is_there else {}
        judge(cases, trained, asked.output, **how, processes=processes, temperatures=fitted)
    write_report(asked.output, asked.report or asked.output / "report", preset=preset, cases=cases)


def _check_same_experiment(output: Path, preset: Preset, dataset: Path, split: Path) -> None:
    """Exit where OUTPUT holds what was trained and judged in another experiment."""
    asked = {
        "preset": asdict(preset),
        "cases": [case.name for case in read_dataset(dataset).cases],
        "split": json.loads(split.read_text(encoding="utf-8")),
    }
    file = output / "experiment.json"
    if not file.exists():
        if (output / "trainings").exists():
            sys.exit(f"{output} holds trainings and does not say of what: use another.")
        output.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asked), encoding="utf-8")
    elif json.loads(file.read_text(encoding="utf-8")) != asked:
        sys.exit(
            f"{output} holds an experiment with another preset, dataset or split: use another."
        )


def _shifted(dataset: Path, held_back: list[str], *, frames: str) -> Iterator[Case]:
    """Every validation case as it is, and all of them or the ES frames under every shift."""
    found = read_dataset(dataset)
    structures = {name: value for name, value in found.labels.items() if value}
    for shift in SHIFTS:
        for case in found.cases:
            of_shift = shift.name == UNSHIFTED or frames == "all" or not _is_ed(case.name)
            if case.name in held_back and of_shift:
                patient = patient_of(case.name, DEFAULT_PATIENT)
                yield Case(shift.name, case.name, patient, case.images[0], case.label, structures)


def _is_ed(case: str) -> bool:
    """In ACDC the first frame is end-diastole."""
    return case.endswith("_frame01")


def _sunnybrook(folder: Path | None) -> Iterator[Case]:
    """Two patients of another vendor, with contours of the LV and, at ED, of the myocardium.

    Of the patient that is there on the whole grid, this is taken: a crop changes the intensities.
    """
    files = sorted(folder.glob("*_gt.nii.gz")) if folder else []
    whole = {file.name.replace("_uncropped", "") for file in files if "_uncropped" in file.name}
    for label in files:
        if label.name in whole:
            continue
        image = label.with_name(label.name.replace("_gt", ""))
        structures = {"MYO": 2, "LV": 3} if "_ED_" in label.name else {"LV": 3}
        patient = label.name.partition("_")[0]
        yield Case(SUNNYBROOK, image.name.partition(".")[0], patient, image, label, structures)


if __name__ == "__main__":
    main()
