"""Tests of the dataset with half of the Sunnybrook patients."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
from benchmarks.other_scanner import ENDING, halves, judging_cases
from benchmarks.sunnybrook_half import add_half

from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset


def test_patients_alternate_and_keep_their_phases_together() -> None:
    cases = [f"SC-{n}_{phase}" for n in "ABC" for phase in ("ED", "ES")]
    assert list(halves(cases).values()) == ["train"] * 2 + ["judge"] * 2 + ["train"] * 2


def test_the_judging_half_has_its_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for case in ("HF-1_ED", "HF-1_ES", "HF-2_ED", "HF-2_ES"):
        (tmp_path / "images" / f"{case}{ENDING}").touch()
    cases = list(judging_cases(tmp_path))
    assert [case.name for case in cases] == ["HF-2_ED", "HF-2_ES"]
    assert cases[0].images == (tmp_path / "images" / f"HF-2_ED{ENDING}",)
    assert cases[0].label == tmp_path / "labels" / "HF-2_ED.nii.gz"


def test_the_experts_lv_is_joined_with_the_predicted_rest(hearts: Path, tmp_path: Path) -> None:
    sunnybrook, predictions, out = (tmp_path / name for name in ("sb", "predicted", "out"))
    for folder in (sunnybrook / "images", sunnybrook / "labels", predictions):
        folder.mkdir(parents=True)
    predicted = np.zeros((8, 8, 4), np.uint8)
    predicted[:, :2, :3] = 1
    predicted[:, 2:4, :3] = 2
    predicted[:, 4:, :3] = 3
    expert = np.zeros((8, 8, 4), np.uint8)
    expert[:, 5:, 0] = 1  # smaller than predicted
    expert[:, 3:, 1] = 1  # larger
    expert[:, :1, 2] = 1  # elsewhere
    for case in ("SC-A_ED", "SC-B_ED"):
        for array, file in (
            (expert.astype(np.float32), sunnybrook / "images" / f"{case}_0000.nii.gz"),
            (expert, sunnybrook / "labels" / f"{case}.nii.gz"),
            (predicted, predictions / f"{case}.nii.gz"),
        ):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1.25, 1.25, 8, 1])), file)
    add_half(hearts, sunnybrook, predictions, out)
    before, after = read_dataset(hearts), read_dataset(out)
    assert {c.name for c in after.cases} - {c.name for c in before.cases} == {"SC-A_ED"}
    assert json.loads((out / "dataset.json").read_text())["numTraining"] == len(after.cases)
    image = nibabel.load(out / "labelsTr" / "SC-A_ED.nii.gz")
    labels = np.asarray(image.dataobj)
    assert (labels.shape, image.header.get_zooms()) == ((8, 8, 2), (1.25, 1.25, 8))
    assert labels[0, :, 0].tolist() == [1, 1, 2, 2, 2, 3, 3, 3]
    assert labels[0, :, 1].tolist() == [1, 1, 2, 3, 3, 3, 3, 3]
    assert nibabel.load(out / "imagesTr" / "SC-A_ED_0000.nii.gz").shape == (8, 8, 2)
