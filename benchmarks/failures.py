"""Failure scores and sentences on the image, judged on patients that were left out of the fit.

python -m benchmarks.failures measure ENSEMBLE DATASET RESULTS.jsonl --sunnybrook SUNNYBROOK
python -m benchmarks.failures table RESULTS.jsonl

``measure`` is resumable and appends a line for each image: validation cases, their ES frames under
the shifts of benchmarks/paper, features of the training images, images of other kinds made from
validation cases, and the 90 volumes of Sunnybrook. Images without a reference need only their
contrast and features, so three members segment them. ``table`` prints Markdown tables, in which
each patient is judged by rules fitted on the other validation patients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.image_kind import (
    FEATURE_DISTANCE,
    OF_THE_IMAGE,
    HeartLook,
    ImageRule,
    fit_image_rule,
)
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.heart.non_cines import NON_CINES, Source
from napari_bayes_nnunet.core.metrics.bootstrap import bootstrap
from napari_bayes_nnunet.core.metrics.detection import rank_correlation, worst_fifth_auroc
from napari_bayes_nnunet.core.metrics.failure import FAILED_DICE, FailureRule, fit_failure
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import DEFAULT_PATIENT, patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase, read_dataset
from napari_bayes_nnunet.io.images.nifti import read_channels, read_labels

from .command_line import run
from .paper.shifts import SHIFTS, UNSHIFTED
from .results import append_row, markdown_table, read_rows, with_interval

TRAINING, SUNNYBROOK = "training", "sunnybrook"
FEW = 3
Image = np.ndarray
Spacing = tuple[float, float, float]
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Image to measure: ``make`` returns (Z, Y, X) voxels and spacing."""

    condition: str
    case: str
    make: Callable[[], tuple[Image, Spacing]]
    label: Path | None = None


def read(case: TrainingCase) -> tuple[Image, Spacing]:
    """Return image and spacing of a case."""
    volume = read_channels(case.images[0])[0]
    return volume.voxels.astype(np.float32), volume.spacing


def generator(condition: str, case: str) -> np.random.Generator:
    """Return the random generator of an image, the same in every run."""
    return np.random.default_rng(crc32(f"{condition} {case}".encode()))


def made(case: TrainingCase, kind: str) -> tuple[Image, Spacing]:
    """Return the image of another kind that is made from a case."""
    voxels, spacing = read(case)
    labels, random = read_labels(case.label).voxels, generator(kind, case.name)
    return NON_CINES[kind](
        Source(voxels=voxels, labels=labels, spacing=spacing, muscle=2, random=random)
    )


def beside_the_heart(case: TrainingCase) -> tuple[Image, Spacing]:
    """Return the largest part of the image without heart: lung, liver or chest wall."""
    voxels, spacing = read(case)
    rows, columns = np.nonzero((read_labels(case.label).voxels > 0).any(axis=0))
    parts = [
        voxels[:, : max(rows.min() - 5, 0)],
        voxels[:, rows.max() + 5 :],
        voxels[..., : max(columns.min() - 5, 0)],
        voxels[..., columns.max() + 5 :],
    ]
    return max(parts, key=lambda part: part[0].size).copy(), spacing


OTHERS = {
    **{kind: partial(made, kind=kind) for kind in NON_CINES},
    "beside the heart": beside_the_heart,
}
"""Images of other kinds, each made from the ED frame of every second validation patient."""


def brains() -> Iterator[Task]:
    """Yield the images of heads that nibabel is tested with."""
    import nibabel

    folder = Path(nibabel.__file__).parent / "tests" / "data"
    for name in ("example4d.nii.gz", "anatomical.nii"):

        def make(name: str = name) -> tuple[Image, Spacing]:
            image = nibabel.load(folder / name)
            voxels = np.asanyarray(image.dataobj).astype(np.float32)
            x, y, z = map(float, image.header.get_zooms()[:3])
            return (voxels[..., 0] if voxels.ndim == 4 else voxels).T.copy(), (z, y, x)

        yield Task("head", name, make)


