"""How often an image is asked to be a short-axis cine, by rules that have not seen it.

python -m benchmarks.non_cines measure ENSEMBLE DATASET RESULTS.jsonl --sunnybrook SUNNYBROOK
python -m benchmarks.non_cines table RESULTS.jsonl
python -m benchmarks.non_cines fit ENSEMBLE DATASET

``measure`` is resumable and appends a line with the features of the heart for each image: all
volumes of the dataset, images of other kinds made from every second ED frame, both also with three
slices, cines with strong noise and with wide pixels, and the 90 volumes of Sunnybrook. With
``--part 1/2`` it measures every second image, so that two processes share the work; with
``--by-labels`` the window is that around the reference, which is five times as fast. ``table``
judges each image by a rule, with its limit, fitted on other patients (ten folds), and each made
kind by rules that have not seen the kind either. ``fit`` fits the rule for the kind of images as
`calibrate` does, and leaves the rest of the ensemble's calibration as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from scipy import ndimage

from napari_bayes_nnunet.app.segmentation.calibrate import fit_kind_of_images
from napari_bayes_nnunet.app.segmentation.calibration import read_calibrations, write_calibration
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.core.heart.non_cines import NON_CINES, Source
from napari_bayes_nnunet.core.metrics.cine_rule import CineRule, fit_cine_rule
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT, patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase, read_dataset
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from .command_line import command_parsers, read_rows
from .markdown import markdown_table

CINE, SUNNYBROOK, FEW = "cine", "sunnybrook", " of three slices"
MUSCLE = 2
FOLDS = 10
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Image to measure: ``make`` returns (Z, Y, X) voxels and spacing, ``labels`` the reference."""

    condition: str
    case: str
    make: Callable[[], tuple[np.ndarray, tuple[float, float, float]]]
    labels: Callable[[], np.ndarray]


def source(case: TrainingCase, kind: str, *, few: bool = False) -> Source:
    """Return a frame with its labels; with ``few`` three slices from base to apex of the heart."""
    volume, labels = read_channels(case.images[0])[0], read_labels(case.label).voxels
    voxels = volume.voxels.astype(np.float32)
    if few:
        heart = np.flatnonzero((labels > 0).any(axis=(1, 2)))
        chosen = heart[np.round(np.array([0.25, 0.5, 0.75]) * (len(heart) - 1)).astype(int)]
        voxels, labels = voxels[chosen], labels[chosen]
    random = np.random.default_rng(crc32(f"{kind} {case.name}".encode()))
    return Source(
        voxels=voxels, labels=labels, spacing=volume.spacing, muscle=MUSCLE, random=random
    )


def plain(frame: Source) -> tuple[np.ndarray, Any]:
    """Return the frame as it is."""
    return frame.voxels, frame.spacing


def noisy(frame: Source) -> tuple[np.ndarray, Any]:
    """Add strong Rician noise, with a standard deviation of 12 % of the brightest intensity."""
    real, imaginary = frame.random.normal(0, 0.12, (2, *frame.voxels.shape))
    return 1000 * np.hypot(frame.scaled + real, imaginary), frame.spacing


def coarse(frame: Source) -> tuple[np.ndarray, Any]:
    """Make pixels 2.5 times as wide."""
    z, y, x = frame.spacing
    blurred = ndimage.gaussian_filter(frame.voxels, (0, 1.25, 1.25))
    made = ndimage.zoom(blurred, (1, 1 / 2.5, 1 / 2.5), order=1)
    rows, columns = (o / n for o, n in zip(frame.voxels.shape[1:], made.shape[1:], strict=True))
    return made, (z, y * rows, x * columns)


def tasks(dataset: Path, sunnybrook: Path | None) -> Iterator[Task]:
    """Yield every image."""

    def task(condition: str, case: TrainingCase, make: Any, *, few: bool = False) -> Task:
        frame = partial(source, case, condition, few=few)

        def find_heart() -> np.ndarray:
            labels = frame().labels
            moves = make in (coarse, NON_CINES["long axis"])
            return make(replace(frame(), voxels=labels))[0] > 0.5 if moves else labels

        return Task(condition, case.name, lambda: make(frame()), find_heart)

    cases = read_dataset(dataset).cases
    some = cases[::4]
    for case in cases:
        yield task(CINE, case, plain)
    for file in sorted((sunnybrook / "images").glob("*.nii.gz")) if sunnybrook else ():

        def read(file: Path = file) -> Any:
            volume = read_channels(file)[0]
            return volume.voxels.astype(np.float32), volume.spacing

        name = file.name.removesuffix("_0000.nii.gz")
        label = sunnybrook / "labels" / f"{name}.nii.gz"
        yield Task(SUNNYBROOK, name, read, lambda label=label: read_labels(label).voxels)
    for case in some:
        for kind, make in NON_CINES.items():
            yield task(kind, case, make)
    for case in some:
        yield task("strong noise", case, noisy)
        yield task("wide pixels", case, coarse)
        yield task(CINE + FEW, case, plain, few=True)
        for kind, make in NON_CINES.items():
            if kind != "long axis":
                yield task(kind + FEW, case, make, few=True)


