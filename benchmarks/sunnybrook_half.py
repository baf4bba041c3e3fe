"""Add half of the Sunnybrook patients to a dataset, with the ensemble's own RV and myocardium.

python -m benchmarks.sunnybrook_half DATASET SUNNYBROOK PREDICTIONS OUT

OUT gets the cases of DATASET and those of the training half (see benchmarks.other_scanner). The
LV is the expert's, RV and myocardium are those of PREDICTIONS (CASE.nii.gz, written by predict);
what was predicted as LV and is none becomes myocardium. Slices without an expert's contour, or
whose predicted LV has a Dice below LOWEST_DICE, are left out: RV and myocardium are wrong there.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from .other_scanner import ENDING, halves

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
LOWEST_DICE = 0.3


def add_half(dataset: Path, sunnybrook: Path, predictions: Path, out: Path) -> None:
    """Write the joined dataset."""
    shutil.copytree(dataset, out, ignore=shutil.ignore_patterns("imagesTs", "labelsTs"))
    names = sorted(path.name.removesuffix(ENDING) for path in (sunnybrook / "images").iterdir())
    for name, half in halves(names).items():
        if half == "train":
            _add_case(name, sunnybrook, predictions, out)
    content = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    content["numTraining"] = len(list((out / "imagesTr").iterdir()))
    (out / "dataset.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def _add_case(name: str, sunnybrook: Path, predictions: Path, out: Path) -> None:
    image = nib.load(sunnybrook / "images" / f"{name}{ENDING}")
    expert, predicted = (
        np.asarray(nib.load(path / f"{name}.nii.gz").dataobj).astype(np.uint8)
        for path in (sunnybrook / "labels", predictions)
    )
    labels = joined_labels(expert == 1, predicted)
    kept = usable_slices(expert == 1, predicted == LABELS["LV"])
    print(name, f"{kept.sum()} of {kept.size} slices", flush=True)
    voxels = np.asarray(image.dataobj)[..., kept]
    for folder, file, content in (
        ("imagesTr", f"{name}{ENDING}", voxels),
        ("labelsTr", f"{name}.nii.gz", labels[..., kept]),
    ):
        nib.save(nib.Nifti1Image(content, image.affine), out / folder / file)


def joined_labels(expert: NDArray[np.bool_], predicted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the expert's LV in the predicted RV and myocardium, without unit."""
    labels = predicted.copy()
    labels[labels == LABELS["LV"]] = LABELS["MYO"]
    labels[expert] = LABELS["LV"]
    return labels


def usable_slices(expert: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each slice (last axis) whether the LV was found where the expert has it."""
    overlap = 2 * (expert & predicted).sum(axis=(0, 1))
    total = expert.sum(axis=(0, 1)) + predicted.sum(axis=(0, 1))
    return expert.any(axis=(0, 1)) & (overlap >= LOWEST_DICE * total)


if __name__ == "__main__":
    add_half(*map(Path, sys.argv[1:]))