def tasks(ensemble: Ensemble, dataset: Path, sunnybrook: Path | None) -> Iterator[Task]:
    """Yield every image, those with references first."""
    (fold,) = ensemble.folder.record.folds.values()
    every = {case.name: case for case in read_dataset(dataset).cases}
    held_back = [every[name] for name in sorted(fold["validation_cases"])]
    for case in held_back:
        yield Task(UNSHIFTED, case.name, lambda case=case: read(case), case.label)
    for name in sorted(fold["training_cases"]):
        yield Task(TRAINING, name, lambda name=name: read(every[name]))
    for shift in SHIFTS[1:]:
        for case in held_back:
            if not case.name.endswith("_frame01"):

                def make(case: TrainingCase = case, shift: Any = shift) -> tuple[Image, Spacing]:
                    voxels, spacing = read(case)
                    return shift.apply(voxels, generator(shift.name, case.name)), spacing

                yield Task(shift.name, case.name, make, case.label)
    for condition, make_other in OTHERS.items():
        for case in held_back[::4]:
            yield Task(condition, case.name, lambda c=case, make=make_other: make(c))
    yield from brains()
    for file in sorted((sunnybrook / "images").glob("*.nii.gz")) if sunnybrook else ():

        def make_sunny(file: Path = file) -> tuple[Image, Spacing]:
            volume = read_channels(file)[0]
            return volume.voxels.astype(np.float32), volume.spacing

        yield Task(SUNNYBROOK, file.name.removesuffix("_0000.nii.gz"), make_sunny)


def measure(
    folder: Path,
    dataset: Path,
    results: Path,
    *,
    sunnybrook: Path | None = None,
    mirroring: Literal["full", "none"] = "full",
    window: Literal["heart", "whole"] = "heart",
) -> None:
    """Append a line for each image that has none."""
    ensemble = Ensemble(folder)
    done = {(row["condition"], row["case"]) for row in read_rows(results)}
    for task in tasks(ensemble, dataset, sunnybrook):
        if (task.condition, task.case) in done:
            continue
        append_row(results, measured(ensemble, task, mirroring=mirroring, window=window))
        print(task.condition, task.case, flush=True)


def measured(ensemble: Ensemble, task: Task, **flags: Any) -> Row:
    """Return signs, features and, with a reference, Dice of an image."""
    voxels, spacing = task.make()
    settings = SegmentationSettings(**flags, temperature=1, calibrated=False)
    look = ensemble.heart_look(voxels, spacing)
    row: Row = {"condition": task.condition, "case": task.case, "ratio": look.muscle_to_blood}
    row["features"] = None if look.features is None else list(look.features)
    if task.condition == TRAINING:
        return row
    if task.label is None:
        settings = SegmentationSettings(**(vars(settings) | {"members": FEW}))
    result = drain(ensemble.steps(voxels, spacing, settings))
    row["signs"] = dict(result.signs)
    if task.label is not None:
        overlap = dice(result.labels, read_labels(task.label).voxels, result.structures)
        row["dice"] = float(np.nanmean(list(overlap.values())))
    return row


def patient(row: Row) -> str:
    """Return the patient of a case."""
    return patient_of(row["case"], DEFAULT_PATIENT)


def failure_rule(rows: list[Row], names: tuple[str, ...] | None = None) -> FailureRule:
    """Return the rule fitted on validation cases, with all signs or those called ``names``."""
    signs = [
        {n: v for n, v in row["signs"].items() if n not in OF_THE_IMAGE and n in (names or (n,))}
        for row in rows
    ]
    rule = fit_failure(signs, [row["dice"] for row in rows], [patient(row) for row in rows])
    assert rule is not None
    return rule


def nested_scores(rows: list[Row], names: tuple[str, ...] | None = None) -> list[Row]:
    """Return every row with reference, with score and warning of the rule of other patients."""
    validation = [row for row in rows if row["condition"] == UNSHIFTED]
    judged = []
    for left_out in sorted({patient(row) for row in validation}):
        rule = failure_rule([row for row in validation if patient(row) != left_out], names)
        for row in rows:
            if "dice" in row and patient(row) == left_out:
                score = rule.score(row["signs"])
                judged.append({**row, "score": score, "warned": score > rule.threshold})
    return judged


def failure_table(rows: list[Row]) -> str:
    """Return false alarms, missed failures and ranking for all signs and for each alone."""
    names = [name for name in rows[0]["signs"] if name not in OF_THE_IMAGE]
    lines = []
    for title, chosen in [("all four", None), *((name, (name,)) for name in names)]:
        judged = nested_scores(rows, chosen)
        domain = [row for row in judged if row["condition"] == UNSHIFTED]
        shifted = [row for row in judged if row["condition"] != UNSHIFTED]
        good = [row for row in domain if row["dice"] >= FAILED_DICE]
        failed = [row for row in shifted if row["dice"] < FAILED_DICE]
        fine = [row for row in shifted if row["dice"] >= FAILED_DICE]
        lines.append(
            [
                title,
                share([row["warned"] for row in good]),
                share([not row["warned"] for row in failed]),
                share([row["warned"] for row in fine]),
                *(f"{worst_fifth(part):.2f}" for part in (domain, shifted)),
                *(f"{spearman(part):.2f}" for part in (domain, judged)),
            ]
        )
    head = ["signs", "false alarms", "missed failures", "false alarms, shifted"]
    head += ["AUROC worst fifth", "shifted", "Spearman", "with shifts"]
    return markdown_table(head, lines)