def measure(
    folder: Path,
    dataset: Path,
    results: Path,
    *,
    sunnybrook: Path | None,
    part: str,
    by_labels: bool,
) -> None:
    """Append a line for each image of a part that has none."""
    ensemble = Ensemble(folder)
    done = {(row["condition"], row["case"]) for row in read_rows(results)}
    number, parts = map(int, part.split("/"))
    for task in [*tasks(dataset, sunnybrook)][number - 1 :: parts]:
        if (task.condition, task.case) not in done:
            features = features_of(ensemble, task, by_labels=by_labels)
            row = {
                "condition": task.condition,
                "case": task.case,
                "features": None if features is None else features.tolist(),
            }
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(task.condition, task.case, flush=True)


def features_of(ensemble: Ensemble, task: Task, *, by_labels: bool) -> np.ndarray | None:
    """Return the features of the heart, in the window that the reference or one member gives."""
    voxels, spacing = task.make()
    if not by_labels:
        return ensemble.heart_look(voxels, spacing).features
    member, image = ensemble.last_member(), ensemble._input(voxels, spacing)
    return ensemble._members.heart_features(member, image, task.labels())


def patient(row: Row) -> str:
    """Return the patient of a case."""
    return patient_of(row["case"], DEFAULT_PATIENT)


def fitted(rows: list[Row], *, fold: int | None = None, without: str = "") -> CineRule:
    """Return the rule of the cines and made images, without a fold of patients and a kind."""
    known = [r for r in rows if r["features"] is not None and fold_of(rows, r) != fold]
    cines = [row for row in known if row["condition"] == CINE]
    others = [row for row in known if row["condition"] in set(NON_CINES) - {without}]
    rule = fit_cine_rule(
        np.array([row["features"] for row in cines]),
        [patient(row) for row in cines],
        np.array([row["features"] for row in others]),
        [patient(row) for row in others],
    )
    assert rule is not None
    return rule


def fold_of(rows: list[Row], row: Row) -> int | None:
    """Return the fold of a row's patient, None for one that no rule is fitted on."""
    patients = sorted({patient(r) for r in rows if r["condition"] == CINE})
    return patients.index(patient(row)) % FOLDS if patient(row) in patients else None


def asked(rule: CineRule, row: Row) -> tuple[bool, float]:
    """Return whether a rule asks if an image is a cine, also without a heart, and its excess."""
    if row["features"] is None:
        return True, np.inf
    excess = rule.score(np.array(row["features"])) - rule.limit
    return excess > 0, excess


def table(rows: list[Row]) -> str:
    """Return how often each kind of image is asked."""
    whole = fitted(rows)
    of_folds = [fitted(rows, fold=fold) for fold in range(FOLDS)]
    lines = []
    for condition in dict.fromkeys(row["condition"] for row in rows):
        kind = condition.removesuffix(FEW)
        own = [row for row in rows if row["condition"] == condition]
        unseen = (
            [fitted(rows, fold=fold, without=kind) for fold in range(FOLDS)]
            if kind in NON_CINES
            else None
        )
        columns = []
        for rules in (of_folds, unseen):
            found = []
            for row in own if rules else ():
                fold = fold_of(rows, row)
                found.append(asked(whole if fold is None else rules[fold], row))
            columns.append(f"{sum(a for a, _ in found)} of {len(found)}" if found else "–")
            if rules is of_folds:
                excess = np.percentile([e for _, e in found], (0, 50, 100), method="nearest")
        lines.append([condition, *columns, " / ".join(f"{value:.1f}" for value in excess)])
    head = ["images", "asked", "kind held back", "score − limit (least, median, most)"]
    return markdown_table(head, lines)


def fit(folder: Path, dataset: Path) -> None:
    """Write the rule for the kind of images into the calibration of an ensemble."""
    ensemble, kept = Ensemble(folder), read_calibrations(folder)[-1]
    rule = drain(fit_kind_of_images(ensemble, read_dataset(dataset), DEFAULT_PATIENT), print)
    write_calibration(ensemble.folder, kept, image=rule)


def main() -> None:
    """Run the command named on the command line."""
    if sys.argv[1:2] == ["fit"]:
        fit(*map(Path, sys.argv[2:]))
        return
    parser, command, _ = command_parsers(__doc__, "measure", "ensemble", "dataset", "results")
    command.add_argument("--sunnybrook", type=Path)
    command.add_argument("--part", default="1/1")
    command.add_argument("--by-labels", action="store_true")
    flags = vars(parser.parse_args())
    if flags.pop("command") == "measure":
        measure(flags.pop("ensemble"), flags.pop("dataset"), flags.pop("results"), **flags)
    else:
        print(table(read_rows(flags["results"])))


if __name__ == "__main__":
    main()