def auroc_intervals(rows: list[Row]) -> str:
    """Return the AUROC of all signs in domain and under shift with 95 % intervals."""
    judged, lines = nested_scores(rows), []
    for name, is_domain in (("in domain", True), ("shifted", False)):
        part = [row for row in judged if (row["condition"] == UNSHIFTED) is is_domain]

        def auroc(counts: np.ndarray, part: list[Row] = part) -> float:
            return worst_fifth([row for row, n in zip(part, counts, strict=True) for _ in range(n)])

        found = bootstrap(auroc, [patient(row) for row in part])
        lines.append(f"AUROC worst fifth, {name}: {with_interval(found, digits=2)}")
    return "\n".join(lines)


def share(flags: list[bool]) -> str:
    """Return "3 of 30 (10 %)"."""
    return f"{sum(flags)} of {len(flags)} ({100 * np.mean(flags):.0f} %)" if flags else "–"


def worst_fifth(rows: list[Row]) -> float:
    """Return the AUROC of the fifth with the lowest Dice."""
    return worst_fifth_auroc([-r["score"] for r in rows], [1 - r["dice"] for r in rows])


def spearman(rows: list[Row]) -> float:
    """Return the rank correlation of -score and Dice."""
    return rank_correlation([-r["score"] for r in rows], [r["dice"] for r in rows])


def image_rule(rows: list[Row], without: str = "") -> ImageRule:
    """Return the rule fitted on the validation patients, ``without`` one of them.

    It has no direction that separates cines from made images: see docs/explanation/failure.md.
    """
    looks: list[dict[str, list[HeartLook]]] = [{}, {}]
    for of_patient, condition in zip(looks, (TRAINING, UNSHIFTED), strict=True):
        for row in rows:
            if row["condition"] == condition and patient(row) != without:
                of_patient.setdefault(patient(row), []).append(look_of(row))
    rule = fit_image_rule(*looks, {}, sha256="", plans_sha256="")
    assert rule is not None
    assert rule.features is not None
    return rule


def look_of(row: Row) -> HeartLook:
    """Return the look at the heart of an image."""
    known = row["features"]
    return HeartLook(None if known is None else np.array(known), row["ratio"])


def image_table(rows: list[Row]) -> str:
    """Return how often each sentence is said of each kind of image; validation cases nested."""
    whole, lines = image_rule(rows), []
    patients = sorted({patient(r) for r in rows if r["condition"] == UNSHIFTED})
    without = {name: image_rule(rows, name) for name in patients}
    validation = [row for row in rows if row["condition"] == UNSHIFTED]
    score = failure_rule(validation)
    scores = {n: failure_rule([r for r in validation if patient(r) != n]) for n in patients}
    for condition in dict.fromkeys(r["condition"] for r in rows if r["condition"] != TRAINING):
        found = []
        for row in (r for r in rows if r["condition"] == condition):
            name = patient(row) if condition == UNSHIFTED else ""
            rule, failure = without.get(name, whole), scores.get(name, score)
            signs = {**row["signs"], **rule.signs(look_of(row))}
            relative = signs.get(FEATURE_DISTANCE, math.nan) / rule.features.threshold
            reason = rule.why_no_cine(signs, failure.assess(signs))
            found.append((rule.is_unlike_training(signs), reason != "", relative))
        unlike, none, relative = zip(*found, strict=True)
        ratios = [r["ratio"] for r in rows if r["condition"] == condition]
        finite = [ratio for ratio in ratios if math.isfinite(ratio)]
        spread = np.nanpercentile(relative, (0, 50, 100))
        lines.append(
            [
                "validation" if condition == UNSHIFTED else condition,
                share(list(unlike)),
                share(list(none)),
                share([a or b for a, b, _ in found]),
                " / ".join(f"{value:.2f}" for value in spread),
                f"{np.median(finite):.2f}" if finite else "–",
            ]
        )
    head = ["images", "unlike the training images", "not a short-axis cine", "either"]
    head += ["distance / limit (least, median, most)", "muscle / blood, median"]
    return markdown_table(head, lines)


def table(results: Path) -> str:
    """Return all tables."""
    rows = read_rows(results)
    return "\n\n".join([failure_table(rows), auroc_intervals(rows), image_table(rows)])


if __name__ == "__main__":
    run(__doc__, measure, table)
